"""Juniper Junos (Junos OS BGP User Guide): a file for `load merge`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from anycastle.model.addresses import Network
from components.metal.neighbours.model import GRACEFUL_SHUTDOWN, HOLD, LIMIT, Edge, of_family

Block = str | tuple[str, "list[Block]"]
"""A statement, or a name with what stands in its braces."""


def render(edge: Edge) -> str:
    """The file's text."""
    policies: list[Block] = [
        f"community ANYCASTLE-GSHUT members {GRACEFUL_SHUTDOWN}",
        *(_import(edge, version) for version in (4, 6)),
        *(_export(edge, version) for version in (4, 6)),
        ("policy-statement ANYCASTLE-ECMP", [("then", ["load-balance per-packet"])]),
    ]
    groups: list[Block] = [_group(edge, version) for version in (4, 6)]
    tree: list[Block] = [
        ("policy-options", policies),
        ("protocols", [("bgp", groups)]),
        (
            "routing-options",
            [("forwarding-table", ["export ANYCASTLE-ECMP"])],
        ),
    ]
    head = [f"/* Sessions with the nodes of {edge.name}, which is AS {edge.asn}. */"]
    return "\n".join([*head, *_lines(tree, 0), ""])


def _lines(blocks: Iterable[Block], depth: int) -> Iterator[str]:
    indent = "    " * depth
    for block in blocks:
        if isinstance(block, str):
            yield f"{indent}{block};"
            continue
        name, inner = block
        yield f"{indent}{name} {{"
        yield from _lines(inner, depth + 1)
        yield f"{indent}}}"


def _import(edge: Edge, version: int) -> Block:
    """consistent-hash: a next hop that comes or goes moves only its own flows."""
    filters = [*_exact(edge.accepted, version), *_hosts(edge.hosts, version)]
    return (
        f"policy-statement ANYCASTLE-IN{version}",
        [
            (
                "term drained",
                [
                    ("from", ["community ANYCASTLE-GSHUT", *filters]),
                    ("then", ["local-preference 0", "load-balance consistent-hash", "accept"]),
                ],
            ),
            (
                "term nodes",
                [("from", filters), ("then", ["load-balance consistent-hash", "accept"])],
            ),
            ("term rest", [("then", ["reject"])]),
        ],
    )


def _export(edge: Edge, version: int) -> Block:
    anything = "0.0.0.0/0" if version == 4 else "::/0"
    filters: list[Block] = [f"route-filter {anything} exact", *_exact(edge.offered, version)]
    return (
        f"policy-statement ANYCASTLE-OUT{version}",
        [
            ("term nodes", [("from", filters), ("then", ["accept"])]),
            ("term rest", [("then", ["reject"])]),
        ],
    )


def _exact(networks: Iterable[Network], version: int) -> list[Block]:
    return [f"route-filter {network} exact" for network in of_family(networks, version)]


def _hosts(networks: Iterable[Network], version: int) -> list[Block]:
    return [
        f"route-filter {net} prefix-length-range /{net.max_prefixlen}-/{net.max_prefixlen}"
        for net in of_family(networks, version)
    ]


def _group(edge: Edge, version: int) -> Block:
    family = "inet" if version == 4 else "inet6"
    limit: Block = ("unicast", [("prefix-limit", [f"maximum {LIMIT}"])])
    bfd: list[Block] = [
        f"minimum-interval {edge.bfd.interval}",
        f"multiplier {edge.bfd.multiplier}",
    ]
    nodes: list[Block] = [
        (f"neighbor {node.address(version)}", [f'description "{node.name}"']) for node in edge.nodes
    ]
    return (
        f"group ANYCASTLE{version}",
        [
            "type external",
            f"hold-time {HOLD}",
            f"import ANYCASTLE-IN{version}",
            (f"family {family}", [limit]),
            f"export ANYCASTLE-OUT{version}",
            f"peer-as {edge.node_asn}",
            "multipath",
            ("bfd-liveness-detection", bfd),
            *nodes,
        ],
    )
