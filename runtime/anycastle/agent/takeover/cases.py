"""Runs the clients' machines: what they ask for becomes a plan. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container
from ipaddress import IPv4Address

from anycastle.agent.desired import is_valid
from anycastle.agent.takeover.clock import behind
from anycastle.agent.takeover.machine import ATTEMPTS, NEW, Act, Case, State, What, step
from anycastle.agent.takeover.pacer import Pacer
from anycastle.agent.takeover.plan import Counts, Initiation, Measured, Plan
from anycastle.agent.takeover.table import Row, Table
from anycastle.agent.takeover.timers import Timers
from anycastle.model.client import Client, Credential
from anycastle.model.status import Event

BEGINNING = (What.PACKET, What.ADOPT, What.OWNED)
"""What makes a case of a client that had none."""


class Cases:
    """The machines of those clients that are not simply idle, and their pacer."""

    def __init__(self, table: Table, backlog: int) -> None:
        self._table = table
        self._pacer = Pacer(backlog)
        self._cases: dict[str, Case] = {}
        self._timers: Timers[str] = Timers()
        self._states: Counter[State] = Counter()
        self._results: Counter[str] = Counter()
        self._acts = self._all_acts()

    def tell(self, row: Row, what: What, now: float, wall: float, plan: Plan) -> None:
        """Something happened to the row's client; add what follows to the plan."""
        client_id = row.client.id
        case = self._cases.get(client_id)
        if case is None and what not in BEGINNING:
            return
        new, acts = step(case or NEW, what, now)
        if new is (case or NEW):
            return
        self._states[new.state] += 1
        self._states[case.state if case else State.IDLE] -= 1
        self._cases[client_id] = new
        if not math.isinf(new.until) and (case is None or new.until != case.until):
            self._timers.push(new.until, client_id)
        for act in acts:
            self._acts[act](row, new, now, wall, plan)

    def answered(self, client_id: str) -> None:
        """WireGuard has the client's answer: it is no longer among those that could queue up,
        though only a look at WireGuard confirms the session."""
        self._pacer.close(client_id)

    def drop(self, client_id: str) -> None:
        """The client is gone, and so is everything about it."""
        case = self._cases.pop(client_id, None)
        if case is not None:
            self._states[case.state] -= 1
            self._pacer.remove(client_id)
            self._pacer.close(client_id)

    def tick(self, now: float, wall: float, plan: Plan) -> None:
        """Tell the cases whose time has come."""
        for client_id in self._timers.due(now):
            case = self._cases.get(client_id)
            if case is None or case.until > now:
                continue
            if case.forgettable(now):
                self.drop(client_id)
            elif row := self._table.get(client_id):
                self.tell(row, What.TIME, now, wall, plan)

    def next_tick(self) -> float | None:
        """Monotonic time; None: nothing to do until something happens."""
        times = (self._timers.next(), self._pacer.next())
        return min((time for time in times if time is not None), default=None)

    def release(self, now: float, wall: float, plan: Plan) -> None:
        """Those whose turn has come initiate."""
        for client_id in self._pacer.take(now):
            row = self._table.get(client_id)
            if row is None or row.claim is None or not self._reachable(row, wall):
                self._pacer.close(client_id)
                if row is not None:
                    self.tell(row, What.STOP, now, wall, plan)
            elif (lag := behind(wall, row.claim.confirmed_at)) > 0:
                self._pacer.close(client_id)
                self._queue(row, self._cases[client_id], now + lag)
            else:
                self.tell(row, What.TURN, now, wall, plan)
                if self._cases[client_id].state is not State.INITIATING:
                    self._pacer.close(client_id)

    def _reachable(self, row: Row, wall: float) -> bool:
        """Is the client's endpoint still its own, and a credential valid?"""
        at = row.claim and self._table.at(row.claim.endpoint)
        return at is row and bool(_valid(row.client, wall))

    def stop_waiting(self, now: float, wall: float, plan: Plan) -> None:
        """Nothing may be initiated now. Who sends is queued again when it may."""
        for row, _ in self._waiting():
            self.tell(row, What.STOP, now, wall, plan)

    def keep_adopted(
        self, owners: Container[IPv4Address], now: float, wall: float, plan: Plan
    ) -> None:
        """Of the adopted clients in the queue keep those of these owners only."""
        for row, case in self._waiting():
            if case.adopted and (row.claim is None or row.claim.owner not in owners):
                self.tell(row, What.STOP, now, wall, plan)

    def _waiting(self) -> list[tuple[Row, Case]]:
        if not self._states[State.WAITING]:
            return []
        found = ((self._table.get(client_id), case) for client_id, case in self._cases.items())
        return [(row, case) for row, case in found if row and case.state is State.WAITING]

    def busy(self, client_id: str) -> bool:
        """Has an initiation left that may still be answered?"""
        case = self._cases.get(client_id)
        return case is not None and case.state in (State.INITIATING, State.BACKING_OFF)

    def counts(self, endpoints: int, ignored: dict[str, int]) -> Counts:
        return Counts(
            clients=len(self._table),
            endpoints=endpoints,
            waiting=self._states[State.WAITING],
            initiating=self._states[State.INITIATING],
            backing_off=self._states[State.BACKING_OFF],
            confirmed=self._states[State.CONFIRMED],
            results=dict(self._results),
            ignored=ignored,
        )

    # acts --------------------------------------------------------------------------

    def _all_acts(self) -> dict[Act, Callable[[Row, Case, float, float, Plan], None]]:
        return {
            Act.QUEUE: lambda row, case, *_: self._queue(row, case, case.not_before),
            Act.LEAVE: lambda row, *_: self._pacer.remove(row.client.id),
            Act.CLOSE: lambda row, *_: self._pacer.close(row.client.id),
            Act.UNANSWERED: self._unanswered,
            Act.INITIATE: self._initiate,
            Act.INITIATE_ANEW: self._initiate_anew,
            Act.RESET: lambda row, _c, _n, _w, plan: plan.reset.append(row.client),
            Act.CONFIRM: self._confirm,
            Act.GIVE_UP: self._give_up,
        }

    def _queue(self, row: Row, case: Case, due: float) -> None:
        if row.claim is not None:
            active_at = max(case.packet_at, 0.0)
            self._pacer.put(
                row.client.id, row.claim.endpoint, active_at, idle=case.adopted, due=due
            )

    def _unanswered(self, row: Row, case: Case, now: float, _wall: float, _plan: Plan) -> None:
        # Of an idle client it is nobody's fault: it may be away.
        if row.claim is not None and not case.adopted:
            self._pacer.unanswered(row.claim.endpoint, now)

    def _initiate_anew(self, row: Row, case: Case, now: float, wall: float, plan: Plan) -> None:
        if row.claim is not None:
            plan.forget.add(row.claim.endpoint)
        self._initiate(row, case, now, wall, plan, anew=True)

    def _initiate(
        self, row: Row, case: Case, _now: float, wall: float, plan: Plan, *, anew: bool = False
    ) -> None:
        if row.claim is None:
            return
        valid, client = _valid(row.client, wall), row.client
        # The newest first. During a rotation nobody here knows which one the client uses.
        credential = valid[-1 - (case.attempts - 1) % len(valid)]
        plan.initiate.append(Initiation(client, credential, row.claim.endpoint, anew))
        self._results["started"] += 1
        owner = f"{row.claim.owner}" + ("" if row.live else ", which vanished")
        message = f"{client.name}: initiating to {row.claim.endpoint}, was with {owner}"
        self._event("started", row, wall, plan, message, attempt=case.attempts)

    def _confirm(self, row: Row, case: Case, now: float, wall: float, plan: Plan) -> None:
        seconds = None if case.adopted else now - case.first_at
        plan.observed.append(Measured("confirmed", seconds))
        self._results["confirmed"] += 1
        took = "idle" if seconds is None else f"{seconds * 1000:.0f} ms after its first packet"
        message = f"{row.client.name}: took over, {took}"
        self._event("confirmed", row, wall, plan, message, attempt=case.attempts, seconds=seconds)

    def _give_up(self, row: Row, case: Case, now: float, wall: float, plan: Plan) -> None:
        rests = case.rest_until > now
        reason = f"no answer to {ATTEMPTS} initiations" if rests else "no answer, no more packets"
        seconds = None if math.isinf(case.packet_at) else now - case.first_at
        plan.observed.append(Measured("gave_up", seconds))
        self._results["gave_up"] += 1
        message = f"{row.client.name}: not taken over: {reason}"
        self._event("gave_up", row, wall, plan, message, reason=reason, seconds=seconds)

    @staticmethod
    def _event(what: str, row: Row, wall: float, plan: Plan, message: str, **data: object) -> None:
        if row.claim is not None:
            data |= {"endpoint": str(row.claim.endpoint), "owner": str(row.claim.owner)}
        event = Event(
            kind=f"takeover.{what}", at=wall, message=message, client=row.client.name, data=data
        )
        plan.events.append(event)


def _valid(client: Client, wall: float) -> list[Credential]:
    return [credential for credential in client.credentials if is_valid(credential, wall)]
