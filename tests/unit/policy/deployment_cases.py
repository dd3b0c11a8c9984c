"""Cases of rules on the deployment as a whole."""

from __future__ import annotations

from policy.checks import (
    deployment,
    turnover,
)
from policy.values import UNKNOWN
from tests.unit.policy.subjects import (
    NOT_YET,
    ONE_NODE,
    Cases,
    a,
    deployed,
    hosts,
    moved,
    resized,
    stack,
    without,
)

CASES: dict[str, Cases] = {
    "nodes-per-datacentre": Cases(
        [deployed(), deployed(datacentres__0__nodes=ONE_NODE, name="lab-7"), stack()],
        [(deployed(datacentres__0__nodes=ONE_NODE), "datacentre fra has 1 node(s)")],
        [NOT_YET],
    ),
    "datacentres-per-deployment": Cases(
        [deployed(), deployed(datacentres=without(0), name="lab"), stack()],
        [(deployed(datacentres=without(0)), "the deployment has 1 datacentre(s)")],
        [NOT_YET],
    ),
    "prefixes-routable": Cases(
        [
            deployed(anycast__prefixes=["8.8.8.0/24", "2600::/48", "10.0.0.0/30"]),
            stack(
                settings={
                    "anycast": {"prefixes": ["75.2.0.1/32"]},
                    "datacentres": [{"aws": {"entry": "accelerator"}}],
                }
            ),
        ],
        [
            (deployed(anycast__prefixes=["8.8.8.0/25"]), "8.8.8.0/25 is longer than /24"),
            (deployed(anycast__prefixes=["2600::/49"]), "2600::/49 is longer than /48"),
        ],
        [NOT_YET],
    ),
    "pools-apart-from-vpcs": Cases(
        [deployed(a(deployment.VPC, cidrBlock="10.1.0.0/16")), stack()],
        [
            (
                deployed(a(deployment.VPC, name="net", cidrBlock="10.200.128.0/17")),
                "pools.v4 10.200.0.0/16 overlaps the VPC net 10.200.128.0/17",
            ),
            (
                deployed(datacentres__1__aws__network="10.64.0.0/12"),
                "loopbacks.v4 10.64.0.0/24 overlaps the network of dub",
            ),
            (
                deployed(aws={"control": {"network": "10.200.0.0/24"}}),
                "overlaps the control plane's network",
            ),
        ],
        [NOT_YET, deployed(a(deployment.VPC, cidrBlock=UNKNOWN))],
    ),
    "unique-asns-and-router-ids": Cases(
        [deployed(), stack()],
        [
            (deployed(datacentres__1__nodes__0__id=1), "2 nodes have the id 1"),
            (deployed(datacentres__0__edges__0__asn=64512), "AS 64512 is the nodes' own"),
            (
                deployed(asn=4200000000, datacentres__0__edges__0__asn=4200000000.0),
                "AS 4200000000 is",
            ),
            (
                deployed(a(deployment.ROUTE_SERVER, amazonSideAsn=64512.0)),
                "AS 64512 is the nodes' own, and the Route Server's",
            ),
        ],
        [NOT_YET],
    ),
    "mtu-consistent": Cases(
        [deployed(), stack(), deployed(fabric__mtu=9000, datacentres=without(1))],
        [
            (deployed(client_mtu=1421), "client MTU 1421 and 80 around it exceed"),
            (deployed(fabric__mtu=9000), "1500 is what passes between datacentres"),
        ],
        [NOT_YET],
    ),
    "keepalive-below-timeouts": Cases(
        [deployed(), stack()],
        [(deployed(client_keepalive=26), "after which accelerator forgets a client")],
        [NOT_YET],
    ),
    "node-turnover": Cases(
        [
            moved(["a", "b", "c", "d"], ["b", "c", "d", "e"], ["b", "e"]),
            moved([], ["a"], ["a"]),
            moved(["a"], ["a"], ["a"]),
            stack(hosts=hosts("a")),
            resized(["a", "b", "c", "d"], old="small", new={"a": "large", "b": "large"}),
            resized(["a", "b"], old="", new={"a": "large", "b": "large"}),
            resized(["a", "b"], old="small", new={}),
        ],
        [
            (
                moved(["a", "b", "c", "d"], ["c", "d"], ["c"]),
                "3 of fra's 4 nodes go at once (a deleted, b deleted, c made anew), and at most 2",
            ),
            (moved(["a", "b"], ["a", "b"], ["a", "b"]), "at most 1"),
            (
                resized(["a", "b"], old="small", new={"a": "large", "b": "large"}),
                "(a stopped for another instance type, b stopped for another instance type)",
            ),
            (
                resized(["a", "b"], old="small", new={"b": "large"}, deleted=["a"]),
                "2 of fra's 2 nodes go at once (a deleted, b stopped for another instance type)",
            ),
        ],
        [stack(a(turnover.PREVIOUS, nodes=UNKNOWN)), stack(hosts=UNKNOWN)],
    ),
}
