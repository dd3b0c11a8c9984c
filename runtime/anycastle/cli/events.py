"""`anycastle events`: what happened in the deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from anycastle.cli import output
from anycastle.cli.edges import edges
from anycastle.cli.errors import Exit, Failure
from anycastle.cli.options import as_json, with_api
from anycastle.model.status import Event

if TYPE_CHECKING:
    from anycastle.cli.api import Api

FIRST_WAIT = 1.0
LONGEST_WAIT = 15.0


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with each event as it happens.")
@click.option("--after", type=click.IntRange(min=0), metavar="ID", help="Only younger ones.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True,
              help="How many, the latest.")  # fmt: skip
@as_json
@with_api
def events(api: Api, follow: bool, after: int | None, limit: int, as_json: bool) -> None:
    """What happened: announcements, sessions, changes.

    Oldest first. With --json one object a line.

    \b
    Examples:
      anycastle events
      anycastle events --follow
      anycastle events --follow --json | jq -c 'select(.kind | startswith("node."))'
    """
    show = _print_json if as_json else _print
    last = after or 0
    for event in recent(api, after, limit):
        show(event)
        last = max(last, event.id or 0)
    if follow:
        try:
            for event in endless(api, last, edges().sleep):
                show(event)
        except KeyboardInterrupt:
            # The way to end it: no word about it, and the code of a shell (128 + SIGINT).
            raise SystemExit(130) from None


def recent(api: Api, after: int | None, limit: int) -> tuple[Event, ...]:
    """Events younger than `after`, or the last ones; oldest first."""
    parameters = {"limit": limit} | ({"after": after} if after is not None else {})
    return api.get(tuple[Event, ...], "events", **parameters)


def endless(api: Api, after: int, sleep: Callable[[float], None]) -> Iterator[Event]:
    """Every event younger than `after`, across breaks of the connection.

    Raises Failure for what waiting does not heal (a revoked token).
    """
    wait = FIRST_WAIT
    while True:
        reason = "it ended the stream"
        try:
            for event in api.follow(Event, "events", follow=1, after=after):
                after, wait = max(after, event.id or 0), FIRST_WAIT
                yield event
        except Failure as failure:
            if failure.code not in (Exit.UNREACHABLE, Exit.BROKEN):
                raise
            reason = failure.message
        click.echo(f"lost the API ({reason}); again in {wait:g} s", err=True)
        sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _print(event: Event) -> None:
    subject = event.node or "-"
    line = f"{output.iso(event.at)}  {subject:<8}  {event.kind:<22}  {event.message}"
    click.echo(output.safe(line))


def _print_json(event: Event) -> None:
    output.print_json_line(
        {
            "id": event.id,
            "at": output.iso(event.at),
            "kind": event.kind,
            "node": event.node,
            "client": event.client,
            "message": event.message,
            "data": event.data,
        }
    )
