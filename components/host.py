"""A host, whatever kind of datacentre it stands in: an address and a key to log in with.

Host factories (`components.lab`, and those for metal and AWS) return it;
`components.bootstrap` needs nothing else.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_command import remote


@dataclass(frozen=True, kw_only=True)
class Host:
    """A Linux host that runs sshd.

    kind: `node`, `edge`, `core`, `nat`, `control`, `service` or `client`.
    place: its datacentre or site, "" for neither.
    resource: what commands on the host die with, so that destroying a host needs no log-in.
    address, port: where sshd listens. host_key: `ssh-ed25519 AAAA…`, verified at each log-in.
    private_key: OpenSSH text of the key that logs in, a secret.
    user: who logs in: root, or one whom sudo asks for no password.
    outlives: the host is still there when it has left the stack, so what was put on it is
    taken away again; else that goes with the host.
    key_file: where that key lies on this machine, for people.
    incarnation: differs when the host's disk is a new one, so everything is put on it again.
    netns: the host's network namespace on this machine (lab), else "".
    booted: what has to be done before anything is put on the host, e.g. its first boot.
    proxy: a host to log in through.
    ready: what has to exist beside the host before software on it can work, e.g. its links.
    """

    name: str
    kind: str
    place: str
    resource: pulumi.Resource
    address: pulumi.Input[str]
    host_key: pulumi.Input[str]
    private_key: pulumi.Input[str]
    incarnation: pulumi.Input[str]
    key_file: str = ""
    port: int = 22
    user: str = "root"
    outlives: bool = False
    netns: str = ""
    booted: tuple[pulumi.Resource, ...] = ()
    proxy: remote.ProxyConnectionArgs | None = None
    ready: tuple[pulumi.Resource, ...] = ()

    def connection(self) -> remote.ConnectionArgs:
        """How `pulumi-command` logs in. A booted host answers within seconds: few retries."""
        return remote.ConnectionArgs(
            host=self.address,
            port=self.port,
            user=self.user,
            private_key=self.private_key,
            host_key=self.host_key,
            dial_error_limit=10,
            per_dial_timeout=5,
            proxy=self.proxy,
        )

    def as_root(self, command: str) -> str:
        """A shell command as what its user may run."""
        return command if self.user == "root" else f"sudo -n sh -c {shlex.quote(command)}"

    def inventory(self) -> Mapping[str, pulumi.Input[str]]:
        """This host's entry in the stack output `hosts`."""
        return {
            "name": self.name,
            "kind": self.kind,
            "place": self.place,
            "netns": self.netns,
            "address": self.address,
            "user": self.user,
            "ssh_key": self.key_file,
            "host_key": self.host_key,
        }
