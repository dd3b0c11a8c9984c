"""The session's state machine: every way through it, and every way out."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.bgp.capabilities import Capabilities
from anycastle.agent.bgp.events import (
    Action,
    Broken,
    Close,
    Connect,
    Connected,
    ConnectFailed,
    Deliver,
    Down,
    Ended,
    Event,
    HoldExpired,
    KeepaliveDue,
    Received,
    Resend,
    Retry,
    RetryDue,
    Send,
    Start,
    Stop,
    Timers,
    Up,
)
from anycastle.agent.bgp.fsm import Parameters, Phase, State, step
from anycastle.agent.bgp.messages import Keepalive, Notification, Open, RouteRefresh, Update
from anycastle.agent.bgp.wire import Afi, BgpError, ErrorCode

ABLE = Capabilities(64512, (Afi.IPV4, Afi.IPV6))
OURS = Parameters(64512, IPv4Address("1.64.0.1"), 3, ABLE)
THEIRS = Open(64512, 240, IPv4Address("10.64.0.1"), ABLE)


def play(*events: Event, state: State | None = None) -> tuple[State, list[Action]]:
    """The state after the events, and the last one's actions."""
    state = state or State()
    actions: list[Action] = []
    for event in events:
        state, actions = step(OURS, state, event)
    return state, actions


UP = play(Start(), Connected(), Received(THEIRS), Received(Keepalive()))[0]


def test_the_way_up() -> None:
    state, actions = play(Start())
    assert actions == [Connect()]
    state, actions = play(Connected(), state=state)
    ours = Open(64512, 3, IPv4Address("1.64.0.1"), ABLE)
    assert actions == [Timers(10, 0), Send(ours)]
    state, actions = play(Received(THEIRS), state=state)
    assert actions == [Timers(3, 1), Send(Keepalive())]
    state, actions = play(Received(Keepalive()), state=state)
    assert (state.phase, actions) == (Phase.ESTABLISHED, [Up(THEIRS)])


def test_the_shorter_hold_time_counts_and_zero_means_none() -> None:
    sent = play(Start(), Connected())[0]
    assert play(Received(replace(THEIRS, hold_time=0)), state=sent)[1][0] == Timers(0, 0)
    long = replace(OURS, hold_time=30)
    assert step(long, sent, Received(replace(THEIRS, hold_time=9)))[1][0] == Timers(9, 3)


def test_what_an_established_session_does() -> None:
    update = Update(end_of_rib=Afi.IPV4)
    assert play(Received(update), state=UP) == (UP, [Deliver(update)])
    assert play(Received(Keepalive()), state=UP) == (UP, [])
    assert play(Received(RouteRefresh(Afi.IPV6)), state=UP) == (UP, [Resend(Afi.IPV6)])
    assert play(KeepaliveDue(), state=UP) == (UP, [Send(Keepalive())])


@pytest.mark.parametrize(
    ("event", "last_words", "reason"),
    [
        (Ended("the daemon ended the connection"), None, "ended the connection"),
        (HoldExpired(), Notification(4, 0), "silent for the hold time"),
        (Broken(BgpError(ErrorCode.UPDATE, 10, "bad")), Notification(3, 10), "at fault: bad"),
        (Received(Notification(6, 2)), None, "administratively shut down (6/2)"),
        (Received(Notification(4, 0)), None, "heard nothing from the agent"),
        (Received(THEIRS), Notification(5, 0), "OPEN in phase established"),
    ],
)
def test_the_ways_down(event: Event, last_words: Notification | None, reason: str) -> None:
    state, actions = play(event, state=UP)
    words = [action.message for action in actions if isinstance(action, Send)]
    assert words == ([last_words] if last_words else [])
    assert actions[-4:-2] == [Timers(0, 0), Close()]
    down, retry = actions[-2:]
    assert isinstance(down, Down)
    assert reason in down.reason
    assert down.was_up
    assert retry == Retry(0.2)
    assert state.phase is Phase.IDLE


@pytest.mark.parametrize(
    ("theirs", "subcode", "reason"),
    [
        (replace(THEIRS, asn=1), 2, "configured with AS 1, the node spec says 64512"),
        (replace(THEIRS, identifier=OURS.identifier), 3, "is our own"),
        (replace(THEIRS, capabilities=Capabilities(64512, (Afi.IPV4,))), 7, "does not do IPV6"),
        (replace(THEIRS, capabilities=Capabilities(None, ABLE.families)), 7, "4-byte AS numbers"),
    ],
)
def test_an_open_that_is_refused(theirs: Open, subcode: int, reason: str) -> None:
    state, actions = play(Start(), Connected(), Received(theirs))
    assert actions[0] == Send(Notification(ErrorCode.OPEN, subcode))
    assert any(isinstance(action, Down) and reason in action.reason for action in actions)
    assert state.phase is Phase.IDLE


def test_retries_grow_to_a_second_and_start_anew_after_success() -> None:
    state, delays = play(Start())[0], []
    for _ in range(5):
        state, actions = play(ConnectFailed("refused"), state=state)
        delays += [action.after for action in actions if isinstance(action, Retry)]
        state, _ = play(RetryDue(), state=state)
    assert delays == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert UP.failures == 0


@pytest.mark.parametrize("notify", [True, False])
def test_stopping_is_for_good_and_says_so_only_if_asked(notify: bool) -> None:
    state, actions = play(Stop(notify=notify), state=UP)
    assert (Send(Notification(6, 2)) in actions) == notify
    assert Close() in actions
    assert state.phase is Phase.STOPPED
    assert play(Start(), RetryDue(), Connected(), Ended("x"), state=state) == (state, [])


any_event = st.sampled_from(
    [
        Start(), RetryDue(), Connected(), ConnectFailed("no"), Received(THEIRS), HoldExpired(),
        Received(Keepalive()), Received(Update(end_of_rib=Afi.IPV4)), Received(Notification(6, 4)),
        Received(RouteRefresh(Afi.IPV4)), Broken(BgpError(ErrorCode.HEADER, 1, "x")), Ended("gone"),
        KeepaliveDue(), Stop(notify=True), Stop(notify=False),
    ]
)  # fmt: skip


@given(st.lists(any_event, max_size=40))
def test_up_and_down_alternate_whatever_happens(events: list[Event]) -> None:
    state, is_up = State(), False
    for event in events:
        state, actions = step(OURS, state, event)
        for action in actions:
            if isinstance(action, Up):
                assert not is_up
                is_up = True
            elif isinstance(action, Down):
                assert action.was_up == is_up
                is_up = False
            elif isinstance(action, Deliver | Resend):
                assert is_up
        assert is_up == (state.phase is Phase.ESTABLISHED)
