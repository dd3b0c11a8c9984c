"""A stack's configuration file, made fit for a preview without its secrets provider. Pure.

The copy that a preview runs on has every setting of the original. What only the stack's key could
decrypt becomes a marked secret, and the key's own entries are dropped, so that Pulumi takes a
throw-away passphrase instead. A secret that everybody sets for himself, and that no shipped file
has, gets a stand-in, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
PROJECT = "anycastle"
KEYS = frozenset({"encryptionsalt", "encryptedkey", "secretsprovider"})
STAND_IN = "pretended-secret"


def prepared(document: Document) -> dict[str, Any]:
    """The configuration for the preview."""
    kept = {key: value for key, value in document.items() if key not in KEYS}
    config = plain(kept.get("config") or {})
    if "metal" in kinds(document):
        config.setdefault(f"{PROJECT}:sshKey", STAND_IN)
    return {**kept, "config": config}


def plain(value: Any) -> Any:
    """Encrypted values (`{secure: …}`) become stand-ins; everything else stays."""
    if isinstance(value, Mapping):
        if set(value) == {"secure"}:
            return STAND_IN
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def reads(document: Document) -> str | None:
    """The stack of this project whose outputs the stack reads, None for none."""
    setting = (document.get("config") or {}).get(f"{PROJECT}:stack")
    name = setting.get("reads") if isinstance(setting, Mapping) else None
    return str(name).rsplit("/", 1)[-1] if name else None


def siblings(stack: str, documents: Mapping[str, Document]) -> list[str]:
    """Stacks that `stack` may read, in the order of their own needs: its global stack, then the
    regions of that with lower node ids."""
    source = reads(documents[stack])
    if source is None:
        return []
    others = [
        name for name, document in documents.items() if reads(document) == source and name != stack
    ]
    own = lowest_id(documents[stack])
    lower = [name for name in others if lowest_id(documents[name]) < own]
    return [source, *sorted(lower, key=lambda name: lowest_id(documents[name]))]


def lowest_id(document: Document) -> float:
    """The lowest node id of a region's datacentre; regions are ordered by it."""
    setting = (document.get("config") or {}).get(f"{PROJECT}:datacentre")
    nodes = setting.get("nodes") if isinstance(setting, Mapping) else None
    ids = [
        node["id"]
        for node in nodes or []
        if isinstance(node, Mapping) and isinstance(node.get("id"), int)
    ]
    return min(ids, default=float("inf"))


def is_lab(document: Document) -> bool:
    """Whether its hosts are of this machine, so that nothing can be pretended (only previewed)."""
    return any(word == "lab" for word in kinds(document))


def kinds(document: Document) -> Iterator[str]:
    """Kinds of the datacentres that the stack makes."""
    config = document.get("config") or {}
    deployment = config.get(f"{PROJECT}:deployment")
    several = deployment.get("datacentres") or [] if isinstance(deployment, Mapping) else []
    for datacentre in [*several, config.get(f"{PROJECT}:datacentre")]:
        if isinstance(datacentre, Mapping):
            yield str(datacentre.get("kind"))
