"""Cases of rules on the way in: open ports, load balancers, BGP."""

from __future__ import annotations

from policy.checks import (
    entry,
    network,
)
from policy.values import UNKNOWN
from tests.unit.policy.subjects import GROUP, NOT_YET, Cases, a, deployed, rule, stack

CASES: dict[str, Cases] = {
    "only-service-port-open": Cases(
        [
            rule(ipProtocol="udp", fromPort=51820, toPort=51820, cidrIpv4="0.0.0.0/0"),
            rule(ipProtocol="17", fromPort=51820, toPort=51821, cidrIpv6="::/0"),
            rule(ipProtocol="icmp", fromPort=3, toPort=4, cidrIpv4="0.0.0.0/0"),
            rule(cidrIpv4="198.51.100.0/24"),
            rule(referencedSecurityGroupId=UNKNOWN),
            a(network.GROUP, egress=[{"cidrBlocks": ["0.0.0.0/0"]}]),
            a(network.OLD_RULE, type="egress", cidrBlocks=["0.0.0.0/0"]),
        ],
        [
            (rule(fromPort=443, toPort=443, cidrIpv4="0.0.0.0/0"), "tcp 443 is open to 0.0.0.0/0"),
            (rule(ipProtocol="-1", cidrIpv6="::/0"), "everything is open to ::/0"),
            (
                rule(ipProtocol="udp", fromPort=51820, toPort=51822, cidrIpv4="0.0.0.0/0"),
                "udp 51820-51822",
            ),
            (rule(fromPort=53, toPort=53, cidrIpv4="128.0.0.0/1"), "128.0.0.0/1"),
            (
                a(
                    network.GROUP,
                    ingress=[
                        {
                            "protocol": "tcp",
                            "fromPort": 80,
                            "toPort": 80,
                            "cidrBlocks": ["0.0.0.0/0"],
                        }
                    ],
                ),
                "tcp 80",
            ),
            (
                a(
                    network.OLD_RULE,
                    type="ingress",
                    protocol="icmp",
                    fromPort=8,
                    toPort=0,
                    cidrBlocks=["0.0.0.0/0"],
                ),
                "icmp",
            ),
        ],
        [rule(cidrIpv4=UNKNOWN), a(network.GROUP, ingress=UNKNOWN)],
    ),
    "ssh-not-open": Cases(
        [rule(cidrIpv4="198.51.100.0/24"), rule(fromPort=80, toPort=443, cidrIpv4="0.0.0.0/0")],
        [
            (rule(cidrIpv4="0.0.0.0/0"), "SSH is open to 0.0.0.0/0"),
            (rule(fromPort=0, toPort=1024, cidrIpv6="::/0"), "SSH is open to ::/0"),
            (rule(ipProtocol="-1", cidrIpv4="0.0.0.0/0"), "SSH is open"),
        ],
        [rule(cidrIpv4=UNKNOWN)],
    ),
    "entry-keeps-clients": Cases(
        [
            a(entry.TARGET_GROUP, **GROUP),
            a(entry.TARGET_GROUP, protocol="TCP"),
            a(entry.LISTENER, clientAffinity="SOURCE_IP"),
            a(entry.ENDPOINT_GROUP, endpointConfigurations=[{"clientIpPreservationEnabled": True}]),
        ],
        [
            (
                a(entry.TARGET_GROUP, **GROUP | {"stickiness": {"enabled": False}}),
                "stickiness is not source_ip",
            ),
            (
                a(entry.TARGET_GROUP, **GROUP | {"preserveClientIp": "false"}),
                "the load balancer's address",
            ),
            (a(entry.LISTENER), "client affinity is not SOURCE_IP"),
            (
                a(entry.ENDPOINT_GROUP, endpointConfigurations=[{"endpointId": UNKNOWN}]),
                "the accelerator's address",
            ),
        ],
        [a(entry.LISTENER, clientAffinity=UNKNOWN), a(entry.TARGET_GROUP, protocol=UNKNOWN)],
    ),
    "health-check-on-agent": Cases(
        [
            a(entry.TARGET_GROUP, **GROUP),
            a(entry.TARGET_GROUP, protocol="TCP", healthCheck={"port": "8443"}),
            a(entry.ENDPOINT_GROUP, healthCheckPort=9178.0, healthCheckProtocol="TCP"),
        ],
        [
            (a(entry.TARGET_GROUP, protocol="UDP"), "health is asked at traffic-port"),
            (
                a(
                    entry.TARGET_GROUP,
                    **GROUP | {"healthCheck": {"port": "9178", "protocol": "UDP"}},
                ),
                "health is asked by UDP",
            ),
            (a(entry.ENDPOINT_GROUP, healthCheckPort=80), "health is asked at 80"),
        ],
        [a(entry.TARGET_GROUP, **GROUP | {"healthCheck": {"port": UNKNOWN}})],
    ),
    "bfd-on-peerings": Cases(
        [a(entry.PEER, bgpOptions={"peerAsn": 64512, "peerLivenessDetection": "bfd"})],
        [
            (a(entry.PEER, bgpOptions={"peerLivenessDetection": "bgp-keepalive"}), "BFD"),
            (a(entry.PEER), "not by BFD"),
        ],
        [a(entry.PEER, bgpOptions=UNKNOWN)],
    ),
    "bfd-on-edges": Cases(
        [deployed(), stack()],
        [
            (
                deployed(datacentres__0__edges__0__bfd={"interval": 500, "multiplier": 3}),
                "noticed by fra-edge after 1500 ms",
            )
        ],
        [NOT_YET],
    ),
}
