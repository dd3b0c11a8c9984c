"""May a node be drained? Pure; the caller decides in the transaction that writes the order.

What counts as a node that can take clients over: UP and announcing by a fresh report, and
not itself asked to drain. Reports lag by seconds, so the node's own rule about the last
announcer stands behind this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from anycastle.control.errors import Conflict
from anycastle.model.api import NodeView
from anycastle.model.status import NodeState


def unfit(node: NodeView) -> str:
    """Why a node can't be relied upon to take clients over, "" when it can."""
    if node.drain is not None:
        return "asked to drain"
    if node.state is not NodeState.UP:
        return f"{node.state.value} ({node.reason})" if node.reason else node.state.value
    return "" if node.announcing else "not announcing"


def require_successor(name: str, nodes: Iterable[NodeView]) -> None:
    """Raises Conflict `last_node`, with what is wrong with each other node."""
    others = {node.name: unfit(node) for node in nodes if node.name != name}
    if not others:
        raise Conflict("last_node", f"{name} is the only node of the deployment")
    if not all(others.values()):
        return
    reasons = ", ".join(f"{other}: {reason}" for other, reason in others.items())
    raise Conflict("last_node", f"no other node could take the clients of {name} over: {reasons}")
