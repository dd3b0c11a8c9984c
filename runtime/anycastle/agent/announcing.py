"""Carries the state machine's decisions to BGP, to the log and to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from anycastle.agent.events import Emitter
from anycastle.agent.health import dampening
from anycastle.agent.health.machine import Action, Input, Machine, step
from anycastle.agent.health.probe import Severity
from anycastle.agent.health.rounds import Result, reasons
from anycastle.model.deployment import Health
from anycastle.model.status import NodeState

log = structlog.get_logger()

EVENTS = {
    Action.ANNOUNCE: "node.announced",
    Action.ANNOUNCE_DEMOTED: "node.demoted",
    Action.WITHDRAW: "node.withdrawn",
}


class AnycastSession(Protocol):
    """The part of the BGP speaker that matters here."""

    def announce_anycast(self, *, demoted: bool) -> None: ...

    def withdraw_anycast(self) -> None: ...

    def announcers(self) -> Mapping[IPv4Address, bool]: ...


class Announcing:
    """The node's announcement. file: where the history of failures outlives the agent.

    rank: of this node among all. drain: why to leave service and stay out of it, "" to serve;
    forced: even if nobody else announces.
    """

    def __init__(
        self,
        health: Health,
        session: AnycastSession,
        emit: Emitter,
        file: Path,
        now: Callable[[], float],
    ) -> None:
        history = dampening.begin(dampening.load(file), now(), health)
        self.machine = Machine(health, history=history)
        self.results: Sequence[Result] = ()
        self.rank = 0
        self.drain = ""
        self.forced = False
        self._session = session
        self._emit = emit
        self._file = file
        self._now = now
        self._stored: dampening.History | None = None
        self._store(history)

    def adopt(self, health: Health) -> None:
        """Other rules from now on."""
        self.machine = replace(self.machine, health=health)

    def step(self, unable: str, *, round_ended: bool = False, fatal: str = "") -> bool:
        """Look at everything again. fatal: known before the probes see it.

        Returns whether the node's state or announcement changed.
        """
        before = self.machine
        given = Input(
            now=self._now(),
            round=round_ended,
            unable=unable,
            fatal=fatal or reasons(self.results, Severity.FATAL),
            hard=reasons(self.results, Severity.HARD),
            soft=reasons(self.results, Severity.SOFT),
            others=tuple(self._session.announcers().values()),
            rank=self.rank,
            drain=self.drain,
            forced=self.forced,
        )
        self.machine, action = step(before, given)
        if action is not None:
            self._act(action)
        if self.machine.state is not before.state:
            log.info(
                "state changed",
                old=before.state.value,
                new=self.machine.state.value,
                reason=self.machine.reason,
            )
        self._store(self.machine.history)
        return self.machine.state is not before.state or action is not None

    def end(self) -> None:
        """The agent stops in good order: its successor need not count a crash."""
        self._store(msgspec.structs.replace(self.machine.history, running=False))

    def _act(self, action: Action) -> None:
        if action is Action.WITHDRAW:
            self._session.withdraw_anycast()
        else:
            self._session.announce_anycast(demoted=action is Action.ANNOUNCE_DEMOTED)
        state, reason = self.machine.state, self.machine.reason
        because = f": {reason}" if reason and state is not NodeState.UP else ""
        self._emit(EVENTS[action], f"{action.value}{because}", state=state.value, reason=reason)

    def _store(self, history: dampening.History) -> None:
        """Write what a successor has to know; the passing of time alone is not that."""
        last = self._stored
        if last is not None and msgspec.structs.replace(history, at=last.at) == last:
            return
        try:
            dampening.store(self._file, history)
        except OSError as error:
            log.warning("history of failures not stored", file=str(self._file), error=str(error))
        self._stored = history
