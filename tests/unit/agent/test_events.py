"""Events: who hears of them, and of how many."""

from __future__ import annotations

from dataclasses import dataclass, field

from anycastle.agent.events import BURST, RATE, Emitter
from anycastle.agent.metrics import Metrics
from anycastle.model.status import Event


@dataclass
class Ear:
    heard: list[Event] = field(default_factory=list)
    now: float = 1000.0

    def event(self, event: Event) -> None:
        self.heard.append(event)

    def kinds(self, kind: str) -> list[str]:
        return [event.message for event in self.heard if event.kind == kind]


def made() -> tuple[Ear, Emitter, Metrics]:
    ear, metrics = Ear(), Metrics()
    return ear, Emitter(ear, metrics, lambda: ear.now), metrics


def test_events_about_the_node_are_never_held_back() -> None:
    ear, emit, _ = made()
    for _ in range(10 * BURST):
        emit("node.withdrawn", "withdraw")
    assert len(ear.heard) == 10 * BURST


def test_events_about_clients_are_counted_and_told_up_to_a_rate() -> None:
    ear, emit, metrics = made()
    for number in range(1000):
        emit("session.confirmed", f"c{number}", client=f"c{number}")
    assert len(ear.heard) == BURST
    emit.catch_up()
    assert len(ear.heard) == BURST, "there is no room yet"
    ear.now += 1.0
    emit.catch_up()
    assert ear.heard[-1].message == f"and {1000 - BURST} more clients"
    assert ear.heard[-1].data == {"more": 1000 - BURST}
    emit.catch_up()
    assert len(ear.heard) == BURST + 1, "once"
    count = metrics.registry.get_sample_value(
        "anycastle_events_total", {"kind": "session.confirmed"}
    )
    assert count == 1000


def test_each_kind_has_room_of_its_own() -> None:
    ear, emit, _ = made()
    for _ in range(2 * BURST):
        emit("session.confirmed", "")
    emit("takeover.gave_up", "no answer")
    assert ear.kinds("takeover.gave_up") == ["no answer"]


def test_the_rate_in_the_long_run() -> None:
    ear, emit, _ = made()
    for _ in range(1000):
        ear.now += 0.01
        emit("session.lost", "")
    assert len(ear.heard) <= BURST + 10 * RATE + 1


def test_an_initiation_is_for_the_journal() -> None:
    ear, emit, _ = made()
    emit("takeover.started", "c1: initiating")
    assert ear.heard == []
