"""One line for each client: who serves it, answers a second, the longest gap of the scene.

On a terminal they stay in place (rich); elsewhere a line is printed when something changed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from tools.measure.wire import Live

NOTICED = 0.3
"""Seconds of silence from which on a client counts as cut off on the screen."""
REPEAT = 5.0
"""Seconds after which plain output says where everybody is again."""


@dataclass(frozen=True)
class Row:
    """What is known of a client now. owner: empty when no node says that it serves it."""

    client: str
    owner: str
    live: Live

    @property
    def cut_off(self) -> bool:
        return self.live.silent is None or self.live.silent > NOTICED


class Screen(Protocol):
    def scene(self, text: str) -> None: ...

    def show(self, rows: Sequence[Row], nodes: Mapping[str, str]) -> None:
        """nodes: the state of each."""


class Terminal:
    """Lines that stay in place below what has happened so far."""

    def __init__(self, console: Console, live: RichLive) -> None:
        self._console = console
        self._live = live
        self._scene = ""

    def scene(self, text: str) -> None:
        self._console.print(Text(f"{time.strftime('%H:%M:%S')}  {text}", style="bold"))
        self._scene = text

    def show(self, rows: Sequence[Row], nodes: Mapping[str, str]) -> None:
        self._live.update(Group(self._nodes(nodes), self._clients(rows)))

    def _nodes(self, nodes: Mapping[str, str]) -> Text:
        text = Text()
        for name, state in nodes.items():
            style = {"UP": "green", "DRAINING": "yellow", "DEMOTED": "yellow"}.get(state, "red")
            text.append(f"{name} ").append(f"{state}   ", style=style)
        return text

    def _clients(self, rows: Sequence[Row]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("CLIENT", "SERVED BY"):
            table.add_column(name, min_width=12)
        for name in ("ANSWERS/S", "LONGEST GAP"):
            table.add_column(name, justify="right", min_width=12)
        table.add_column("")
        for row in rows:
            silent = "" if row.live.silent is None else f"silent for {row.live.silent:.1f} s"
            table.add_row(
                row.client,
                row.owner or "-",
                f"{row.live.rate:.0f}",
                duration(row.live.gap),
                Text(silent, style="red") if row.cut_off else "",
            )
        return table


class Plain:
    """For logs: a line when an owner changed, or when somebody is cut off or back."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, bool]] = {}
        self._said = 0.0

    def scene(self, text: str) -> None:
        say(f"== {text}")
        self._said = 0.0

    def show(self, rows: Sequence[Row], nodes: Mapping[str, str]) -> None:
        again = time.monotonic() - self._said > REPEAT
        if again:
            self._said = time.monotonic()
            say("   " + ", ".join(f"{name} {state}" for name, state in nodes.items()))
        for row in rows:
            now = row.owner, row.cut_off
            if again or self._last.get(row.client) != now:
                say(line(row))
            self._last[row.client] = now


def line(row: Row) -> str:
    silent = "  cut off" if row.cut_off else ""
    return (
        f"   {row.client:<10} served by {row.owner or '-':<8} {row.live.rate:4.0f} answers/s, "
        f"longest gap {duration(row.live.gap)}{silent}"
    )


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


@contextmanager
def opened() -> Iterator[Screen]:
    """The one that fits standard output."""
    console = Console()
    if not console.is_terminal:
        yield Plain()
        return
    with RichLive(console=console, refresh_per_second=8, transient=True) as live:
        yield Terminal(console, live)


def table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    """Plain text: the first column to the left, all others to the right."""
    lines = [heads, *rows]
    widths = [max(len(each[n]) for each in lines) for n in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(each, widths, strict=True))
        ).rstrip()
        for each in lines
    )
