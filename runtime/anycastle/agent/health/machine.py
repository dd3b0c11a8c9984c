"""When a node announces the anycast prefixes: a pure state machine.

Theory of operation
-------------------
A node that announces attracts packets, so it must be able to serve them; a service
that nobody announces is down for everybody. These two pull in opposite directions,
and the second one is the worse. Hence:

- Announce last: a node starts DOWN and announces once it is able to (data path
  configured from a snapshot, BGP session up) and `rise` probe rounds were good.
- Demote before withdrawing: a failing node first announces with a worse MED and the
  GRACEFUL_SHUTDOWN community (RFC 8326), so that routers move traffic to the others
  while its own path still works. It withdraws afterwards, and only when it knows of an
  announcer that is not demoted. Where all nodes fail by one cause (a bad
  configuration, a broken probe, a common clock), all end up demoted, and the routers
  choose among them as if none were.
- Knowledge of the others takes time to travel. Two nodes that withdraw in the same
  moment, each trusting the other, leave nobody. A node that sees no announcer for a
  while comes back, demoted; to keep a crowd from doing so at once each waits for a
  time that grows with its rank among the nodes.
- A node that came back from a failure and fails again is held down longer each time
  (`dampening`). The first announcement after a clean start does not wait.
- What makes a path impossible (`fatal`: no WireGuard device) skips the patience, not
  the rule about the last announcer.
- The rule holds for a drain, too. The others may fail after it was ordered: a draining
  node that knows of no undemoted other stays announced, demoted; one that has withdrawn
  is on stand-by, and comes back demoted when nobody announces. `forced` (the operator
  said so, or the process ends) leaves regardless and stays away.
- A drain is no failure: it costs no penalty, and rounds are counted meanwhile. Called
  off while announced, the node goes on as a demoted one does; after it had withdrawn,
  as one that starts. Either way it announces in full after `rise` good rounds.

`able` is not a probe: without a snapshot, a configured data path and a BGP session the
node cannot announce whatever it wants, so it is DOWN, and says so.

    state     condition                                        next      action
    --------  -----------------------------------------------  --------  ----------------
    DOWN      able, `rise` good rounds, not held down          UP        announce
    DOWN      able, nobody announced for `stagger`             DEMOTED   announce demoted
    UP        not able                                         DOWN      withdraw
    UP        `fall` bad rounds, or fatal                      DEMOTED   announce demoted
    DEMOTED   not able                                         DOWN      withdraw
    DEMOTED   bad, out of patience, an undemoted other known   DOWN      withdraw
    DEMOTED   `rise` good rounds, not held down                UP        announce
    any       drain, announcing                                DRAINING  announce demoted
    any       drain, not announcing                            DRAINING  -
    DRAINING  announcing, not able                             DRAINING  withdraw
    DRAINING  announcing, DRAIN_WAIT over, and forced or an
              undemoted other known                            DRAINING  withdraw
    DRAINING  able, not forced, nobody announced for `stagger` DRAINING  announce demoted
    DRAINING  drain called off, announcing                     DEMOTED   -
    DRAINING  drain called off, not announcing                 DOWN      -

Patience is one probe interval after a hard failure, for the demotion to be heard, and
SOFT_PATIENCE after a soft one. A step follows the table until nothing moves, so a
fatal failure is demoted and withdrawn in one step; only the last action counts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from anycastle.agent.health import dampening
from anycastle.agent.health.dampening import History
from anycastle.model.deployment import Health
from anycastle.model.status import NodeState

SOFT_PATIENCE = 10.0
"""Seconds for which a node stays demoted for a soft failure before it withdraws."""
STAGGER = 3.0
"""Seconds without any announcer after which the first node comes back."""
STAGGER_COLD = 15.0
"""The same for a node that has not been well since it started: others may be coming."""
STAGGER_STEP = 0.5
"""Seconds more per rank."""
STAGGER_STEPS_MAX = 40
"""Ranks beyond this one wait no longer."""
DRAIN_WAIT = 1.0
"""Seconds between the demotion and the withdrawal of a drain."""
NO_HISTORY = History()
"""Of a node that never failed."""


class Action(enum.Enum):
    """What the BGP speaker is to do with the anycast prefixes."""

    ANNOUNCE = "announce"
    ANNOUNCE_DEMOTED = "announce demoted"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Input:
    """What the machine is told.

    now: monotonic seconds. round: a probe round just ended (else: something else
    happened, and `fatal`, `hard`, `soft` repeat what is known).
    unable: why the node cannot announce at all, empty when it can.
    fatal, hard, soft: reasons of the failing probes by severity, empty when none.
    others: other nodes' announcements, True where demoted. rank: place among all
    nodes, from 0. drain: why the node is to leave service, empty when it is not.
    forced: it is to leave whatever the others do.
    """

    now: float
    round: bool = False
    unable: str = ""
    fatal: str = ""
    hard: str = ""
    soft: str = ""
    others: tuple[bool, ...] = ()
    rank: int = 0
    drain: str = ""
    forced: bool = False

    @property
    def bad(self) -> str:
        return "; ".join(reason for reason in (self.fatal, self.hard, self.soft) if reason)

    @property
    def relieved(self) -> bool:
        """Does a node announce that is well?"""
        return any(not demoted for demoted in self.others)


@dataclass(frozen=True, slots=True)
class Machine:
    """State and memory. Times are monotonic seconds.

    good, bad: consecutive probe rounds. since: when the state was entered.
    silent_since: since when nobody announces although this node could; None: not so.
    announcing: the last action left the prefixes announced.
    """

    health: Health
    state: NodeState = NodeState.DOWN
    reason: str = "starting"
    history: History = NO_HISTORY
    good: int = 0
    bad: int = 0
    since: float = 0.0
    silent_since: float | None = None
    announcing: bool = False
    was_well: bool = False


def step(machine: Machine, given: Input) -> tuple[Machine, Action | None]:
    """The machine after `given`, and what to do with the announcement (None: nothing)."""
    machine = _count(machine, given)
    done: Action | None = None
    while (move := _move(machine, given)) is not None:
        state, action, reason = move
        machine, done = _enter(machine, given, state, action, reason), action or done
    return _explain(machine, given), done


Move = tuple[NodeState, Action | None, str]


def _move(machine: Machine, given: Input) -> Move | None:
    """The first line of the table that applies."""
    if machine.state is NodeState.DRAINING:
        return _from_draining(machine, given)
    if given.drain:
        action = Action.ANNOUNCE_DEMOTED if machine.announcing and not given.unable else None
        return NodeState.DRAINING, action, given.drain
    return _FROM[machine.state](machine, given)


def _from_down(machine: Machine, given: Input) -> Move | None:
    if given.unable:
        return None
    if _recovered(machine, given):
        return NodeState.UP, Action.ANNOUNCE, ""
    if _missed(machine, given):
        reason = f"nobody else announces ({given.bad or 'held down'})"
        return NodeState.DEMOTED, Action.ANNOUNCE_DEMOTED, reason
    return None


def _from_up(machine: Machine, given: Input) -> Move | None:
    if given.unable:
        return NodeState.DOWN, Action.WITHDRAW, given.unable
    if given.fatal or machine.bad >= machine.health.fall:
        return NodeState.DEMOTED, Action.ANNOUNCE_DEMOTED, given.bad
    return None


def _from_demoted(machine: Machine, given: Input) -> Move | None:
    if given.unable:
        return NodeState.DOWN, Action.WITHDRAW, given.unable
    if _recovered(machine, given):
        return NodeState.UP, Action.ANNOUNCE, ""
    if given.bad and given.relieved and given.now - machine.since >= _patience(machine, given):
        return NodeState.DOWN, Action.WITHDRAW, given.bad
    return None


def _from_draining(machine: Machine, given: Input) -> Move | None:
    if not given.drain:
        state = NodeState.DEMOTED if machine.announcing else NodeState.DOWN
        return state, None, given.bad or "drain called off"
    if machine.announcing:
        over = given.now - machine.since >= DRAIN_WAIT and (given.relieved or given.forced)
        leave = over or bool(given.unable)
        return (NodeState.DRAINING, Action.WITHDRAW, given.drain) if leave else None
    if not given.unable and not given.forced and _missed(machine, given):
        return NodeState.DRAINING, Action.ANNOUNCE_DEMOTED, f"{given.drain}; nobody else announces"
    return None


_FROM = {
    NodeState.DOWN: _from_down,
    NodeState.UP: _from_up,
    NodeState.DEMOTED: _from_demoted,
}


def _missed(machine: Machine, given: Input) -> bool:
    """Has nobody announced for so long that it is this node's turn to come back?"""
    silent = machine.silent_since
    return silent is not None and given.now - silent >= stagger(machine, given.rank)


