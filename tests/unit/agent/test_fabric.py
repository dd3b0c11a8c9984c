"""The inter-node path: what one operation list it takes from one state to another."""

from __future__ import annotations

from textwrap import dedent

from anycastle.agent.apply import apply
from anycastle.agent.desired import Desired
from anycastle.agent.diff import diff, render
from anycastle.agent.netlink.edge import Link
from anycastle.agent.netlink.fake import FakeNetwork
from anycastle.agent.observed import observe
from anycastle.agent.wireguard.fake import FakeWireGuard
from tests.support.fabric import with_peers


class Kernel:
    """Fakes, brought to a state."""

    def __init__(self, wanted: Desired) -> None:
        self.wireguard, self.network = FakeWireGuard(), FakeNetwork()
        self.apply(wanted)

    def operations(self, wanted: Desired) -> str:
        return render(diff(wanted, observe(wanted, self.wireguard, self.network)))

    def apply(self, wanted: Desired) -> None:
        operations = diff(wanted, observe(wanted, self.wireguard, self.network))
        assert apply(operations, self.wireguard, self.network).complete


def test_a_node_more_is_one_tunnel_end_and_two_neighbours() -> None:
    assert Kernel(with_peers(2)).operations(with_peers(2, 3)) == dedent("""\
        tunnel peer 02:ac:0a:40:00:03 at 10.64.0.3 dev fabric0 put
        neighbour 10.67.0.3 at 02:ac:0a:40:00:03 dev fabric0 put
        neighbour fd00:67::a40:3 at 02:ac:0a:40:00:03 dev fabric0 put
        """)


def test_a_node_less_takes_its_neighbours_before_its_tunnel_end() -> None:
    assert Kernel(with_peers(2, 3)).operations(with_peers(3)) == dedent("""\
        neighbour 10.67.0.2 at 02:ac:0a:40:00:02 dev fabric0 remove
        neighbour fd00:67::a40:2 at 02:ac:0a:40:00:02 dev fabric0 remove
        tunnel peer 02:ac:0a:40:00:02 at 10.64.0.2 dev fabric0 remove
        """)


def test_nothing_is_sent_when_nothing_differs() -> None:
    assert Kernel(with_peers(2, 3)).operations(with_peers(3, 2)) == ""


def test_another_vni_makes_the_device_anew_with_all_that_was_on_it() -> None:
    kernel = Kernel(with_peers(2))
    assert kernel.operations(with_peers(2, vni=7)) == dedent("""\
        tunnel fabric0 remove
        tunnel fabric0 02:ac:0a:40:00:01 vni 7 local 10.64.0.1 port 4789 make
        link fabric0 mtu 1450
        link fabric0 up
        sysctl net.ipv4.conf.fabric0.rp_filter = 2
        address 10.67.0.1/16 dev fabric0 add
        address fd00:67::a40:1/64 dev fabric0 add
        tunnel peer 02:ac:0a:40:00:02 at 10.64.0.2 dev fabric0 put
        neighbour 10.67.0.2 at 02:ac:0a:40:00:02 dev fabric0 put
        neighbour fd00:67::a40:2 at 02:ac:0a:40:00:02 dev fabric0 put
        """)
    kernel.apply(with_peers(2, vni=7))
    assert kernel.operations(with_peers(2, vni=7)) == ""


def test_a_device_that_somebody_took_away_comes_back() -> None:
    kernel = Kernel(with_peers(2))
    kernel.network.vanish("fabric0")
    kernel.apply(with_peers(2))
    assert kernel.operations(with_peers(2)) == ""
    assert kernel.network.links["fabric0"] == Link(1450, up=True, kind="vxlan")


def test_an_mtu_changes_in_place() -> None:
    assert Kernel(with_peers(2)).operations(with_peers(2, mtu=1400)) == "link fabric0 mtu 1400\n"
