"""How a node takes one client over: a pure state machine.

Theory of operation
-------------------
A data packet of a client that another node owns has arrived: routing sends the client
here now. This node makes WireGuard initiate to where the packet came from; when the
client has answered, the session is here. Whatever can go wrong is bounded by time:

- WireGuard itself repeats an unanswered initiation every 5 s for 90 s. So a peer whose
  initiation was not answered is *reset* (removed and added: no endpoint, no timers) after
  PATIENCE, before the first repetition: the node must not go on initiating to a client
  whose packets do not come here, because each initiation that the client consumes
  deletes the very timer by which it would find a node for itself.
- INTERVAL lies between two initiations to a client, whatever happens in between. A
  second one follows only when the client has sent something since the first, and makes
  the peer anew in the same message: keys of an older session would otherwise be used
  for a keepalive, and no initiation would leave.
- After ATTEMPTS the client is left alone for REST, longer than the 15 s after which it
  helps itself.
- A client that was lost to another node is not taken back for SETTLE, unless that node
  vanishes: packets that were on their way when routing changed are no reason to. Routing
  may bring the client here some milliseconds before this node hears that the other one
  vanished; as the packet path reports a client once a second, such a packet counts then.
- An *adopted* client is idle, its node is gone, and this node is the only one that its
  packets can reach (`succession`). It is tried once, and needs no packet.

WAITING is the time in the pacer's queue (`pacer`). A handshake is open, that is counted
by the pacer, while INITIATING only; a late answer still confirms while BACKING_OFF.

    state        event     condition                  next         acts
    -----------  --------  -------------------------  -----------  -------------------------
    IDLE         PACKET    may try                    WAITING      QUEUE
    IDLE         ADOPT     may try                    WAITING      QUEUE
    IDLE         PACKET    may not                    IDLE         - (remembered)
    IDLE         VANISHED  packet within HEARD        WAITING      QUEUE (end of SETTLE)
    IDLE         VANISHED  none                       IDLE         - (end of SETTLE)
    WAITING      PACKET                               WAITING      QUEUE (more recent now)
    WAITING      TURN      packet FRESH, or adopted   INITIATING   INITIATE or INITIATE_ANEW
    WAITING      TURN      packet too old             IDLE         -
    WAITING      MOVED     or STOP                    IDLE         LEAVE
    INITIATING   PACKET                               INITIATING   -
    INITIATING   TIME      RESPONSE over              BACKING_OFF  CLOSE, UNANSWERED
    INITIATING   MOVED     or STOP                    BACKING_OFF  CLOSE
    BACKING_OFF  PACKET                               BACKING_OFF  -
    BACKING_OFF  MOVED     or STOP                    BACKING_OFF  - (no further attempt)
    BACKING_OFF  TIME      packet since, attempts     WAITING      RESET, QUEUE
    BACKING_OFF  TIME      attempts used up           IDLE         RESET, GIVE_UP (REST)
    BACKING_OFF  TIME      no packet since            IDLE         RESET, GIVE_UP
    BACKING_OFF  TIME      moved or stopped           IDLE         RESET
    any          OWNED     WAITING                    CONFIRMED    LEAVE
    any          OWNED     INITIATING                 CONFIRMED    CLOSE, CONFIRM
    any          OWNED     BACKING_OFF                CONFIRMED    CONFIRM
    any          OWNED     IDLE                       CONFIRMED    -
    CONFIRMED    LOST      another node won           IDLE         - (SETTLE)
    CONFIRMED    ENDED     the session ended          IDLE         -

"May try": neither within SETTLE nor within REST nor within INTERVAL of the last
initiation. What is not in the table changes nothing. A case that is `forgettable` need
not be kept: it is like NEW.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

RESPONSE = 1.5
"""Seconds for which an initiation counts as an open handshake."""
PATIENCE = 4.5
"""Seconds after an initiation at which the peer is reset: WireGuard repeats after 5."""
INTERVAL = 5.0
"""Seconds between two initiations to a client (WireGuard's REKEY_TIMEOUT)."""
ATTEMPTS = 3
REST = 20.0
"""Seconds of peace after that: a client that sends helps itself after 15."""
FRESH = 10.0
"""Age of a client's packet, in seconds, above which it no longer proves that more come."""
SETTLE = 5.0
"""Seconds for which a client that moved to another live node is not taken back."""
HEARD = 1.5
"""Seconds for which a packet within SETTLE says that the client's packets come here; longer
than the packet path keeps silent about an endpoint that it reported (REPORT_SPACING)."""
STALE_KEYS = 5.0
"""Seconds after a loss during which WireGuard may still hold the old session's keys."""


class State(enum.Enum):
    """See the top of the file."""

    IDLE = "idle"
    WAITING = "waiting"
    INITIATING = "initiating"
    CONFIRMED = "confirmed"
    BACKING_OFF = "backing off"


class What(enum.Enum):
    """What happened. TURN: the pacer's. STOP: this client's endpoint is not known any
    more, or nothing may be initiated. OWNED, LOST, ENDED: as `agent.sessions` judges."""

    PACKET = enum.auto()
    ADOPT = enum.auto()
    TURN = enum.auto()
    TIME = enum.auto()
    MOVED = enum.auto()
    VANISHED = enum.auto()
    STOP = enum.auto()
    OWNED = enum.auto()
    LOST = enum.auto()
    ENDED = enum.auto()


class Act(enum.Enum):
    """What has to be done. QUEUE to UNANSWERED concern the pacer; the others WireGuard
    (INITIATE, INITIATE_ANEW, RESET) and the people who watch (CONFIRM, GIVE_UP)."""

    QUEUE = enum.auto()
    LEAVE = enum.auto()
    CLOSE = enum.auto()
    UNANSWERED = enum.auto()
    INITIATE = enum.auto()
    INITIATE_ANEW = enum.auto()
    RESET = enum.auto()
    CONFIRM = enum.auto()
    GIVE_UP = enum.auto()


@dataclass(frozen=True, slots=True)
class Case:
    """A client's takeover, as far as this node is concerned. Times are monotonic.

    first_at, packet_at: first and newest packet of this takeover. attempts: initiations
    of this takeover. initiated_at: the last one, of any takeover. until: when TIME is to
    be told. rest_until, shy_until, keys_until: ends of REST, SETTLE, STALE_KEYS.
    over: no further attempt.
    """

    state: State = State.IDLE
    first_at: float = -math.inf
    packet_at: float = -math.inf
    attempts: int = 0
    initiated_at: float = -math.inf
    until: float = math.inf
    rest_until: float = -math.inf
    shy_until: float = -math.inf
    keys_until: float = -math.inf
    adopted: bool = False
    over: bool = False

    @property
    def not_before(self) -> float:
        """When the next initiation may leave, as far as INTERVAL is concerned."""
        return self.initiated_at + INTERVAL

    def forgettable(self, now: float) -> bool:
        """Is there nothing left that a later step would need?"""
        ends = (self.not_before, self.rest_until, self.shy_until, self.keys_until)
        return self.state is State.IDLE and max(ends) <= now


NEW = Case()
Step = tuple[Case, tuple[Act, ...]]


def step(case: Case, what: What, now: float) -> Step:
    """The case after what happened at `now`, and what to do."""
    move = _MOVES.get((case.state, what))
    return (case, ()) if move is None else move(case, now)


def _may_try(case: Case, now: float) -> bool:
    return now >= max(case.not_before, case.rest_until, case.shy_until)


def _begun(case: Case, packet_at: float) -> Step:
    begun = replace(case, attempts=0, first_at=packet_at, packet_at=packet_at, over=False)
    return replace(begun, state=State.WAITING, adopted=False, until=math.inf), (Act.QUEUE,)


def _packet_idle(case: Case, now: float) -> Step:
    return _begun(case, now) if _may_try(case, now) else (replace(case, packet_at=now), ())


def _adopt(case: Case, now: float) -> Step:
    if not _may_try(case, now):
        return case, ()
    begun, acts = _begun(case, now)
    return replace(begun, adopted=True, packet_at=-math.inf), acts


def _vanished(case: Case, now: float) -> Step:
    case = _remember(replace(case, shy_until=-math.inf), now)
    if now - case.packet_at <= HEARD and _may_try(case, now):
        return _begun(case, case.packet_at)
    return case, ()


def _packet_waiting(case: Case, now: float) -> Step:
    # first_at of an adopted client: from here on somebody waits.
    first = now if case.adopted else case.first_at
    return replace(case, packet_at=now, first_at=first, adopted=False), (Act.QUEUE,)


def _turn(case: Case, now: float) -> Step:
    if not case.adopted and now - case.packet_at > FRESH:
        return _idle(case, now), ()
    act = Act.INITIATE_ANEW if case.attempts or now < case.keys_until else Act.INITIATE
    attempts = case.attempts + 1
    begun = replace(case, state=State.INITIATING, attempts=attempts, initiated_at=now)
    return replace(begun, until=now + RESPONSE), (act,)


def _leave(case: Case, now: float) -> Step:
    return _idle(case, now), (Act.LEAVE,)


def _packet_later(case: Case, now: float) -> Step:
    return replace(case, packet_at=now, adopted=False), ()


def _response_over(case: Case, _now: float) -> Step:
    waiting = replace(case, state=State.BACKING_OFF, until=case.initiated_at + PATIENCE)
    return waiting, (Act.CLOSE, Act.UNANSWERED)


def _overtaken(case: Case, now: float) -> Step:
    case, _ = _response_over(case, now)
    return replace(case, over=True), (Act.CLOSE,)


def _no_more(case: Case, _now: float) -> Step:
    return replace(case, over=True), ()


def _patience_over(case: Case, now: float) -> Step:
    if case.over:
        return _idle(case, now), (Act.RESET,)
    if case.attempts >= ATTEMPTS:
        return _idle(replace(case, rest_until=now + REST), now), (Act.RESET, Act.GIVE_UP)
    if case.packet_at <= case.initiated_at:
        return _idle(case, now), (Act.RESET, Act.GIVE_UP)
    return replace(case, state=State.WAITING, until=math.inf), (Act.RESET, Act.QUEUE)


def _owned(*acts: Act) -> Callable[[Case, float], Step]:
    def move(case: Case, _now: float) -> Step:
        return replace(case, state=State.CONFIRMED, until=math.inf), acts

    return move


def _lost(case: Case, now: float) -> Step:
    lost = replace(case, shy_until=now + SETTLE, keys_until=now + STALE_KEYS)
    return _idle(lost, now), ()


def _ended(case: Case, now: float) -> Step:
    return _idle(case, now), ()


def _idle(case: Case, now: float) -> Case:
    return _remember(replace(case, state=State.IDLE, attempts=0, adopted=False), now)


def _remember(case: Case, now: float) -> Case:
    """Idle, to be looked at again when the last of its limits has ended."""
    ends = (case.not_before, case.rest_until, case.shy_until, case.keys_until)
    return replace(case, until=max(now, *ends))


_MOVES: dict[tuple[State, What], Callable[[Case, float], Step]] = {
    (State.IDLE, What.PACKET): _packet_idle,
    (State.IDLE, What.ADOPT): _adopt,
    (State.IDLE, What.VANISHED): _vanished,
    (State.IDLE, What.OWNED): _owned(),
    (State.WAITING, What.PACKET): _packet_waiting,
    (State.WAITING, What.TURN): _turn,
    (State.WAITING, What.MOVED): _leave,
    (State.WAITING, What.STOP): _leave,
    (State.WAITING, What.OWNED): _owned(Act.LEAVE),
    (State.INITIATING, What.PACKET): _packet_later,
    (State.INITIATING, What.TIME): _response_over,
    (State.INITIATING, What.MOVED): _overtaken,
    (State.INITIATING, What.STOP): _overtaken,
    (State.INITIATING, What.OWNED): _owned(Act.CLOSE, Act.CONFIRM),
    (State.BACKING_OFF, What.PACKET): _packet_later,
    (State.BACKING_OFF, What.MOVED): _no_more,
    (State.BACKING_OFF, What.STOP): _no_more,
    (State.BACKING_OFF, What.TIME): _patience_over,
    (State.BACKING_OFF, What.OWNED): _owned(Act.CONFIRM),
    (State.CONFIRMED, What.LOST): _lost,
    (State.CONFIRMED, What.ENDED): _ended,
}
