"""What the prober is asked and what it answers: one JSON object a line, both ways."""

from __future__ import annotations

import msgspec


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A UDP echo stream. netns: the sender's; target_netns: of the host that echoes.

    rate: packets a second. size: bytes of UDP payload, at least 24.
    """

    name: str
    netns: str
    target: str
    target_netns: str
    rate: float = 100.0
    size: int = 100
    port: int = 7007


class TransferSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP transfer from `netns` to the target, or back where `down`.

    rate: bits a second at most (the kernel's pacing).
    """

    name: str
    netns: str
    target: str
    target_netns: str
    rate: float
    down: bool = False
    congestion: str = "cubic"
    port: int = 7008


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. priority: of the process, as nice(1) has it."""

    streams: tuple[StreamSpec, ...] = ()
    transfers: tuple[TransferSpec, ...] = ()
    priority: int = -10


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """ask: `live`, `summary`. since, until: epoch seconds; a packet belongs to the time that
    it was sent at. forget: drop what is older than `since`."""

    ask: str
    since: float = 0.0
    until: float = 0.0
    forget: bool = False


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """rate: answers in the last second. silent: seconds since the last answer; None before it.

    gap: the longest time without an answer since what the question says, in seconds. back:
    from there to the first answer to a packet sent after it; None before there is one.
    """

    name: str
    rate: float
    silent: float | None
    gap: float
    back: float | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Packets of one stream that were sent in a time.

    lost_up: never reached the target; lost_down: echoed and never came back. Gaps: longest
    time between two that arrived there (up), or here (both), seconds. back: seconds from
    `since` to the first answer to a packet sent after it; None without any. late: the
    sender's own worst lateness, which a gap may be owed to. again: answers that came twice.
    """

    name: str
    sent: int
    lost_up: int
    lost_down: int
    gap: float
    gap_up: float
    back: float | None
    late: float
    again: int = 0

    @property
    def lost(self) -> int:
        return self.lost_up + self.lost_down

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.lost_up} up and {self.lost_down} down lost of {self.sent}, "
            f"longest gap {1000 * self.gap:.0f} ms (sender late by {1000 * self.late:.0f} ms)"
        )


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a TCP transfer did in a time. received: bytes. gap: longest time without any.

    retransmitted: segments. broken: how the connection ended; empty while it stands.
    """

    name: str
    received: int
    seconds: float
    gap: float
    retransmitted: int
    broken: str = ""

    @property
    def bits_per_second(self) -> float:
        return 8 * self.received / self.seconds if self.seconds else 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    live: tuple[Live, ...] = ()
    summaries: tuple[Summary, ...] = ()
    moved: tuple[Moved, ...] = ()
