"""Each probe's judgement, on faked surroundings."""

from collections.abc import Collection
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path

import pytest

from anycastle.agent.health.probe import Severity, Surroundings
from anycastle.agent.health.probes import (
    REGISTRY,
    apply,
    clock,
    clock_sync,
    daemon,
    device,
    disk,
    port,
    probes,
    source,
    speaker,
    uplink,
    wireguard,
)
from anycastle.agent.links import LinkFlag
from anycastle.agent.netlink.edge import NetworkOperation, NetworkState
from anycastle.agent.routing.driver import Peering, RoutingState
from anycastle.model.addresses import Address, Dual
from anycastle.model.deployment import Anycast, Clock, Routing
from anycastle.model.node import ControlEndpoint, EdgePeer, Loopbacks, NodeSpec


def edge(name: str, number: int) -> EdgePeer:
    return EdgePeer(
        name=name,
        asn=64601,
        device=f"up{number}",
        local4=IPv4Interface(f"10.65.{number}.3/31"),
        local6=IPv6Interface(f"fd00:65:{number}::3/127"),
        remote4=IPv4Address(f"10.65.{number}.2"),
        remote6=IPv6Address(f"fd00:65:{number}::2"),
    )


SPEC = NodeSpec(
    deployment="lab",
    name="ams-1",
    datacentre="ams",
    asn=64512,
    loopbacks=Loopbacks(IPv4Address("10.64.0.1"), IPv6Address("fd00:64::1")),
    anycast=Anycast(
        addresses=(ip_address("192.0.2.1"), ip_address("2001:db8:a::1")),
        prefixes=(ip_network("192.0.2.0/24"), ip_network("2001:db8:a::/48")),
    ),
    pools=Dual(IPv4Network("10.200.0.0/16"), IPv6Network("fd00:200::/64")),
    routing=Routing.BIRD,
    edges=(edge("ams-edge", 0), edge("ams-spare", 1)),
    control=ControlEndpoint(urls=("https://198.51.100.17:8443",)),
)


class Network:
    """A NetworkEdge that knows source addresses only."""

    def __init__(self, sources: dict[int, Address | None]) -> None:
        self.sources = sources

    def source_of(self, mark: int, destination: Address) -> Address | None:
        assert mark == SPEC.wireguard.fwmark
        return self.sources[destination.version]

    def read(self, devices: Collection[str], sysctls: Collection[str]) -> NetworkState:
        raise NotImplementedError

    def apply(self, operation: NetworkOperation) -> None:
        raise NotImplementedError

    def close(self) -> None: ...


GOOD_SOURCES: dict[int, Address | None] = {
    4: ip_address("192.0.2.1"),
    6: ip_address("2001:db8:a::1"),
}


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(SPEC, Network(dict(GOOD_SOURCES)), tmp_path, now=lambda: 1000.0)


def test_names_are_unique_and_each_file_is_registered(around: Surroundings) -> None:
    names = [probe.name for probe in probes(around)]
    assert len(set(names)) == len(names)
    files = {path.stem for path in Path(device.__file__).parent.glob("*.py")} - {"__init__"}
    assert {make.__module__.rpartition(".")[2] for make in REGISTRY} == files


def test_only_a_missing_device_is_fatal(around: Surroundings) -> None:
    fatal = [probe.name for probe in probes(around) if probe.severity is Severity.FATAL]
    assert fatal == ["device"]


