"""A client host of the deployment: a stock WireGuard client, enrolled and connected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import commands
from components.enrolled_client import EnrolledClient, EnrolledClientArgs
from components.foundation import Foundation
from components.host import Host
from components.naming import on
from components.node import Node

TUNNEL_DEVICE = "wg0"


@dataclass(frozen=True, kw_only=True)
class ClientArgs:
    """nodes: of which the tunnel waits: one that comes up before its own site's nodes do
    would meet another datacentre's first, and stay without a session for a while when
    its packets move."""

    host: Host
    nodes: Sequence[Node]
    foundation: Foundation


class Client(pulumi.ComponentResource):
    """A host that is a stock WireGuard client: enrolled, with its tunnel up."""

    def __init__(
        self, name: str, args: ClientArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:Client", name, None, opts)
        enrolment = self._enrolment(name, args)
        commands.run(
            args.host,
            "tunnel",
            "client",
            {"DEVICE": TUNNEL_DEVICE, "CONFIGURATION": enrolment.configuration},
            parent=self,
            delete=f"systemctl disable -q --now wg-quick@{TUNNEL_DEVICE}",
            secret=True,
            depends_on=[*args.host.ready, *(node.ready for node in args.nodes)],
        )
        self.register_outputs({"addresses": enrolment.addresses})

    def _enrolment(self, name: str, args: ClientArgs) -> EnrolledClient:
        foundation, control = args.foundation, args.foundation.control
        assert control is not None  # clients stand in labs, which are one stack
        return EnrolledClient(
            on(name, "enrolment"),
            EnrolledClientArgs(
                name=name,
                url=foundation.url,
                authority=foundation.authority,
                token=foundation.operator,
                epoch=control.host.incarnation,
                spec=control.spec,
            ),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[control.operable],
                # With its host the control plane forgets all clients: nothing to call then.
                deleted_with=control.host.resource,
            ),
        )
