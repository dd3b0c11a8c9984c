"""The rules of the packet path by nftables, as text. Pure; `scripts` makes transactions of it.

One table of family netdev, the only one with hooks before routing that can also send a
packet on to a neighbour. What a packet goes through, by chain:

    out-UPLINK ─ type 1, 2 from the service port ─► learnN     index → mine, fresh, asked
    in-UPLINK ─┬ from the inter-node path ─► relayedN          ours: delivered, else dropped
               └ to the anycast address ─► serviceN ─┬ type 2 ─► answered, once per index
                                                     └ type 4 ─► dataN
    dataN ─┬ index in mine, endpoint not forgotten ─► WireGuard (the first one: reported)
           └► foreignN ─ endpoint → mark (map relayN) ─ mark → chain (map ownersN)
                  ├► ownerN-LOOPBACK ─ report ─ trusted? ─► fwd to the owner
                  ├► vanishedN ─ report ─► WireGuard, which drops it
                  └► unknown ─► WireGuard, which drops it or has it from a roaming client

N is 4 or 6. The endpoint's value is a mark and not a verdict, because the kernel walks
every verdict of every map when a table with verdicts changes, 100,000 of them each time.

Offsets: `@th` is the UDP header, the WireGuard message starts at bit 64, its (sender or
receiver) index at 96, a response's receiver index at 128 (WireGuard's white paper, 5.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from anycastle.model.addresses import Address, Dual, fabric_interface, fabric_mac

Version = Literal[4, 6]
VERSIONS: tuple[Version, ...] = (4, 6)

VANISHED = 1
"""The mark of an endpoint whose owner vanished: report, relay to nobody."""

COUNTERS = (
    "own",
    "foreign",
    "relayed",
    "delivered",
    "refused",
    "unknown",
    "reported",
    "suppressed",
)

_INDEX_SECONDS = 200  # a key lives 180 s (white paper, 6.1), and packets of it somewhat longer
_ASKED_SECONDS = 20  # a response comes within 5 s, or WireGuard initiates anew
_PER_ENDPOINT = "limit rate 1/second burst 1 packets"
_EVENTS = "rate 2000/second burst 500 packets"
_GLOBAL = "limit name events"
_IP: dict[Version, str] = {4: "ip", 6: "ip6"}
_ADDRESS: dict[Version, str] = {4: "ipv4_addr", 6: "ipv6_addr"}
_SNAP: dict[Version, int] = {4: 60 + 8, 6: 40 + 8}  # the IP header at its longest, and the ports


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What the table depends on.

    table, group: its name, the NFLOG group of the events. addresses, port: of the service.
    own: IPv4 loopback of this node. networks: of the nodes' addresses on the inter-node
    path. clients: how many endpoints have to fit. fabric: device of the inter-node path.
    """

    table: str
    group: int
    addresses: tuple[Address, ...]
    port: int
    own: IPv4Address
    networks: Dual
    clients: int
    fabric: str


def hook_chains(uplinks: Iterable[str]) -> set[str]:
    return {name for name, _ in hooks(uplinks)}


def is_hook_chain(name: str) -> bool:
    return name.startswith(("in-", "out-"))


def owner_chain(version: Version, loopback: IPv4Address) -> str:
    return f"owner{version}-{loopback}"


def owners_of(chains: Iterable[str]) -> set[IPv4Address]:
    """The nodes that there are chains for."""
    return {IPv4Address(name[7:]) for name in chains if name.startswith("owner4-")}


def mark_of(loopback: IPv4Address | None) -> int:
    """An owner as the value in the map of endpoints."""
    return VANISHED if loopback is None else int(loopback)


def owner_of(mark: int) -> IPv4Address | None:
    return None if mark == VANISHED else IPv4Address(mark)


# sets ----------------------------------------------------------------------


def sets(rules: Ruleset) -> Iterator[str]:
    index = "typeof @th,96,32; size {size}; flags dynamic,timeout; timeout {seconds}s;"
    indices = 4 * rules.clients
    yield f"add limit netdev {rules.table} events {{ {_EVENTS}; }}"
    yield _set(rules, "mine", index.format(size=indices, seconds=_INDEX_SECONDS))
    yield _set(rules, "fresh", index.format(size=indices, seconds=_INDEX_SECONDS))
    yield _set(rules, "asked", index.format(size=rules.clients, seconds=_ASKED_SECONDS))
    for version in VERSIONS:
        endpoint = f"{_ADDRESS[version]} . inet_service"
        timed = f"type {endpoint}; size {rules.clients}; flags dynamic,timeout; timeout "
        yield _set(rules, f"recent{version}", f"{timed}2s;")
        yield _set(rules, f"forgotten{version}", f"{timed}{_INDEX_SECONDS}s;")
        yield _map(rules, f"relay{version}", f"type {endpoint} : mark; size {rules.clients};")
        yield _map(rules, f"owners{version}", "type mark : verdict; size 65536;")


def _set(rules: Ruleset, name: str, spec: str) -> str:
    return f"add set netdev {rules.table} {name} {{ {spec} }}"


def _map(rules: Ruleset, name: str, spec: str) -> str:
    return f"add map netdev {rules.table} {name} {{ {spec} }}"


# chains --------------------------------------------------------------------