def test_device(around: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, expected in (
        (None, "there is no device wg0"),
        (LinkFlag(0), "device wg0 is down"),
        (LinkFlag.UP | LinkFlag.RUNNING, ""),
    ):
        monkeypatch.setattr(device, "flags", lambda name, flags=flags: flags)
        assert device.complaint(around) == expected


def test_wireguard(around: Surroundings) -> None:
    assert wireguard.complaint(around) == "was not sampled yet"
    around.sampled_at = 999.5
    assert wireguard.complaint(around) == ""
    around.sampled_at = 990.0
    assert wireguard.complaint(around) == "has not answered for 10 s"


UDP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 3060: 00000000:CA6C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2
 3061: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2
"""


def test_port_reads_the_kernels_table() -> None:
    assert port.bound(UDP.splitlines()) == {51820, 53}
    assert port.bound([]) == set()


def test_port(around: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four, six = tmp_path / "udp", tmp_path / "udp6"
    monkeypatch.setattr(port, "TABLES", {4: four, 6: six})
    four.write_text(UDP)
    six.write_text(UDP.replace("CA6C", "CA6D"))
    assert port.complaint(around) == "nobody listens on UDP port 51820 of IPv6"
    six.write_text(UDP)
    assert port.complaint(around) == ""


def test_source(around: Surroundings) -> None:
    assert source.complaint(around) == ""
    around.network = Network({4: ip_address("10.65.1.3"), 6: None})
    assert source.complaint(around) == (
        "IPv4 packets of mark 51820 go from 10.65.1.3, not from 192.0.2.1; "
        "IPv6 packets of mark 51820 go nowhere: there is no route, not from 2001:db8:a::1"
    )


def test_apply(around: Surroundings) -> None:
    assert apply.complaint(around) == ""
    around.apply_errors = ("route x: no such device", "y", "z")
    assert apply.complaint(around) == "route x: no such device (and 2 more)"


def test_daemon(around: Surroundings) -> None:
    assert daemon.complaint(around) == "bird was not asked yet"
    around.routing, around.routing_at = RoutingState(running=True), 995.0
    assert daemon.complaint(around) == ""
    around.routing_at = 900.0
    assert daemon.complaint(around) == "bird has not answered for 100 s"
    around.routing = RoutingState(running=False, detail="no socket")
    assert daemon.complaint(around) == "bird is not running: no socket"


def test_speaker(around: Surroundings) -> None:
    assert speaker.complaint(around)
    around.sessions = {"client": True, "anycast": True}
    assert speaker.complaint(around) == ""
    around.sessions = {"client": False, "anycast": True}
    assert speaker.complaint(around) == "BGP session client with the local daemon is down"


@pytest.mark.parametrize(
    ("links", "sessions", "healthy"),
    [
        ({"up0": True, "up1": True}, {"ams-edge": True, "ams-spare": True}, True),
        ({"up0": False, "up1": True}, {"ams-edge": True, "ams-spare": True}, True),
        ({"up0": True, "up1": True}, {"ams-edge": False, "ams-spare": True}, True),
        ({"up0": False, "up1": True}, {"ams-edge": True, "ams-spare": False}, False),
        ({"up0": False, "up1": False}, {"ams-edge": True, "ams-spare": True}, False),
        ({}, {}, False),
    ],
)
def test_uplink_needs_one_router_with_link_and_session(
    around: Surroundings,
    monkeypatch: pytest.MonkeyPatch,
    links: dict[str, bool],
    sessions: dict[str, bool],
    healthy: bool,
) -> None:
    states = {name: LinkFlag.RUNNING if up else LinkFlag.UP for name, up in links.items()}
    monkeypatch.setattr(uplink, "flags", states.get)
    around.routing = RoutingState(
        running=True,
        peerings=tuple(
            Peering(f"edge-{name}-{family}", "edge", up)
            for name, up in sessions.items()
            for family in (4, 6)
        ),
    )
    assert (uplink.complaint(around) == "") == healthy


def test_disk(tmp_path: Path) -> None:
    assert disk.complaint(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    absent = tmp_path / "absent"
    assert disk.complaint(absent) == f"{absent} can't be written: No such file or directory"


@pytest.mark.parametrize(
    ("state", "wrong", "noted"),
    [
        (clock.Clock(synchronised=True, offset=0.002, error=0.001), False, False),
        (clock.Clock(synchronised=True, offset=-0.3, error=0.001), True, False),
        (clock.Clock(synchronised=False, offset=0.0, error=16.0), False, True),
        (clock.Clock(synchronised=False, offset=5.0, error=16.0), False, True),
    ],
)
def test_clock(state: clock.Clock, wrong: bool, noted: bool) -> None:
    assert bool(clock.complaint(state)) == wrong
    assert bool(clock_sync.complaint(state, Clock.SYNCHRONISED)) == noted
    assert clock_sync.complaint(state, Clock.TRUSTED) == ""


def test_the_kernel_tells_about_its_clock() -> None:
    state = clock.read()
    assert state.error >= 0
    assert abs(state.offset) < 10


def test_anywhere_is_held_by_no_node() -> None:
    assert source.ANYWHERE[6] == IPv6Address("2001:db8:ffff:ffff::1")
    for destination in source.ANYWHERE.values():
        assert not any(destination in prefix for prefix in SPEC.anycast.prefixes)
