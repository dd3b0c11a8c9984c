"""What a host of each kind has on its disk and in its kernel; pure.

Everything else that a node or the control plane needs is put there by
`components.bootstrap`, as it is on hosts that are no containers.
"""

from __future__ import annotations

from anycastle.model.addresses import Interface
from anycastle.model.deployment import Routing
from components.lab.routers import bird, edge_peer, frr
from components.lab.routers.model import Router
from components.lab.world import Bridge, File, Host, HostKind

LAN_BRIDGE = "lan"
"""The bridge of a NAT router that a site's clients are ports of."""

COMMON_SYSCTLS = {
    # A container's namespace inherits IPv4 settings of the machine: say what a host has.
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "2",
    "net.ipv4.ip_forward": "0",
    # Addresses are unique by plan; without this each one waits a second for its test.
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.dad_transmits": "0",
    "net.ipv6.conf.all.accept_ra": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    # A cable that is pulled and put back finds its addresses again.
    "net.ipv6.conf.all.keep_addr_on_down": "1",
    "net.ipv6.conf.default.keep_addr_on_down": "1",
}

ROUTER_SYSCTLS = COMMON_SYSCTLS | {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv6.conf.default.forwarding": "1",
    # ECMP by addresses and ports: two clients behind one NAT may reach two nodes.
    "net.ipv4.fib_multipath_hash_policy": "1",
    "net.ipv6.fib_multipath_hash_policy": "1",
}

_NFT_NAT = f"""\
#!/usr/sbin/nft -f
# What a home router does: clients share the WAN address, nobody outside gets in unasked.
flush ruleset

table inet nat {{
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "{LAN_BRIDGE}" oifname "wan" accept
    }}
}}
"""

_WG_QUICK = """\
# The kernel's WireGuard where there is one, as wg-quick decides; else this.
[Service]
Environment=WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go
"""

_WEB = """\
[Unit]
Description=A page that says which service host answered
After=network.target

[Service]
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
ExecStart=/usr/bin/python3 -m http.server 80 --bind :: --directory /srv/www
Restart=always

[Install]
WantedBy=multi-user.target
"""

_ROUTING_DAEMON = """\
# A router has its processor to itself; here BFD must not wait for somebody's build.
[Service]
Restart=always
RestartSec=1
Nice=-10
"""
_BIRD = _ROUTING_DAEMON + "ExecStartPost=-/usr/bin/chrt --all-tasks --rr --pid 1 $MAINPID\n"
_FRR = f"""\
{_ROUTING_DAEMON}\
ExecStartPre={edge_peer.SCRIPT_FILE} assemble
ExecStartPost=-/bin/sh -c 'exec chrt --all-tasks --rr --pid 1 "$$(cat /run/frr/bfdd.pid)"'
"""


def core(name: str, number: int, router: Router) -> Host:
    return Host(
        name=name,
        kind=HostKind.CORE,
        place="",
        number=number,
        sysctls=ROUTER_SYSCTLS,
        files=(
            File(path="/etc/bird/bird.conf", text=bird.core(router), reload=("birdc", "configure")),
            _drop_in("bird.service", _BIRD),
        ),
        units=("bird.service",),
    )


def edge(
    place: str, number: int, routing: Routing, router: Router, loopbacks: tuple[Interface, ...]
) -> Host:
    files, unit = _frr_edge(router) if routing is Routing.FRR else _bird_edge(router)
    return Host(
        name=router.name,
        kind=HostKind.EDGE,
        place=place,
        number=number,
        sysctls=ROUTER_SYSCTLS,
        loopbacks=loopbacks,
        files=(File(path=edge_peer.SCRIPT_FILE, text=edge_peer.script(), mode=0o755), *files),
        units=(unit,),
    )


def nat(name: str, place: str, number: int, lan: tuple[Interface, ...]) -> Host:
    return Host(
        name=name,
        kind=HostKind.NAT,
        place=place,
        number=number,
        sysctls=ROUTER_SYSCTLS,
        bridges=(Bridge(device=LAN_BRIDGE, addresses=lan),),
        files=(
            File(
                path="/etc/nftables.conf",
                text=_NFT_NAT,
                mode=0o755,
                reload=("systemctl", "restart", "nftables"),
            ),
        ),
        units=("nftables.service",),
    )


def client(name: str, place: str, number: int) -> Host:
    """A stock client: wg-quick finds wireguard-go where the kernel has no WireGuard."""
    return Host(
        name=name,
        kind=HostKind.CLIENT,
        place=place,
        number=number,
        sysctls=COMMON_SYSCTLS,
        files=(_drop_in("wg-quick@.service", _WG_QUICK),),
    )


def service(name: str, place: str, number: int) -> Host:
    """An inside service: a web page with its name."""
    return Host(
        name=name,
        kind=HostKind.SERVICE,
        place=place,
        number=number,
        sysctls=COMMON_SYSCTLS,
        files=(
            File(path="/srv/www/index.html", text=f"{name}\n"),
            File(path="/etc/systemd/system/lab-web.service", text=_WEB),
        ),
        units=("lab-web.service",),
    )


def control(name: str, number: int) -> Host:
    return Host(name=name, kind=HostKind.CONTROL, place="", number=number, sysctls=COMMON_SYSCTLS)


def node(name: str, place: str, number: int) -> Host:
    return Host(name=name, kind=HostKind.NODE, place=place, number=number, sysctls=COMMON_SYSCTLS)


def _bird_edge(router: Router) -> tuple[tuple[File, ...], str]:
    files = (
        File(
            path="/etc/bird/bird.conf",
            text=bird.edge(router),
            reload=(edge_peer.SCRIPT_FILE, "reload"),
        ),
        File(path=f"{bird.NODES_DIRECTORY}/00-none.conf", text="# no node yet\n"),
        _drop_in("bird.service", _BIRD),
    )
    return files, "bird.service"


def _frr_edge(router: Router) -> tuple[tuple[File, ...], str]:
    files = (
        File(path=frr.BASE_FILE, text=frr.edge(router), reload=(edge_peer.SCRIPT_FILE, "reload")),
        File(path=f"{frr.NODES_DIRECTORY}/00-none.conf", text="! no node yet\n"),
        _drop_in("frr.service", _FRR),
    )
    return files, "frr.service"


def _drop_in(unit: str, text: str) -> File:
    return File(path=f"/etc/systemd/system/{unit}.d/lab.conf", text=text)
