"""What is true after an application, also after one that fails in part."""

from __future__ import annotations

from itertools import count

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.apply import apply, reconcile
from anycastle.agent.desired import Desired, desired
from anycastle.agent.diff import change_operations, diff, render
from anycastle.agent.netlink.edge import Link
from anycastle.agent.netlink.fake import FakeNetwork
from anycastle.agent.observed import observe
from anycastle.agent.wireguard.edge import EnsureDevice, PutPeer, RemovePeer
from anycastle.agent.wireguard.fake import FakeWireGuard
from anycastle.model.client import Client, Credential
from anycastle.model.feed import Change
from tests.support.node import NOW, SERVICE_KEY, client, clients, key, node_spec


def wanted(*them: Client, uplinks: int = 1) -> Desired:
    return desired(node_spec(uplinks=uplinks), SERVICE_KEY, clients(*them), NOW)


def kernel() -> tuple[FakeWireGuard, FakeNetwork]:
    network = FakeNetwork()
    network.links |= {name: Link(1500, up=True) for name in ("up0", "up1")}
    return FakeWireGuard(), network


def test_applying_the_same_state_again_sends_nothing() -> None:
    wireguard, network = kernel()
    assert reconcile(wanted(client(0)), wireguard, network).complete
    wireguard.sent.clear()
    network.sent.clear()
    result = reconcile(wanted(client(0)), wireguard, network)
    assert (result.done, result.failed, wireguard.sent, network.sent) == ((), (), [], [])


def test_peers_go_in_one_batch() -> None:
    wireguard, network = kernel()
    reconcile(wanted(*(client(number) for number in range(200))), wireguard, network)
    assert [len(batch) for batch in wireguard.sent] == [201]


def test_the_duration_is_measured_with_the_clock_given() -> None:
    wireguard, network = kernel()
    clock = count(10.0, 2.5)
    assert apply([], wireguard, network, lambda: next(clock)).duration == 2.5


def test_one_bad_peer_stops_no_other() -> None:
    wireguard, network = kernel()
    wireguard.refuse.add(key(1))
    result = reconcile(wanted(*(client(number) for number in range(4))), wireguard, network)
    assert set(wireguard.state.peers if wireguard.state else ()) == {key(0), key(2), key(3)}
    (failure,) = result.failed
    assert isinstance(failure.operation, PutPeer)
    assert "refuses" in failure.reason


def test_without_a_device_only_what_needs_none_is_tried() -> None:
    wireguard, network = kernel()
    wireguard.broken = True
    result = reconcile(wanted(client(0)), wireguard, network)
    assert not result.complete
    assert isinstance(result.failed[0].operation, EnsureDevice)
    assert any("not tried" in failure.reason for failure in result.failed)
    assert "wg0" not in network.links
    assert network.routes, "routes that end loops don't wait for the device"


def test_a_failed_addition_keeps_what_it_was_to_replace_but_not_a_removed_client() -> None:
    wireguard, network = kernel()
    reconcile(wanted(client(0), client(1)), wireguard, network)
    network.rules = {next(iter(network.rules))}
    (missing,) = wanted().rules - network.rules
    network.refuse.add(f"{missing} add")
    before = dict(network.addresses)
    after = desired(node_spec(), SERVICE_KEY, clients(client(0)), NOW)
    kept = {address for address in after.addresses if address.device != "lo"}
    after = msgspec.structs.replace(after, addresses=frozenset(kept))
    result = reconcile(after, wireguard, network)
    assert network.addresses == before
    assert RemovePeer(key(1)) in result.done
    assert {failure.reason.partition(":")[0] for failure in result.failed} == {
        f"{missing} add failed",
        "not tried",
    }


def test_a_setting_that_is_only_nice_to_have_may_be_refused() -> None:
    wireguard, network = kernel()
    network.read_only = {"net.ipv4.fib_multipath_hash_policy"}
    result = reconcile(wanted(), wireguard, network)
    assert result.complete
    (refused,) = result.refused
    assert "Read-only" in str(refused)


def test_a_setting_that_the_node_needs_may_not() -> None:
    wireguard, network = kernel()
    network.read_only = {"net.ipv4.ip_forward"}
    result = reconcile(wanted(), wireguard, network)
    assert [str(failure.operation) for failure in result.failed] == [
        "sysctl net.ipv4.ip_forward = 1"
    ]


# properties ----------------------------------------------------------------

numbers = st.integers(0, 12)
credentials = st.builds(
    lambda number, psk, ended: Credential(
        id=str(number),
        public_key=key(number),
        preshared_key=key(psk) if psk else None,
        not_after=NOW - 1 if ended else None,
    ),
    numbers,
    st.integers(0, 2),
    st.booleans(),
)


@st.composite
def enrolments(draw: st.DrawFn) -> dict[str, Client]:
    """Clients that share no address and no key."""
    keys = draw(st.lists(credentials, unique_by=lambda one: one.public_key, max_size=8))
    ids = draw(st.lists(st.integers(0, 5), min_size=len(keys), max_size=len(keys)))
    owners: dict[int, list[Credential]] = {}
    for number, credential in zip(ids, keys, strict=True):
        owners.setdefault(number, []).append(credential)
    return clients(*(client(number, *them) for number, them in owners.items()))


@given(enrolments(), enrolments(), st.integers(0, 2), st.integers(0, 2), st.booleans())
def test_after_a_reconcile_nothing_differs(
    before: dict[str, Client], after: dict[str, Client], links: int, more: int, lost: bool
) -> None:
    wireguard, network = kernel()
    reconcile(desired(node_spec(uplinks=links), SERVICE_KEY, before, NOW), wireguard, network)
    if lost:
        wireguard.vanish()
        network.vanish("wg0")
    goal = desired(node_spec(uplinks=more), SERVICE_KEY, after, NOW)
    assert reconcile(goal, wireguard, network).complete
    assert render(diff(goal, observe(goal, wireguard, network))) == ""


@given(enrolments(), enrolments())
def test_a_change_leads_where_a_full_reconcile_leads(
    before: dict[str, Client], after: dict[str, Client]
) -> None:
    wireguard, network = kernel()
    reconcile(desired(node_spec(), SERVICE_KEY, before, NOW), wireguard, network)
    change = Change(
        after=1,
        revision=2,
        reason="test",
        put=tuple(one for one in after.values() if before.get(one.id) != one),
        remove=tuple(sorted(set(before) - set(after))),
    )
    assert apply(change_operations(before, change, NOW), wireguard, network).complete
    goal = desired(node_spec(), SERVICE_KEY, after, NOW)
    assert render(diff(goal, observe(goal, wireguard, network))) == ""
