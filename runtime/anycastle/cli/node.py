"""`anycastle node`: nodes as they report themselves; drain and resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from anycastle.cli import output, waiting
from anycastle.cli.edges import edges
from anycastle.cli.errors import Exit, Failure, nearest
from anycastle.cli.options import as_json, duration, with_api
from anycastle.cli.status import print_nodes
from anycastle.model.api import NodeDrain, NodeView

if TYPE_CHECKING:
    from anycastle.cli.api import Api


@click.group()
def node() -> None:
    """Nodes: list them, look at one, drain and resume one."""


@node.command("list")
@as_json
@with_api
def list_(api: Api, as_json: bool) -> None:
    """All nodes with their state.

    \b
    Example:
      anycastle node list
    """
    nodes = all_nodes(api)
    if as_json:
        output.print_json(nodes)
    else:
        print_nodes(nodes)


@node.command()
@click.argument("name")
@as_json
@with_api
def show(api: Api, name: str, as_json: bool) -> None:
    """One node with its probes.

    \b
    Examples:
      anycastle node show ams-1
      anycastle node show ams-1 --json | jq '.probes[] | select(.healthy | not)'
    """
    found = find_node(api, name)
    if as_json:
        output.print_json(found)
    else:
        _print(found)


@node.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Show the sessions that are left, until none is.")
@click.option("--deadline", type=duration, default="10m", show_default=True, metavar="TIME",
              help="How long to wait for sessions.")  # fmt: skip
@click.option("--force", is_flag=True, help="Also if no other node could take its clients.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for events and colleagues.")
@as_json
@with_api
def drain(
    api: Api, name: str, *, wait: bool, deadline: float, force: bool, reason: str, as_json: bool
) -> None:
    """Take a node out of service without losing a packet.

    It is announced as the last choice, then withdrawn; other nodes take its clients over,
    and it serves what still reaches it. It stays out of service, over restarts and
    reboots, until `anycastle node resume`. Of a node that is drained already this sets
    another deadline.

    \b
    Examples:
      anycastle node drain ams-1 --wait --reason "new disk"
      anycastle node drain ams-1 --wait --json | jq -r .sessions
      anycastle node drain ams-1 --deadline 1h
    """
    body = NodeDrain(deadline_seconds=deadline, force=force, reason=reason)
    asked = _post(api, name, "drain", body)
    how_far = waiting.Drained()(asked, 0.0).text
    said = f"{how_far}; `anycastle node show {name}` tells how far it is"
    _follow(api, asked, waiting.Drained(), wait=wait, as_json=as_json, said=said)


@node.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait until it is announced again.")
@as_json
@with_api
def resume(api: Api, name: str, *, wait: bool, as_json: bool) -> None:
    """Bring a drained node back into service.

    It announces once its probes are good. Clients move to it as routing brings them;
    none is pulled over.

    \b
    Example:
      anycastle node resume ams-1 --wait
    """
    asked = _post(api, name, "resume", None)
    serves = waiting.resumed(asked, 0.0).over is Exit.DONE
    said = "in service" if serves else "comes back into service once its probes are good"
    _follow(api, asked, waiting.resumed, wait=wait, as_json=as_json, said=said)


def _post(api: Api, name: str, verb: str, body: NodeDrain | None) -> NodeView:
    try:
        return api.post(NodeView, body, "nodes", name, verb)
    except Failure as failure:
        if failure.reason == "last_node":
            advice = "heal or resume another node first, or give --force"
            raise Failure(failure.code, f"{failure.message}: {advice}", failure.reason) from None
        if failure.code is not Exit.NOT_FOUND:
            raise
    raise _unknown(api, name)


def _follow(
    api: Api, asked: NodeView, judge: waiting.Judge, *, wait: bool, as_json: bool, said: str
) -> None:
    if not wait:
        if as_json:
            output.print_json(waiting.drain_shape(asked))
        else:
            click.echo(output.safe(f"{asked.name}: {said}"))
        return
    try:
        waiting.wait(api, asked.name, judge, edges().sleep, json=as_json)
    except KeyboardInterrupt:
        click.echo(f"{asked.name} goes on without this command", err=True)
        raise SystemExit(130) from None


def all_nodes(api: Api) -> tuple[NodeView, ...]:
    return api.get(tuple[NodeView, ...], "nodes")


def find_node(api: Api, name: str) -> NodeView:
    """Raises Failure with the nearest name when there is none."""
    try:
        return api.get(NodeView, "nodes", name)
    except Failure as failure:
        if failure.code is not Exit.NOT_FOUND:
            raise
    raise _unknown(api, name)


def _unknown(api: Api, name: str) -> Failure:
    hint = nearest(name, (n.name for n in all_nodes(api)))
    return Failure(Exit.NOT_FOUND, f"no node is called {name!r}{hint}: see `anycastle node list`")


def _print(found: NodeView) -> None:
    done = found.takeovers
    output.print_fields(
        {
            "name": found.name,
            "datacentre": found.datacentre,
            "state": found.state,
            "reason": found.reason,
            "announcing": found.announcing,
            **_drain_fields(found),
            "sessions": found.sessions,
            "revision": found.revision,
            "routing": found.routing,
            "wireguard": found.wireguard,
            "takeover": found.takeover,
            "taken over": f"{done.confirmed} clients, gave up on {done.gave_up}",
            "relayed": f"{done.relayed} packets to others, {done.delivered} from others",
            "version": found.version,
            "last report": found.last_report,
        }
    )
    if found.probes:
        click.echo()
        rows = [[p.name, "good" if p.healthy else "BAD", p.detail] for p in found.probes]
        output.print_table(["PROBE", "RESULT", "DETAIL"], rows)


def _drain_fields(found: NodeView) -> dict[str, str]:
    drain = found.drain
    if drain is None:
        return {}
    forced = ", forced" if drain.force else ""
    because = f" ({drain.reason})" if drain.reason else ""
    return {
        "drain": waiting.drain_text(found, drain) + forced + because,
        "drain since": drain.since,
        "drain until": f"{drain.deadline} ({waiting.span(drain.seconds_left)} to go)",
        "ready to resume": "yes" if drain.ready else "no",
    }
