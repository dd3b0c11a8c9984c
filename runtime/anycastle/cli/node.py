"""`anycastle node`: nodes as they report themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from anycastle.cli import output
from anycastle.cli.errors import Exit, Failure, nearest
from anycastle.cli.options import as_json, with_api
from anycastle.cli.status import print_nodes
from anycastle.model.api import NodeView

if TYPE_CHECKING:
    from anycastle.cli.api import Api


@click.group()
def node() -> None:
    """Nodes: list them, look at one."""


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


def all_nodes(api: Api) -> tuple[NodeView, ...]:
    return api.get(tuple[NodeView, ...], "nodes")


def find_node(api: Api, name: str) -> NodeView:
    """Raises Failure with the nearest name when there is none."""
    try:
        return api.get(NodeView, "nodes", name)
    except Failure as failure:
        if failure.code is not Exit.NOT_FOUND:
            raise
    hint = nearest(name, (n.name for n in all_nodes(api)))
    raise Failure(Exit.NOT_FOUND, f"no node is called {name!r}{hint}: see `anycastle node list`")


def _print(found: NodeView) -> None:
    done = found.takeovers
    output.print_fields(
        {
            "name": found.name,
            "datacentre": found.datacentre,
            "state": found.state,
            "reason": found.reason,
            "announcing": found.announcing,
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
