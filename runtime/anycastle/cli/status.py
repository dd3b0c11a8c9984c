"""`anycastle status`: the deployment at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from anycastle.cli import output, waiting
from anycastle.cli.options import as_json, with_api
from anycastle.model.api import NodeView, Status

if TYPE_CHECKING:
    from anycastle.cli.api import Api

NODE_FIELDS = (
    "name",
    "datacentre",
    "state",
    "announcing",
    "sessions",
    "revision",
    "routing",
    "wireguard",
    "takeover",
    "version",
)
CLIENT_FIELDS = ("enrolled", "connected")


@click.command()
@as_json
@with_api
def status(api: Api, as_json: bool) -> None:
    """State of the deployment: nodes, who announces, clients.

    \b
    Examples:
      anycastle status
      anycastle status --json | jq -r '.nodes[] | select(.announcing) | .name'
    """
    found = api.get(Status, "status")
    if as_json:
        output.print_json(shape(found))
    else:
        _print(found)


def shape(found: Status) -> dict[str, object]:
    """What `--json` prints (docs/cli.md)."""
    return {
        "deployment": found.deployment,
        "anycast": [str(address) for address in found.anycast],
        "nodes": [output.pick(node, (*NODE_FIELDS, "drain")) for node in found.nodes],
        "clients": output.pick(found.clients, CLIENT_FIELDS),
    }


def _print(found: Status) -> None:
    output.print_fields(
        {
            "deployment": found.deployment,
            "anycast": ", ".join(str(address) for address in found.anycast),
            "clients": f"{found.clients.enrolled} enrolled, {found.clients.connected} connected",
            "revision": found.revision,
        }
    )
    click.echo()
    print_nodes(found.nodes)


def print_nodes(nodes: tuple[NodeView, ...]) -> None:
    """The table of nodes; what ails one stands in the line below the table."""
    headings = [field.upper() for field in NODE_FIELDS]
    output.print_table(headings, [_row(node) for node in nodes])
    for node in nodes:
        drain = waiting.drain_text(node, node.drain) if node.drain else ""
        for reason in filter(None, (node.reason, drain, _split(node.takeover)[1])):
            click.echo(f"\n{output.safe(node.name)}: {output.safe(reason)}")


def _row(node: NodeView) -> list[Any]:
    values = output.pick(node, NODE_FIELDS) | {"takeover": _split(node.takeover)[0]}
    return [values[field] for field in NODE_FIELDS]


def _split(takeover: str) -> tuple[str, str]:
    """`KIND: REASON` has too much to say for a table: (word, sentence or "")."""
    word, _, reason = takeover.partition(": ")
    if not reason:
        return word, ""
    intro = {"none": "no takeover", "off": "takeover is off"}.get(word, f"takeover by {word}")
    return word, f"{intro}: {reason}"
