"""The packet path by nftables (`ruleset` says what a packet goes through).

It keeps the promises of `takeover.path`: own indices are learnt on the uplinks' egress, a
data packet under an index of ours is ours, another one is looked up by endpoint, reported
and relayed. Where it is less than the BPF one:

- The sets of indices are fixed in size and drop nothing early: when they are full, new
  indices are not learnt until old ones have timed out (200 s).
- `forget` works by endpoint: all indices count as not ours when a packet comes from there,
  until this node's WireGuard negotiates with that endpoint again. Then those of before
  count again for what is left of their 200 s.
- Several packets that the uplink's offloads joined to one are judged by the first.
- The IP header's TTL goes down by one at each relay, as with any router.
- A packet costs some 0.75 µs, not 0.25 (`python -m benchmarks path_cost`).
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Literal

from anycastle.agent.takeover.bpf import devices
from anycastle.agent.takeover.bpf.devices import Device
from anycastle.agent.takeover.nft import handover, ruleset, scripts
from anycastle.agent.takeover.nft.reader import NflogReader
from anycastle.agent.takeover.nft.ruleset import VERSIONS, Ruleset
from anycastle.agent.takeover.nft.tables import NftTable, run_program
from anycastle.agent.takeover.path import PacketEvent, PathCounters, PathError
from anycastle.model.addresses import Endpoint
from anycastle.model.node import NodeSpec

TABLE = "anycastle_takeover"
GROUP = 5182
"""NFLOG groups are numbers that a host's programs have to share."""

ENDPOINTS = 2
"""For each client that there is to be room for: BPF's table has as many."""


def ruleset_of(spec: NodeSpec, *, table: str = TABLE, clients: int | None = None) -> Ruleset:
    """The ruleset of a node. clients: how many endpoints have to fit, None: as configured."""
    return Ruleset(
        table=table,
        group=GROUP,
        addresses=spec.anycast.addresses,
        port=spec.anycast.port,
        own=spec.loopbacks.v4,
        networks=spec.fabric.networks,
        clients=clients or ENDPOINTS * spec.takeover.clients,
        fabric=spec.fabric.device,
    )


