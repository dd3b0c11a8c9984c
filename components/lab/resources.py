"""The lab's resources. Their provider is dynamic: Pulumi pickles it, so it is thin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from anycastle.model.codec import to_plain
from components.lab import world

Properties = dict[str, Any]


class _LabProvider(ResourceProvider):
    """Hands each call to `components.lab.provider`.

    kind: suffix of the functions there. fixed: inputs that only a new resource can have.
    changeable: inputs that an update takes up. healthy: output that must be true, or "".
    """

    def __init__(
        self, kind: str, fixed: tuple[str, ...], changeable: tuple[str, ...] = (), healthy: str = ""
    ) -> None:
        super().__init__()
        self.kind = kind
        self.fixed = fixed
        self.changeable = changeable
        self.healthy = healthy

    def create(self, props: Properties) -> CreateResult:
        return CreateResult(self._identity(props), self._call("create", self._inputs(props)))

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        """Only these inputs count: new code of this class is no difference."""
        replaces = [name for name in self.fixed if olds.get(name) != news.get(name)]
        changed = any(olds.get(name) != news.get(name) for name in self.changeable)
        ill = bool(self.healthy) and not olds.get(self.healthy)
        return DiffResult(
            changes=bool(replaces) or changed or ill,
            replaces=replaces,
            delete_before_replace=True,
        )

    def update(self, _id: str, olds: Properties, news: Properties) -> UpdateResult:
        return UpdateResult(self._call("update", olds, self._inputs(news)))

    def read(self, id_: str, props: Properties) -> ReadResult:
        state = self._call("read", props)
        return ReadResult(id_, state) if state is not None else ReadResult("", {})

    def delete(self, _id: str, props: Properties) -> None:
        self._call("delete", props)

    def _call(self, verb: str, *arguments: Properties) -> Any:
        from components.lab import provider  # noqa: PLC0415 - see the module's docstring

        return getattr(provider, f"{verb}_{self.kind}")(*arguments)

    def _inputs(self, props: Properties) -> Properties:
        return {name: props[name] for name in (*self.fixed, *self.changeable)}

    def _identity(self, props: Properties) -> str:
        return "/".join(str(props[name]) for name in self.fixed)


class Network(Resource, module="lab", name="Network"):
    """The lab's management network. index: its number on this machine."""

    index: pulumi.Output[int]

    def __init__(self, name: str, lab: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(_LabProvider("network", ("lab",)), name, {"lab": lab, "index": None}, opts)


class Disk(Resource, module="lab", name="Disk"):
    """What a host boots from. host_key: public part of the key that its sshd has.

    incarnation: random, another one means another disk.
    """

    incarnation: pulumi.Output[str]
    host_key: pulumi.Output[str]

    def __init__(
        self, name: str, lab: str, host: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["private_key"])
        super().__init__(
            _LabProvider("disk", ("lab", "host")),
            name,
            {"lab": lab, "host": host, "incarnation": None, "host_key": None, "private_key": None},
            pulumi.ResourceOptions.merge(opts, hidden),
        )


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """authorized_key: OpenSSH public key that may log in as root."""

    lab: str
    plan: world.Host
    network: Network
    disk: Disk
    authorized_key: str


class Host(Resource, module="lab", name="Host"):
    """A booted machine. running: false after a refresh that found it dead."""

    running: pulumi.Output[bool]

    def __init__(
        self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        changeable = ("host", "index", "incarnation", "authorized_key")
        super().__init__(
            _LabProvider("host", ("lab", "name"), changeable, "running"),
            name,
            {
                "lab": args.lab,
                "name": args.plan.name,
                "host": to_plain(args.plan),
                "index": args.network.index,
                "incarnation": args.disk.incarnation,
                "authorized_key": args.authorized_key,
                "running": None,
                "boot": None,
            },
            opts,
        )


class Link(Resource, module="lab", name="Link"):
    """A cable between two hosts, which exist. up: false after a refresh that found it cut."""

    up: pulumi.Output[bool]

    def __init__(
        self, name: str, lab: str, plan: world.Link, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            _LabProvider("link", ("lab", "name"), ("link",), "up"),
            name,
            {"lab": lab, "name": plan.name, "link": to_plain(plan), "up": None},
            opts,
        )


@dataclass(frozen=True, kw_only=True)
class EdgePeerArgs:
    """block: in the language of the edge's daemon. disk: the edge's; a new one has no block."""

    lab: str
    edge: str
    node: str
    block: str
    disk: Disk


class EdgePeer(Resource, module="lab", name="EdgePeer"):
    """One node's sessions on its edge router."""

    def __init__(
        self, name: str, args: EdgePeerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            _LabProvider("edge_peer", ("lab", "edge", "node"), ("block", "incarnation")),
            name,
            {
                "lab": args.lab,
                "edge": args.edge,
                "node": args.node,
                "block": args.block,
                "incarnation": args.disk.incarnation,
            },
            opts,
        )
