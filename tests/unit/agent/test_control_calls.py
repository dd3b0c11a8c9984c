"""Pauses, errors in words, and the queue of reports and events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent import control_client as module
from anycastle.agent.calls import Backoff, Refused, explain
from anycastle.agent.control_client import ControlClient
from anycastle.model.node import ControlEndpoint
from anycastle.model.status import Event


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30))
def test_pauses_grow_to_the_longest_and_are_spread(chances: list[float]) -> None:
    numbers = iter(chances)
    backoff = Backoff(0.2, 10.0, lambda: next(numbers))
    for turn in range(len(chances)):
        full = min(10.0, 0.2 * 2**turn)
        assert full / 2 <= backoff.pause() <= full


def test_a_reset_starts_again() -> None:
    backoff = Backoff(0.2, 10.0, lambda: 0.0)
    assert [backoff.pause() for _ in range(3)] == [0.1, 0.2, 0.4]
    backoff.reset()
    assert backoff.pause() == 0.1


def test_errors_are_said_in_words() -> None:
    assert explain(TimeoutError()) == "no answer in time"
    assert explain(ConnectionRefusedError(111, "refused")) == "[Errno 111] refused"
    assert explain(Refused(403, "certificate_revoked", "gone")) == "gone (403 certificate_revoked)"


def test_only_a_bad_request_is_not_worth_repeating() -> None:
    final = [s for s in (400, 401, 403, 404, 408, 413, 422, 429, 500, 503)
             if Refused(s, "", "").is_final]  # fmt: skip
    assert final == [400, 404, 413, 422]


def _client() -> ControlClient:
    return ControlClient(ControlEndpoint(urls=("https://[::1]:1",)), None)  # type: ignore[arg-type]


def _events(first: int, number: int) -> list[Event]:
    return [Event(kind="a.b", at=float(n), message="") for n in range(first, first + number)]


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_full_queue_loses_the_oldest_and_says_how_many(batch: int, later: int) -> None:
    client = _client()
    old = module.QUEUE
    module.QUEUE = 20
    try:
        client._put_back([])
        for event in _events(batch, later):
            client.event(event)
        client._put_back(_events(0, batch))  # a batch that could not be sent
    finally:
        module.QUEUE = old
    kept = [event.at for event in client._events]
    everything = [float(n) for n in range(batch + later)]
    assert kept == everything[-min(20, len(everything)) :] if everything else kept == []
    assert client.dropped == len(everything) - len(kept)
