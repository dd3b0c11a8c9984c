"""The nftables ruleset as text: golden."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.takeover.nft import ruleset, scripts
from anycastle.agent.takeover.nft.ruleset import Ruleset
from anycastle.model.addresses import Dual

OWN, OTHER = IPv4Address("10.64.0.1"), IPv4Address("10.64.0.2")
RULES = Ruleset(
    table="t",
    group=5182,
    addresses=(IPv4Address("192.0.2.1"), IPv6Address("2001:db8:a::1")),
    port=51820,
    own=OWN,
    networks=Dual(IPv4Network("10.67.0.0/16"), IPv6Network("fd00:67::/64")),
    clients=1000,
    fabric="fabric0",
)


def body(script: str, chain: str) -> list[str]:
    """The rules of a chain, in order."""
    start = f"add rule netdev t {chain} "
    return [line.removeprefix(start) for line in script.splitlines() if line.startswith(start)]


def loaded(**changes: bool) -> str:
    return scripts.load(RULES, ["up0"], [OTHER], **{"trusted": True, **changes})


def test_the_sets() -> None:
    sets = [line for line in loaded().splitlines() if line.startswith(("add set", "add map"))]
    index = "{ typeof @th,96,32; size 4000; flags dynamic,timeout; timeout 200s; }"
    timed = "; size 1000; flags dynamic,timeout; timeout"
    assert sets == [
        f"add set netdev t mine {index}",
        f"add set netdev t fresh {index}",
        (
            "add set netdev t asked "
            "{ typeof @th,96,32; size 1000; flags dynamic,timeout; timeout 20s; }"
        ),
        f"add set netdev t recent4 {{ type ipv4_addr . inet_service{timed} 2s; }}",
        f"add set netdev t forgotten4 {{ type ipv4_addr . inet_service{timed} 200s; }}",
        "add map netdev t relay4 { type ipv4_addr . inet_service : mark; size 1000; }",
        "add map netdev t owners4 { type mark : verdict; size 65536; }",
        f"add set netdev t recent6 {{ type ipv6_addr . inet_service{timed} 2s; }}",
        f"add set netdev t forgotten6 {{ type ipv6_addr . inet_service{timed} 200s; }}",
        "add map netdev t relay6 { type ipv6_addr . inet_service : mark; size 1000; }",
        "add map netdev t owners6 { type mark : verdict; size 65536; }",
    ]


def test_one_bucket_for_all_events() -> None:
    limit = "add limit netdev t events { rate 2000/second burst 500 packets; }"
    assert limit in loaded().splitlines()
    for rule in loaded().splitlines():
        assert (" log prefix " in rule) == ("limit name events" in rule), rule


def test_a_packet_from_an_uplink() -> None:
    script = loaded()
    service4 = "ip daddr { 192.0.2.1 } ip frag-off & 0x3fff == 0 udp dport 51820"
    service6 = "ip6 daddr { 2001:db8:a::1 } udp dport 51820"
    relayed = "meta pkttype host ether daddr 02:ac:0a:40:00:01"
    assert body(script, "in-up0") == [
        f"{relayed} {service4} goto relayed4",
        f"{service4} goto service4",
        f"{relayed} {service6} goto relayed6",
        f"{service6} goto service6",
    ]
    log = (
        "limit name events counter name reported "
        'log prefix "{}" group 5182 snaplen 68 queue-threshold 1'
    )
    assert body(script, "service4") == [
        "@th,64,32 0x04000000 udp length >= 40 goto data4",
        "@th,64,32 0x02000000 udp length 100 @th,128,32 @asked delete @asked { @th,128,32 } "
        + log.format("answered"),
    ]
    assert body(script, "data4") == [
        "ip saddr . udp sport @forgotten4 goto foreign4",
        "@th,96,32 @fresh delete @fresh { @th,96,32 } " + log.format("first"),
        "@th,96,32 @mine counter name own accept",
        "goto foreign4",
    ]
    assert body(script, "foreign4") == [
        "meta mark set ip saddr . udp sport map @relay4",
        "meta mark vmap @owners4",
        "meta mark 1 goto vanished4",
        "counter name unknown",
    ]
    assert body(script, "report4") == [
        "update @recent4 { ip saddr . udp sport limit rate 1/second burst 1 packets } "
        + log.format("foreign")
        + " return",
        "counter name suppressed",
    ]


def test_a_relayed_packet_is_ours_or_dropped() -> None:
    rules = body(loaded(), "relayed6")
    assert rules[0] == "ip6 saddr . udp sport @forgotten6 counter name refused drop"
    assert rules[-2:] == [
        "@th,64,32 0x04000000 udp length >= 40 @th,96,32 @mine counter name delivered accept",
        "counter name refused drop",
    ]
    assert not any("relay6" in rule or "fwd" in rule for rule in rules)


def test_what_wireguard_sends_is_learnt() -> None:
    script = loaded()
    assert body(script, "out-up0") == [
        f"meta protocol {protocol} udp sport 51820 {message} jump learn{version}"
        for version, protocol in ((4, "ip"), (6, "ip6"))
        for message in (
            "@th,64,32 0x01000000 udp length 156",
            "@th,64,32 0x02000000 udp length 100",
        )
    ]
    assert body(script, "learn6") == [
        "update @mine { @th,96,32 } update @fresh { @th,96,32 }",
        "@th,64,32 0x01000000 udp length 156 update @asked { @th,96,32 }",
        "delete @forgotten6 { ip6 daddr . udp dport }",
    ]


def test_an_owner_of_both_families() -> None:
    assert scripts.owner(RULES, OTHER).splitlines() == [
        line
        for version, word, hop in ((4, "ip", "10.67.0.2"), (6, "ip6", "fd00:67::a40:2"))
        for line in (
            f"add chain netdev t owner{version}-10.64.0.2",
            f"flush chain netdev t owner{version}-10.64.0.2",
            f"add rule netdev t owner{version}-10.64.0.2 counter name foreign",
            f"add rule netdev t owner{version}-10.64.0.2 jump report{version}",
            f"add rule netdev t owner{version}-10.64.0.2 jump trusted",
            (
                f"add rule netdev t owner{version}-10.64.0.2 counter name relayed meta mark set 0 "
                f'fwd {word} to {hop} device "fabric0"'
            ),
            (
                f"add element netdev t owners{version} "
                f"{{ 0x0a400002 : goto owner{version}-10.64.0.2 }}"
            ),
        )
    ]


def test_trust_is_kept_by_a_renewal_and_taken_by_a_first_load() -> None:
    off = "flush chain netdev t trusted\nadd rule netdev t trusted meta mark set 0 accept\n"
    assert scripts.trust(RULES, on=False) == off
    assert scripts.trust(RULES, on=True) == "flush chain netdev t trusted\n"
    assert loaded(trusted=False).endswith(off)
    assert "flush chain netdev t trusted" not in loaded()


def test_every_chain_that_gets_rules_is_flushed_first() -> None:
    lines = loaded().splitlines()
    for line in lines:
        if line.startswith("add rule") and " trusted " not in line:
            flush = f"flush chain netdev t {line.split()[4]}"
            assert flush in lines[: lines.index(line)], line


def test_no_set_is_ever_flushed_or_deleted() -> None:
    assert "flush set" not in loaded()
    assert "delete" not in loaded().replace("delete @", "")


def test_a_family_without_a_service_has_no_hook() -> None:
    only4 = Ruleset(
        "t", 1, RULES.addresses[:1], 51820, OWN, RULES.networks, clients=9, fabric="fabric0"
    )
    assert not any(
        "ip6" in rule for rule in body(scripts.load(only4, ["up0"], [], trusted=True), "in-up0")
    )


def test_odd_device_names() -> None:
    assert ruleset.hook_chains(["eth0.7", "a@b:c"]) == {
        "in-eth0.7",
        "out-eth0.7",
        "in-a_40b_3ac",
        "out-a_40b_3ac",
    }


def test_markers_tell_rules_and_devices_from_sets() -> None:
    devices = [("fabric0", 1), ("up0", 2)]
    wanted = scripts.markers(RULES, ["up0"], devices)
    assert scripts.markers(RULES, ["up0"], reversed(devices)) == wanted
    others = [
        scripts.markers(RULES, ["up0"], [("fabric0", 1), ("up0", 3)]),
        scripts.markers(RULES, ["up1"], devices),
        scripts.markers(dataclasses.replace(RULES, port=4500), ["up0"], devices),
    ]
    assert {other.sets for other in others} == {wanted.sets}
    assert len({wanted.rules, *(other.rules for other in others)}) == 4
    assert scripts.markers(dataclasses.replace(RULES, clients=9), ["up0"], devices) != wanted


def test_markers_replace_those_of_before() -> None:
    wanted = scripts.Markers("sets-1", "rules-2")
    assert scripts.mark(RULES, wanted, ["rules-1", "in-up0", "sets-1"]).splitlines() == [
        "add chain netdev t sets-1",
        "add chain netdev t rules-2",
        "delete chain netdev t rules-1",
    ]


@given(st.sets(st.ip_addresses(v=4), max_size=5))
def test_owners_are_read_from_the_chains(owners: set[IPv4Address]) -> None:
    chains = [ruleset.owner_chain(version, one) for one in owners for version in (4, 6)]
    assert ruleset.owners_of([*chains, "in-up0", "foreign4"]) == owners


@given(st.none() | st.ip_addresses(v=4).filter(lambda one: int(one) > 1))
def test_marks_are_owners(owner: IPv4Address | None) -> None:
    assert ruleset.owner_of(ruleset.mark_of(owner)) == owner
