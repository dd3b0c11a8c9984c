"""What the edge routers of a datacentre must be told, in the syntax that they speak.

The stack makes no router; it prints the part of a router's configuration that speaks with
the nodes, for a person or a tool of the network's own to put in place. Every syntax says
the same, which is what the lab's routers do (docs/routing.md):

* eBGP with every node, IPv4 over IPv4 and IPv6 over IPv6, watched by BFD;
* accept the anycast prefixes, the client pools and single loopback addresses, nothing else,
  and no more of them than LIMIT;
* GRACEFUL_SHUTDOWN (RFC 8326) makes a route the last choice;
* ECMP over all nodes that announce, with resilient hashing where the platform has it, so
  that a node's coming or going moves no other node's flows;
* announce a default route and the datacentre's services to the nodes, and nothing else.

`ROUTERS` has one pure function for each syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from components.metal.neighbours import bird, eos, frr, junos
from components.metal.neighbours.model import Edge

ROUTERS: Mapping[str, Callable[[Edge], str]] = {
    "bird": bird.render,
    "eos": eos.render,
    "frr": frr.render,
    "junos": junos.render,
}
"""Syntax -> configuration of one edge router, with a line's end at the end."""

__all__ = ["ROUTERS", "Edge"]