def stagger(machine: Machine, rank: int) -> float:
    """Seconds without an announcer after which this node comes back."""
    first = STAGGER if machine.was_well else STAGGER_COLD
    return first + STAGGER_STEP * min(rank, STAGGER_STEPS_MAX)


def _patience(machine: Machine, given: Input) -> float:
    if given.fatal:
        return 0.0
    return machine.health.interval if given.hard else SOFT_PATIENCE


def _recovered(machine: Machine, given: Input) -> bool:
    well = not given.bad and machine.good >= machine.health.rise
    return well and not dampening.held(machine.history, given.now)


def _count(machine: Machine, given: Input) -> Machine:
    """Rounds, the time without an announcer, and a penalty that waits for health."""
    good, bad = machine.good, machine.bad
    if given.round:
        good, bad = (0, bad + 1) if given.bad else (good + 1, 0)
    elif given.bad:
        good = 0
    history = machine.history
    if history.penalty and machine.state is not NodeState.UP and (given.bad or given.unable):
        history = dampening.failing(history, given.now)
    silent = machine.silent_since
    if given.others or given.unable or machine.announcing:
        silent = None
    elif silent is None:
        silent = given.now
    well = machine.was_well or good >= machine.health.rise
    return replace(machine, good=good, bad=bad, history=history, silent_since=silent, was_well=well)


def _enter(
    machine: Machine, given: Input, state: NodeState, action: Action | None, reason: str
) -> Machine:
    history = machine.history
    if machine.state is NodeState.UP and state in (NodeState.DEMOTED, NodeState.DOWN):
        history = dampening.failed(history, given.now, machine.health)
    return replace(
        machine,
        state=state,
        reason=reason,
        history=history,
        since=given.now if state is not machine.state else machine.since,
        silent_since=None,
        announcing=machine.announcing if action is None else action is not Action.WITHDRAW,
    )


def _explain(machine: Machine, given: Input) -> Machine:
    """Keep the reason of a node that is not UP up to date, where it changes with time."""
    if machine.state is NodeState.DRAINING:
        return replace(machine, reason=_drain_reason(machine, given))
    if machine.state is not NodeState.DOWN:
        return machine
    hold = dampening.held(machine.history, given.now)
    held = f"held down for {hold:.0f} s more" if hold else ""
    rising = f"{machine.good} of {machine.health.rise} good probe rounds"
    return replace(machine, reason=given.unable or given.bad or held or rising)


def _drain_reason(machine: Machine, given: Input) -> str:
    waiting = machine.announcing and given.now - machine.since >= DRAIN_WAIT
    because = "stays announced, as no other node is well" if waiting else ""
    return "; ".join(part for part in (given.drain, because, given.unable or given.bad) if part)
