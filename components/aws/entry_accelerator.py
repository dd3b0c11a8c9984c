"""A region's part of the Global Accelerator: the endpoint group with the region's NLB.

The accelerator and its listener (client affinity SOURCE_IP) are the global stack's. It
forgets a UDP flow after 30 s, so clients' keepalive is 25 s at most. Packets keep the
client's address on their way through accelerator and NLB, and a node's answer, and what it
sends first to a client that has just been there, is translated back on the same way.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components.aws.entry_nlb import READY_PATH
from components.aws.regional import Regional
from components.aws.security import AGENT_PORT

CHECK_INTERVAL = 10
"""Seconds; 10 or 30."""
CHECKS = 2


def endpoint_group(
    name: str,
    regional: Regional,
    listener: pulumi.Input[str],
    balancer: pulumi.Input[str],
    *,
    opts: pulumi.ResourceOptions,
) -> aws.globalaccelerator.EndpointGroup:
    """listener, balancer: ARNs. Health is the NLB's own view of its targets; the check's
    settings are for endpoints that are no load balancer, and say the same."""
    return aws.globalaccelerator.EndpointGroup(
        name,
        listener_arn=listener,
        endpoint_group_region=regional.region,
        endpoint_configurations=[
            {
                "endpoint_id": balancer,
                "weight": 128,
                "client_ip_preservation_enabled": True,
            }
        ],
        health_check_protocol="HTTP",
        health_check_port=AGENT_PORT,
        health_check_path=READY_PATH,
        health_check_interval_seconds=CHECK_INTERVAL,
        threshold_count=CHECKS,
        traffic_dial_percentage=100.0,
        opts=opts,
    )
