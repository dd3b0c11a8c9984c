"""From an address and a key to a host that runs our software: the same for every kind.

A bundle (our wheel, everything that it needs, and its units) is copied and installed
into a directory of its version; what is particular to a host comes after it, from
`components.node` and `components.control_plane`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components import commands
from components.host import Host
from components.naming import on
from tools.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class RuntimeArgs:
    """bundle: the software of the host's role."""

    host: Host
    bundle: Bundle


class Runtime(pulumi.ComponentResource):
    """The software of one role, installed and not started.

    version: of what is installed. installed: what its users depend on.
    """

    version: str
    installed: pulumi.Resource

    def __init__(
        self, name: str, args: RuntimeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:Runtime", name, None, opts)
        self.version = args.bundle.version
        archive = remote_archive(args.bundle, args.host)
        copy = self._copy(args, archive)
        self.installed = commands.run(
            args.host,
            "install",
            "install",
            {"ARCHIVE": archive, "VERSION": args.bundle.version},
            parent=self,
            delete=f"rm -rf /opt/anycastle {archive}",
            depends_on=[copy],
        )
        self.register_outputs({"version": self.version})

    def _copy(self, args: RuntimeArgs, archive: str) -> remote.CopyToRemote:
        return remote.CopyToRemote(
            on(args.host.name, "bundle"),
            connection=args.host.connection(),
            source=pulumi.FileAsset(str(args.bundle.archive)),
            remote_path=archive,
            # A new disk needs a new copy; that there is nothing to undo makes replacing right.
            triggers=[args.host.incarnation],
            opts=commands.options(args.host, parent=self),
        )


def remote_archive(bundle: Bundle, host: Host) -> str:
    """Where a bundle lies on a host; the same for each version, so that only one is kept.

    It is copied as the user who logs in, whose home directory a relative path is in.
    """
    folder = "/var/cache/" if host.user == "root" else f"/home/{host.user}/"
    return f"{folder}anycastle-{bundle.role}.tar"
