"""Global Accelerator: one pair of anycast addresses for all regions, which AWS announces.

Regions add their endpoint groups to the listener (`entry_accelerator`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from anycastle.model.addresses import Address
from anycastle.model.deployment import Anycast
from components.aws import plan
from components.aws.regional import Regional, child


@dataclass(frozen=True, kw_only=True)
class AcceleratorArgs:
    """byoip: the anycast addresses are your own, and known to AWS before."""

    regional: Regional
    anycast: Anycast
    byoip: bool


class Accelerator(pulumi.ComponentResource):
    """listener: its ARN. addresses: what AWS gave, or the anycast addresses with byoip."""

    listener: pulumi.Output[str]
    addresses: pulumi.Output[list[str]]

    def __init__(
        self, name: str, args: AcceleratorArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Accelerator", name, None, opts)
        own = [str(address) for address in args.anycast.addresses]
        accelerator = aws.globalaccelerator.Accelerator(
            name,
            name=plan.name(args.regional.deployment),
            enabled=True,
            ip_address_type="IPV4",
            ip_addresses=own if args.byoip else None,
            tags=args.regional.tags(name),
            # Nobody gets the same addresses again, and all clients know them.
            opts=child(self, protect=True),
        )
        listener = aws.globalaccelerator.Listener(
            f"{name}/listener",
            accelerator_arn=accelerator.arn,
            protocol="UDP",
            port_ranges=[{"from_port": args.anycast.port, "to_port": args.anycast.port}],
            # All flows of an address go to one region while that is healthy.
            client_affinity="SOURCE_IP",
            opts=child(self),
        )
        self.listener = listener.arn
        self.addresses = accelerator.ip_sets.apply(addresses_of)
        self.addresses.apply(lambda given: _compare(given, args.anycast.addresses))
        self.register_outputs({"addresses": self.addresses})


def addresses_of(sets: Sequence[aws.globalaccelerator.outputs.AcceleratorIpSet]) -> list[str]:
    return [address for one in sets for address in one.ip_addresses or []]


def foreign(given: Sequence[str], configured: Sequence[Address]) -> list[str]:
    """The configured anycast addresses that the accelerator does not have. Pure."""
    return [str(address) for address in configured if str(address) not in given]


def _compare(given: Sequence[str], configured: Sequence[Address]) -> None:
    if missing := foreign(given, configured):
        pulumi.log.warn(
            f"clients would be told {', '.join(missing)}, but the accelerator has "
            f"{', '.join(given)}: put those into anycast.addresses (and prefixes, as /32) of the "
            "global stack's file, and bring up again"
        )
