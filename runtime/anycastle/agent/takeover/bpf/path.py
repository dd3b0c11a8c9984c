"""The packet path made of BPF programs. See ../takeover.bpf.c for what they do.

Nothing is kept here that the kernel holds: what is loaded is found by its pins, what is
attached by asking the devices, what the program was told by reading its settings. So an
agent that was killed at any point goes on where it was, and `ensure` is idempotent.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from anycastle.agent.takeover.bpf import devices, hooks, layout, pins, program
from anycastle.agent.takeover.bpf.devices import Device
from anycastle.agent.takeover.bpf.hooks import Hook, Side
from anycastle.agent.takeover.bpf.layout import NOTHING, Port, Settings, Sizes
from anycastle.agent.takeover.bpf.libbpf import CallFailed, explained
from anycastle.agent.takeover.bpf.program import EGRESS, FABRIC, INGRESS, Program
from anycastle.agent.takeover.bpf.ring import Ring
from anycastle.agent.takeover.path import PacketEvent, PathCounters, PathError
from anycastle.model.addresses import Endpoint, fabric_mac
from anycastle.model.node import NodeSpec

_ONLY = bytes(4)
"""The key of an array's only element."""


class BpfPath:
    """A PacketPath. services: the addresses and ports that clients connect to.

    loopback: the node's own IPv4 one, which its fabric address is made from. clients: for
    how many the maps are made; another number at the next start loads the program anew.
    directory: where the pins are; made a bpffs when it is none.
    """

    kind: Literal["bpf"] = "bpf"

    def __init__(
        self,
        services: Sequence[Endpoint],
        loopback: IPv4Address,
        *,
        directory: Path = pins.DIRECTORY,
        clients: int,
    ) -> None:
        self._services = tuple(services)
        self._loopback = loopback
        self._directory = directory
        self._sizes = Sizes(clients)
        self._program: Program | None = None
        self._ring: Ring | None = None

    @classmethod
    def for_node(cls, spec: NodeSpec, *, directory: Path = pins.DIRECTORY) -> BpfPath:
        services = [Endpoint(address, spec.anycast.port) for address in spec.anycast.addresses]
        clients = spec.takeover.clients
        return cls(services, spec.loopbacks.v4, directory=directory, clients=clients)

    # set-up

    def ensure(self, uplinks: Sequence[str], fabric: str) -> bool:
        """Relayed packets re-enter on the first of `uplinks` that has a carrier.

        An uplink that is not there is left to a later call: the others serve meanwhile. A
        missing `fabric` is told of when everything else is done. Where own handshakes may
        have been missed (indices not kept, a device without the program), relaying is off
        afterwards until the next trust(True).
        """
        anew = self._open()
        links = [device for name in uplinks if (device := devices.find(name))]
        inner = devices.find(fabric)
        missed = self._missed(links)
        told = self._tell(links, inner, distrust=missed)
        moved = self._attach(_wanted(links, inner))
        self._opened().alone()
        if inner is None:
            raise PathError(f"no such network device: {fabric}")
        return anew or told or moved

    def _open(self) -> bool:
        """Load or take over; was there something to do?"""
        if self._program is not None:
            return False
        if len(self._services) > layout.MAX_SERVICES:
            raise PathError(
                f"the packet program knows up to {layout.MAX_SERVICES} service addresses, "
                f"not {len(self._services)}"
            )
        pins.mount(self._directory)
        found = program.obtain(self._directory, self._sizes, program.read_object())
        try:
            self._ring = Ring(found.maps["events"])
        except PathError:
            found.close()
            raise
        self._program = found
        return found.loaded

    def _opened(self) -> Program:
        if self._program is None:
            raise PathError("the packet path is not set up yet")
        return self._program

    def _missed(self, links: Iterable[Device]) -> bool:
        """May this node have handed out indices that were not learned?"""
        with explained("the programs on the uplinks can't be looked at"):
            return any(not hooks.attached(Hook(device.port.index, Side.EGRESS)) for device in links)

    def _tell(self, links: Sequence[Device], fabric: Device | None, *, distrust: bool) -> bool:
        """Write the program's settings where they differ; did they?"""
        uplink = next((device for device in links if device.running), links[0] if links else None)
        own_mac = bytes.fromhex(fabric_mac(self._loopback).replace(":", ""))
        before = self._settings()
        wanted = Settings(
            services=self._services,
            trusted=before.trusted and not distrust,
            fabric=Port(fabric.port.index, own_mac) if fabric else NOTHING,
            uplink=uplink.port if uplink else NOTHING,
        )
        if wanted == before:
            return False
        self._write(wanted)
        return True

    def _attach(self, wanted: Mapping[Hook, str]) -> bool:
        """Attach what differs, learning first; take away what is on other devices."""
        changed = False
        for hook, name in wanted.items():
            descriptor, number = self._opened().programs[name]
            with explained(f"{name} can't be attached to device number {hook.device}"):
                if hooks.attached(hook) != number:
                    hooks.attach(hook, descriptor)
                    changed = True
        with explained("old programs can't be detached"):
            for hook in hooks.of_all_devices():
                if hook not in wanted:
                    hooks.detach(hook)
                    changed = True
        return changed

    # state

    def put_relays(self, relays: Mapping[Endpoint, IPv4Address | None]) -> None:
        """Refuses all of them when one is to this node itself: its packets would be lost."""
        if self._loopback in relays.values():
            raise PathError(f"{self._loopback} is this node: its own clients have no relay")
        table = self._opened().maps["relays"]
        items = ((layout.pack_endpoint(one), layout.pack_relay(to)) for one, to in relays.items())
        try:
            with explained("endpoints of other nodes' clients can't be written"):
                table.put_all(items)
        except PathError as error:
            cause = error.__cause__
            if isinstance(cause, CallFailed) and cause.errno == errno.E2BIG:
                raise PathError(
                    f"the table of other nodes' clients is full: {table.shape.max_entries} endpoints"
                ) from cause
            raise

    def remove_relays(self, endpoints: Iterable[Endpoint]) -> None:
        with explained("endpoints of other nodes' clients can't be removed"):
            self._opened().maps["relays"].remove_all(map(layout.pack_endpoint, endpoints))

    def relays(self) -> dict[Endpoint, IPv4Address | None]:
        with explained("endpoints of other nodes' clients can't be read"):
            return {
                layout.unpack_endpoint(key): layout.unpack_relay(value)
                for key, value in self._opened().maps["relays"].items()
            }

    def forget(self, endpoints: Iterable[Endpoint]) -> None:
        maps = self._opened().maps
        with explained("own indices can't be forgotten"):
            for endpoint in endpoints:
                key = layout.pack_endpoint(endpoint)
                held = maps["negotiated"].get(key)
                if held is not None:
                    for index in layout.unpack_indices(held):
                        maps["mine"].remove(index.to_bytes(4, "little"))
                    maps["negotiated"].remove(key)

    def trust(self, on: bool) -> None:
        settings = self._settings()
        if settings.trusted != on:
            self._write(settings.trust(on))

    def held(self) -> bool:
        return pins.is_mounted(self._directory) and bool(program.pinned(self._directory))

    # events and counters

    def fileno(self) -> int:
        return self._reader().fileno()

    def drain(self) -> list[PacketEvent]:
        return self._reader().drain()

    def counters(self) -> PathCounters:
        with explained("the packet path's counters can't be read"):
            return layout.sum_counters(self._opened().maps["counters"].get_of_cpus(_ONLY))

    # the end

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        if self._program is not None:
            self._program.close()
            self._program = None

    def remove(self) -> None:
        """Works without `ensure` as well, whatever an earlier agent left behind."""
        self.close()
        with explained("the packet path can't be taken away"):
            for hook in list(hooks.of_all_devices()):
                hooks.detach(hook)
        if self._directory.exists() and pins.is_mounted(self._directory):
            for path in program.pinned(self._directory):
                pins.remove(path)
            pins.unmount(self._directory)

    def _reader(self) -> Ring:
        if self._ring is None:
            raise PathError("the packet path is not set up yet")
        return self._ring

    def _settings(self) -> Settings:
        with explained("the packet path's settings can't be read"):
            data = self._opened().maps["settings"].get(_ONLY)
        return Settings.unpack(data or bytes(layout.SETTINGS.size))

    def _write(self, settings: Settings) -> None:
        with explained("the packet path's settings can't be written"):
            self._opened().maps["settings"].put(_ONLY, settings.pack())


def _wanted(links: Iterable[Device], fabric: Device | None) -> dict[Hook, str]:
    """Program by hook, in the order in which to attach: learn, deliver, then decide."""
    found = [device.port.index for device in links]
    wanted = {Hook(index, Side.EGRESS): EGRESS for index in found}
    if fabric is not None:
        wanted[Hook(fabric.port.index, Side.INGRESS)] = FABRIC
    return wanted | {Hook(index, Side.INGRESS): INGRESS for index in found}
