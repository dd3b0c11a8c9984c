"""What `node drain --wait` and `node resume --wait` do: look, show, decide when it is over.

The texts and the decisions are pure functions of what the API said; the loop at the end
polls and shows. Polling, because a node reports within a fraction of a second of a change
and the answer is small; a stream would have to be resumed all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from anycastle.cli import output
from anycastle.cli.errors import Exit, Failure
from anycastle.model.api import DrainView, NodeView
from anycastle.model.status import DrainPhase, NodeState

if TYPE_CHECKING:
    from anycastle.cli.api import Api

POLL = 0.5
"""Seconds between two looks."""
LOST = 60.0
"""Seconds for which the API may be away."""
GRACE = 15.0
"""Seconds after the deadline for the node's own word."""
RETURN = 120.0
"""Seconds for a resumed node to be back in service."""


class Step(NamedTuple):
    """over: None while it goes on; then DONE, or the failure that ends the wait."""

    text: str
    over: Failure | Exit | None = None


Judge = Callable[[NodeView, float], Step]
"""(the node, seconds for which this command has looked at it) -> what to say."""


def sessions(count: int | None) -> str:
    if count is None:
        return "sessions unknown"
    return "1 session left" if count == 1 else f"{count or 'no'} sessions left"


def span(seconds: float) -> str:
    """`9:58`, minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def drain_text(node: NodeView, drain: DrainView) -> str:
    """One line on how far a drain is, without its name and its time."""
    left = sessions(drain.sessions)
    match drain.phase:
        case None if node.state is NodeState.UNKNOWN:
            return f"asked to drain, the node is silent ({node.reason})"
        case None:
            return f"asked to drain, no answer yet, {left}"
        case DrainPhase.LEAVING:
            return f"announced as the last choice, {left}"
        case DrainPhase.MOVING:
            return f"withdrawn, {left}"
        case DrainPhase.DRAINED:
            return "drained, no session left"
        case DrainPhase.OVERDUE:
            where = "still announced" if node.announcing else "withdrawn"
            return f"the deadline has passed, {where}, {left}"


class Drained:
    """Judges a drain. Remembers for how long the deadline has been over."""

    def __init__(self) -> None:
        self._deadline_seen: float | None = None

    def __call__(self, node: NodeView, seconds: float) -> Step:
        drain = node.drain
        if drain is None:
            resumed = Failure(Exit.UNFINISHED, f"{node.name}: somebody resumed it meanwhile")
            return Step("resumed", resumed)
        text = drain_text(node, drain)
        if drain.phase is DrainPhase.DRAINED:
            return Step(text, Exit.DONE)
        if drain.phase is DrainPhase.OVERDUE or self._given_up(drain, seconds):
            return Step(text, Failure(Exit.UNFINISHED, _overdue(node, drain)))
        return Step(text)

    def _given_up(self, drain: DrainView, seconds: float) -> bool:
        if drain.seconds_left > 0:
            return False
        if self._deadline_seen is None:
            self._deadline_seen = seconds
        return seconds - self._deadline_seen >= GRACE


def _overdue(node: NodeView, drain: DrainView) -> str:
    left = sessions(drain.sessions)
    if drain.phase is None:
        return f"{node.name}: the deadline passed without a word from the node ({left})"
    if node.announcing:
        return f"{node.name}: the deadline passed and it is still announced: {node.reason}"
    return (
        f"{node.name}: the deadline passed with {left}; it is out of service and serves what"
        " still reaches it"
    )


def resumed(node: NodeView, seconds: float) -> Step:
    """Judges a resume."""
    if node.drain is not None:
        again = Failure(Exit.UNFINISHED, f"{node.name}: somebody asked it to drain meanwhile")
        return Step("asked to drain", again)
    if node.state is NodeState.UP and node.announcing:
        return Step("UP, announcing", Exit.DONE)
    text = f"{node.state.value}: {node.reason}" if node.reason else node.state.value
    if seconds < RETURN:
        return Step(text)
    late = f"{node.name}: not back in service after {RETURN:.0f} s: {text}"
    return Step(text, Failure(Exit.UNFINISHED, late))


def wait(api: Api, name: str, judge: Judge, sleep: Callable[[float], None], *, json: bool) -> None:
    """Show each change until it is over. Raises Failure, also when it ended otherwise."""
    with _display(name, json=json) as show:
        for node, seconds in _looks(api, name, sleep):
            step = judge(node, seconds)
            show(node, step)
            if isinstance(step.over, Failure):
                raise step.over
            if step.over is not None:
                return


def _looks(api: Api, name: str, sleep: Callable[[float], None]) -> Iterator[tuple[NodeView, float]]:
    seconds = lost = 0.0
    while True:
        try:
            yield api.get(NodeView, "nodes", name), seconds
            lost = 0.0
        except Failure as failure:
            if failure.code not in (Exit.UNREACHABLE, Exit.BROKEN) or lost >= LOST:
                raise
            if not lost:
                click.echo(f"lost the API ({failure.message}); still trying", err=True)
            lost += POLL
        sleep(POLL)
        seconds += POLL


Show = Callable[[NodeView, Step], None]


@contextmanager
def _display(name: str, *, json: bool) -> Iterator[Show]:
    """JSON lines, one live line on a terminal, or a line for each change."""
    last: list[object] = []

    def changed(*what: object) -> bool:
        was, last[:] = list(last), what
        return was != last

    def json_line(node: NodeView, step: Step) -> None:
        shape = drain_shape(node) | {"done": step.over is Exit.DONE}
        if changed({**shape, "seconds_left": None}):
            output.print_json_line(shape)

    def line(node: NodeView, step: Step) -> None:
        if changed(step.text):
            click.echo(f"{output.safe(node.name)}: {output.safe(step.text)}")

    if json:
        yield json_line
    elif not sys.stdout.isatty():
        yield line
    else:
        from rich.console import Console  # noqa: PLC0415 - a tenth of a second to import
        from rich.markup import escape  # noqa: PLC0415

        console = Console(highlight=False)
        with console.status(name) as status:

            def live(node: NodeView, step: Step) -> None:
                left = f", {span(node.drain.seconds_left)} to go" if node.drain else ""
                text = escape(output.safe(f"{node.name}: {step.text}"))
                status.update(text + left)
                if step.over is Exit.DONE:
                    console.print(text)

            yield live


def drain_shape(node: NodeView) -> dict[str, object]:
    """What `--json` prints of a drain (docs/cli.md)."""
    drain = node.drain
    return {
        "name": node.name,
        "state": node.state.value,
        "announcing": node.announcing,
        "sessions": node.sessions,
        "phase": drain and drain.phase and drain.phase.value,
        "since": drain and drain.since,
        "deadline": drain and drain.deadline,
        "seconds_left": drain and drain.seconds_left,
        "ready": None if drain is None else drain.ready,
        "reason": node.reason,
    }
