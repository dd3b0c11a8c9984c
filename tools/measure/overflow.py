"""UDP datagrams that a host's sockets had no room for: losses that no router is to blame for.

Counted by the kernel for each network namespace, over all sockets (`RcvbufErrors` in
/proc/net/snmp and `Udp6RcvbufErrors` in /proc/net/snmp6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tools.measure import netns

V4, V6 = "RcvbufErrors", "Udp6RcvbufErrors"
_OWN = Path("/proc/thread-self/net")


class Unreadable(ValueError):
    """The kernel's counters are not what they were. The message says what is missing."""


def counts(names: Iterable[str]) -> dict[str, int]:
    """By network namespace, since it was made. Raises OSError, Unreadable."""
    found = {}
    for name in names:
        with netns.entered(name):
            v4, v6 = ((_OWN / file).read_text() for file in ("snmp", "snmp6"))
        found[name] = parsed(v4, v6)
    return found


def parsed(snmp: str, snmp6: str) -> int:
    """Of both families. Raises Unreadable."""
    heads, values = [line.split()[1:] for line in snmp.splitlines() if line.startswith("Udp:")]
    fields = dict(zip(heads, values, strict=True))
    fields |= dict(line.split()[:2] for line in snmp6.splitlines())
    try:
        return int(fields[V4]) + int(fields[V6])
    except KeyError as missing:
        raise Unreadable(f"the kernel counts no {missing.args[0]}") from None


def since(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """How many more there are now. One that is there no more, or new, counts from 0."""
    return sum(max(0, count - before.get(name, 0)) for name, count in after.items())