def hooks(uplinks: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, hook) of the chains that the kernel calls."""
    for uplink in uplinks:
        for prefix, hook in (("in", "ingress"), ("out", "egress")):
            spec = f'type filter hook {hook} device "{uplink}" priority -150; policy accept;'
            yield f"{prefix}-{word(uplink)}", spec


def chains(rules: Ruleset, uplinks: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(name, rules) of every chain but `trusted` and the owners'."""
    for version in VERSIONS:
        yield f"report{version}", _report(rules, version)
        yield f"vanished{version}", ["counter name foreign", f"jump report{version}", _ACCEPT]
        yield f"foreign{version}", _foreign(version)
        yield f"data{version}", _data(rules, version)
        yield f"service{version}", _service(rules, version)
        yield f"relayed{version}", _relayed(rules, version)
        yield f"learn{version}", _learn(version)
    for uplink in uplinks:
        yield f"in-{word(uplink)}", list(_in(rules))
        yield f"out-{word(uplink)}", list(_out(rules))


_ACCEPT = "meta mark set 0 accept"
_DATA = "@th,64,32 0x04000000 udp length >= 40"
_INITIATION = "@th,64,32 0x01000000 udp length 156"
_RESPONSE = "@th,64,32 0x02000000 udp length 100"


def _log(rules: Ruleset, version: Version, kind: str) -> str:
    return (
        f'counter name reported log prefix "{kind}" group {rules.group} '
        f"snaplen {_SNAP[version]} queue-threshold 1"
    )


def _source(version: Version) -> str:
    return f"{_IP[version]} saddr . udp sport"


def _report(rules: Ruleset, version: Version) -> list[str]:
    """One a second of an endpoint."""
    once = f"update @recent{version} {{ {_source(version)} {_PER_ENDPOINT} }}"
    return [f"{once} {_GLOBAL} {_log(rules, version, 'foreign')} return", "counter name suppressed"]


def owner(rules: Ruleset, version: Version, loopback: IPv4Address) -> list[str]:
    network = rules.networks.v4 if version == 4 else rules.networks.v6
    hop = fabric_interface(network, loopback).ip
    return [
        "counter name foreign",
        f"jump report{version}",
        "jump trusted",
        # The tunnel routes its own packets by the mark, if there is one.
        f'counter name relayed meta mark set 0 fwd {_IP[version]} to {hop} device "{rules.fabric}"',
    ]


def _foreign(version: Version) -> list[str]:
    return [
        f"meta mark set {_source(version)} map @relay{version}",
        f"meta mark vmap @owners{version}",
        f"meta mark {VANISHED} goto vanished{version}",
        "counter name unknown",
    ]


def _first(rules: Ruleset, version: Version) -> str:
    fresh = "@th,96,32 @fresh delete @fresh { @th,96,32 }"
    return f"{fresh} {_GLOBAL} {_log(rules, version, 'first')}"


def _data(rules: Ruleset, version: Version) -> list[str]:
    return [
        f"{_source(version)} @forgotten{version} goto foreign{version}",
        _first(rules, version),
        "@th,96,32 @mine counter name own accept",
        f"goto foreign{version}",
    ]


def _service(rules: Ruleset, version: Version) -> list[str]:
    """Data, and responses to what this node initiated. The rest is WireGuard's business."""
    asked = "@th,128,32 @asked delete @asked { @th,128,32 }"
    return [
        f"{_DATA} goto data{version}",
        f"{_RESPONSE} {asked} {_GLOBAL} {_log(rules, version, 'answered')}",
    ]


def _relayed(rules: Ruleset, version: Version) -> list[str]:
    """Ours, or nobody's: a packet is relayed once."""
    refuse = "counter name refused drop"
    return [
        f"{_source(version)} @forgotten{version} {refuse}",
        f"{_DATA} {_first(rules, version)}",
        f"{_DATA} @th,96,32 @mine counter name delivered accept",
        refuse,
    ]


def _learn(version: Version) -> list[str]:
    """A session is being negotiated: its endpoint is no longer one to forget."""
    return [
        "update @mine { @th,96,32 } update @fresh { @th,96,32 }",
        f"{_INITIATION} update @asked {{ @th,96,32 }}",
        f"delete @forgotten{version} {{ {_IP[version]} daddr . udp dport }}",
    ]


def _in(rules: Ruleset) -> Iterator[str]:
    """Fragments are left to WireGuard: those that follow the first have no ports."""
    mac = fabric_mac(rules.own)
    for version in VERSIONS:
        to = [str(address) for address in rules.addresses if address.version == version]
        if not to:
            continue
        whole = " ip frag-off & 0x3fff == 0" if version == 4 else ""
        service = f"{_IP[version]} daddr {{ {', '.join(to)} }}{whole} udp dport {rules.port}"
        # What came over the inter-node path was handed over with that path's MAC. From
        # the wire a frame with it is somebody else's, and the kernel drops it.
        yield f"meta pkttype host ether daddr {mac} {service} goto relayed{version}"
        yield f"{service} goto service{version}"


def _out(rules: Ruleset) -> Iterator[str]:
    for version, protocol in ((4, "ip"), (6, "ip6")):
        sent = f"meta protocol {protocol} udp sport {rules.port}"
        yield f"{sent} {_INITIATION} jump learn{version}"
        yield f"{sent} {_RESPONSE} jump learn{version}"


def word(device: str) -> str:
    """A device's name in a chain's, which has fewer characters to choose from."""
    return re.sub(r"[^A-Za-z0-9_.-]", lambda found: f"_{ord(found[0]):02x}", device)
