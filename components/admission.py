"""How bootstrap gives a node its secrets where it carries them itself: over SSH.

The join token is issued on the control-plane host, by its own command line, or over its
API where another stack made that host.
"""

from __future__ import annotations

import pulumi
from pulumi_command import remote

from components import commands
from components.control_plane import ControlPlane
from components.foundation import Foundation
from components.host import Host
from components.membership import Membership, MembershipArgs
from components.naming import on

JOIN_TOKEN_LIFETIME = 7 * 86400
"""Seconds; long enough to find out why a host fails, and to run `pulumi up` again."""
DRAIN_TIMEOUT = 30
"""Seconds that a node's removal waits for its sessions to move to other nodes."""


def over_ssh(
    foundation: Foundation, host: Host, _installed: pulumi.Resource, parent: pulumi.Resource
) -> pulumi.Resource:
    """The resources `HOST/join-token` and `HOST/secrets`. It needs no software of the host's."""
    assert foundation.control is not None
    token = _join_token(foundation.control, host, parent)
    return _carried(foundation, host, token.stdout.apply(str.strip), parent)


def over_api(
    foundation: Foundation, host: Host, _installed: pulumi.Resource, parent: pulumi.Resource
) -> pulumi.Resource:
    """The resources `HOST/membership` and `HOST/secrets`. It needs no software of the host's."""
    member = Membership(
        on(host.name, "membership"),
        MembershipArgs(
            name=host.name,
            url=foundation.url,
            authority=foundation.authority,
            token=foundation.operator,
            epoch=host.incarnation,
        ),
        # The links: a node that is removed drains before it loses them.
        pulumi.ResourceOptions(parent=parent, depends_on=[*foundation.ready, *host.ready]),
    )
    return _carried(foundation, host, member.join_token, parent)


def _carried(
    foundation: Foundation, host: Host, join_token: pulumi.Input[str], parent: pulumi.Resource
) -> remote.Command:
    return commands.run(
        host,
        "secrets",
        "node-secrets",
        {
            "SERVICE_KEY": foundation.service_key,
            "CONTROL_CA": foundation.authority,
            "JOIN_TOKEN": join_token,
        },
        parent=parent,
        delete="rm -rf /etc/anycastle /var/lib/anycastle",
        secret=True,
    )


def _join_token(control: ControlPlane, host: Host, parent: pulumi.Resource) -> remote.Command:
    """Issued once per disk of the node, by the control plane that the node will join."""
    return remote.Command(
        on(host.name, "join-token"),
        connection=control.host.connection(),
        create=pulumi.Output.all(host.incarnation, control.host.incarnation).apply(
            lambda disks: control.host.as_root(join_token_command(host.name, *disks))
        ),
        delete=control.host.as_root(forget_command(host.name)),
        logging=remote.Logging.NONE,
        opts=commands.options(
            control.host,
            parent=parent,
            secret=True,
            # The links: a node that is removed drains (see `delete`) before it loses them.
            depends_on=[control.ready, *host.ready],
        ),
    )


def _as_control(command: str) -> str:
    return f"runuser -u anycastle -- anycastle-control {command}"


def join_token_command(node: str, node_disk: str, control_disk: str) -> str:
    """Prints a join token. The disks make it another command when one of them is a new one."""
    issue = _as_control(f"join-token {node} --expires-in {JOIN_TOKEN_LIFETIME}")
    return f"{issue} # for disk {node_disk}, from disk {control_disk}"


def forget_command(node: str) -> str:
    """For a node that leaves the deployment: it drains while it can; then its certificate and
    its tokens are void. The control plane sees to it, as the host may not answer any more."""
    return _as_control(f"forget-node {node} --drain {DRAIN_TIMEOUT}")
