"""The nft scripts of the packet path: each is one transaction. Pure.

Everything is added idempotently and chains are flushed before they get their rules, all
in one transaction: the same text loads the ruleset, and renews it under traffic with the
sets (the indices, the endpoints) as they are. Only `trusted` is left as it is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from anycastle.agent.takeover.nft import ruleset
from anycastle.agent.takeover.nft.ruleset import Ruleset


class Markers(NamedTuple):
    """sets: with the same, what was learnt can be kept. rules: with the same, all is done."""

    sets: str
    rules: str


def load(
    rules: Ruleset, uplinks: Sequence[str], owners: Iterable[IPv4Address], *, trusted: bool
) -> str:
    """The script that makes the table, or renews it.

    uplinks: devices that exist. owners: that there are chains for. trusted: leave it at what
    was allowed until now; else relaying is switched off.
    """
    lines = [f"add table netdev {rules.table}", *ruleset.sets(rules)]
    lines += [f"add counter netdev {rules.table} {name}" for name in ruleset.COUNTERS]
    chains = dict(ruleset.chains(rules, uplinks))
    hooks = dict(ruleset.hooks(uplinks))
    lines += [_add_chain(rules, name, hooks.get(name, "")) for name in ("trusted", *chains)]
    lines += [f"flush chain netdev {rules.table} {name}" for name in chains]
    lines += [
        f"add rule netdev {rules.table} {name} {rule}"
        for name, body in chains.items()
        for rule in body
    ]
    script = _script(lines)
    script += "".join(owner(rules, loopback) for loopback in sorted(owners))
    return script + ("" if trusted else trust(rules, on=False))


def owner(rules: Ruleset, loopback: IPv4Address) -> str:
    """The script that makes it possible to relay to this node."""
    lines = []
    for version in ruleset.VERSIONS:
        name = ruleset.owner_chain(version, loopback)
        lines += [_add_chain(rules, name), f"flush chain netdev {rules.table} {name}"]
        lines += [
            f"add rule netdev {rules.table} {name} {rule}"
            for rule in ruleset.owner(rules, version, loopback)
        ]
        element = f"{{ {ruleset.mark_of(loopback):#010x} : goto {name} }}"
        lines.append(f"add element netdev {rules.table} owners{version} {element}")
    return _script(lines)


def trust(rules: Ruleset, *, on: bool) -> str:
    """The script that allows relaying, or has foreign packets go to WireGuard instead."""
    lines = [f"flush chain netdev {rules.table} trusted"]
    if not on:
        lines.append(f"add rule netdev {rules.table} trusted meta mark set 0 accept")
    return _script(lines)


def remove_chains(rules: Ruleset, names: Iterable[str]) -> str:
    return _script(f"delete chain netdev {rules.table} {name}" for name in names)


def delete(rules: Ruleset) -> str:
    """The script that deletes the table, which must be there."""
    return f"delete table netdev {rules.table}\n"


def markers(rules: Ruleset, uplinks: Sequence[str], devices: Iterable[tuple[str, int]]) -> Markers:
    """Names of the empty chains that say what is loaded.

    devices: names and numbers, because rules hold the numbers of the devices. Neither the
    owners nor what is trusted make another ruleset of it.
    """
    text = load(rules, uplinks, (), trusted=True) + repr(sorted(devices))
    return Markers(f"sets-{_digest(repr(list(ruleset.sets(rules))))}", f"rules-{_digest(text)}")


def mark(rules: Ruleset, wanted: Markers, present: Iterable[str]) -> str:
    """The script that makes the empty chains, in place of those that are there."""
    stale = [one for one in present if one.startswith(("sets-", "rules-")) and one not in wanted]
    return _script(_add_chain(rules, one) for one in wanted) + remove_chains(rules, sorted(stale))


def _add_chain(rules: Ruleset, name: str, hook: str = "") -> str:
    return f"add chain netdev {rules.table} {name}" + (f" {{ {hook} }}" if hook else "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _script(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