class NftPath:
    """A PacketPath in the network namespace of the thread that calls it.

    reason: why there is not a better one, for reports.
    """

    kind: Literal["nftables"] = "nftables"

    def __init__(self, rules: Ruleset, reason: str = "") -> None:
        self.reason = reason
        self._rules = rules
        self._table: NftTable | None = None
        self._reader: NflogReader | None = None
        self._known: dict[Endpoint, int] | None = None
        self._owners: set[IPv4Address] = set()

    @classmethod
    def for_node(cls, spec: NodeSpec, *, reason: str = "") -> NftPath:
        return cls(ruleset_of(spec), reason)

    # set-up

    def ensure(self, uplinks: Sequence[str], fabric: str) -> bool:
        """Relayed packets are handed to the first of `uplinks` that works.

        An uplink that is not there is left to a later call: the others serve meanwhile.
        Where own handshakes may have been missed (no rules on an uplink), relaying is off
        afterwards until the next trust(True).
        """
        if fabric != self._rules.fabric:
            raise PathError(f"the ruleset is for {self._rules.fabric}, not for {fabric}")
        inner = devices.find(fabric)
        if inner is None:
            raise PathError(f"no such network device: {fabric}")
        if self._reader is None:
            self._reader = NflogReader(self._rules.group)
        present = [device for name in uplinks if (device := devices.find(name))]
        loaded = self._load(present, inner)
        return self._hand_over(present) or loaded

    # state

    def held(self) -> bool:
        return bool(self._nft.chains())

    def put_relays(self, relays: Mapping[Endpoint, IPv4Address | None]) -> None:
        """Refuses all of them when one is to this node itself: its packets would be lost."""
        if self._rules.own in relays.values():
            raise PathError(f"{self._rules.own} is this node: its own clients have no relay")
        held = self._held()
        self._add_owners({owner for owner in relays.values() if owner is not None})
        wanted = {endpoint: ruleset.mark_of(owner) for endpoint, owner in relays.items()}
        new = {endpoint: mark for endpoint, mark in wanted.items() if held.get(endpoint) != mark}
        with self._certain():
            for version, part in _by_version(new).items():
                values = {endpoint: new[endpoint] for endpoint in part}
                self._nft.put(f"relay{version}", values, values.keys() & held.keys())
                held.update(values)

    def remove_relays(self, endpoints: Iterable[Endpoint]) -> None:
        held = self._held()
        with self._certain():
            for version, part in _by_version(set(endpoints) & held.keys()).items():
                self._nft.remove(f"relay{version}", part)
                for endpoint in part:
                    del held[endpoint]

    def relays(self) -> dict[Endpoint, IPv4Address | None]:
        self._known = None
        return {endpoint: ruleset.owner_of(mark) for endpoint, mark in self._held().items()}

    def forget(self, endpoints: Iterable[Endpoint]) -> None:
        for version, part in _by_version(set(endpoints)).items():
            self._nft.add(f"forgotten{version}", part)

    def trust(self, on: bool) -> None:
        self._nft.run(scripts.trust(self._rules, on=on))

    # events and counters

    def fileno(self) -> int:
        return self._opened().fileno()

    def drain(self) -> list[PacketEvent]:
        return self._opened().drain()

    def counters(self) -> PathCounters:
        found = self._nft.counters()
        kernel = {name: found.get(name, 0) for name in ruleset.COUNTERS}
        return PathCounters(**kernel, lost=self._reader.lost if self._reader else 0)

    # the end

    def close(self) -> None:
        for one in (self._reader, self._table):
            if one is not None:
                one.close()
        self._reader = self._table = self._known = None
        self._owners = set()

    def remove(self) -> None:
        """Works without `ensure` as well, whatever an earlier agent left behind."""
        try:
            if self._nft.chains():
                self._nft.run(scripts.delete(self._rules))
            if devices.find(self._rules.fabric):
                self._remove_filters()
        finally:
            self.close()

    # loading

    @property
    def _nft(self) -> NftTable:
        if self._table is None:
            self._table = NftTable(self._rules.table)
        return self._table

    def _opened(self) -> NflogReader:
        if self._reader is None:
            raise PathError("the packet path is not set up yet")
        return self._reader

    def _load(self, uplinks: Sequence[Device], fabric: Device) -> bool:
        rules, present = self._rules, self._nft.chains()
        names = [device.name for device in uplinks]
        numbers = [(device.name, device.port.index) for device in (*uplinks, fabric)]
        markers = scripts.markers(rules, names, numbers)
        hooks = ruleset.hook_chains(names)
        self._owners = ruleset.owners_of(present)
        old = {name for name in present if ruleset.is_hook_chain(name)} - hooks
        if not old and present >= {*markers, *hooks}:
            return False
        script = ""
        if markers.sets not in present:
            # Sets can't be changed: those of another shape go, with all they hold.
            script = scripts.delete(rules) if present else ""
            present, old = set(), set()
            self._known, self._owners = None, set()
        # An uplink without rules: indices may have been handed out that are not known.
        trusted = hooks <= present
        script += scripts.load(rules, names, self._owners, trusted=trusted)
        script += scripts.mark(rules, markers, present)
        self._nft.run(script + scripts.remove_chains(rules, sorted(old)))
        return True

    def _hand_over(self, uplinks: Sequence[Device]) -> bool:
        uplink = handover.target([(device.name, device.running) for device in uplinks])
        fabric, addresses = self._rules.fabric, self._rules.addresses
        if uplink is None:
            return False
        shown = run_program(["tc", "filter", "show", "dev", fabric, "ingress"])
        if handover.in_place(shown, uplink, addresses):
            return False
        if "clsact" not in run_program(["tc", "qdisc", "show", "dev", fabric]):
            run_program(["tc", "qdisc", "add", "dev", fabric, "clsact"])
        self._remove_filters()
        script = handover.filters(fabric, uplink, addresses, self._rules.port)
        run_program(["tc", "-batch", "-"], script)
        return True

    def _remove_filters(self) -> None:
        for version in VERSIONS:
            with contextlib.suppress(PathError):
                run_program(["tc", *handover.removal(self._rules.fabric, version)])

    # elements

    def _held(self) -> dict[Endpoint, int]:
        """The map as the kernel has it, kept up to date by its only writer."""
        if self._known is None:
            present = self._nft.chains()
            self._owners = ruleset.owners_of(present)
            self._known = {}
            for version in VERSIONS if present else ():
                self._known |= self._nft.elements(f"relay{version}")
        return self._known

    def _add_owners(self, owners: set[IPv4Address]) -> None:
        new = owners - self._owners
        self._nft.run("".join(scripts.owner(self._rules, owner) for owner in sorted(new)))
        self._owners |= new

    @contextmanager
    def _certain(self) -> Iterator[None]:
        """After an error it is not known what the map holds: read it again."""
        try:
            yield
        except PathError:
            self._known = None
            raise


def _by_version(endpoints: Iterable[Endpoint]) -> dict[int, list[Endpoint]]:
    found: defaultdict[int, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        found[endpoint.address.version].append(endpoint)
    return found
