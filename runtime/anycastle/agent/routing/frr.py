"""Driver for FRR: check, load, read back (the text comes from frr_config)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anycastle.agent.routing.commands import Run, Service, SystemdService, run
from anycastle.agent.routing.driver import (
    Files,
    Peering,
    RoutingError,
    RoutingState,
    command,
    trial_copy,
    write_changed,
)
from anycastle.agent.routing.frr_config import DAEMONS, frr_config
from anycastle.model.node import NodeSpec, Peer

RESTART = """\
# Written by anycastle-agent: starting FRR is never refused for having been done too often.
[Unit]
StartLimitIntervalSec=0

[Service]
# BFD at 50 ms takes a busy processor for a dead neighbour: bfdd does not wait for others.
# ("-": where real-time scheduling is not allowed, the nice value has to do.)
Nice=-10
ExecStartPost=-/bin/sh -c 'exec chrt --all-tasks --rr --pid 1 "$$(cat /run/frr/bfdd.pid)"'
"""
VTYSH = "service integrated-vtysh-config\n"
RELOAD = "/usr/lib/frr/frr-reload.py"
"""Of Debian's frr-pythontools: turns the running configuration into the file's."""
START_TIMEOUT = 20.0
"""Seconds that bgpd may take to answer after its start."""


@dataclass
class FrrDriver:
    """folder: FRR's configuration. unit: systemd's drop-in, None without systemd.

    pathspace: FRR's `-N`, for tests that run several FRRs on one machine.
    """

    name: str = "frr"
    folder: Path = Path("/etc/frr")
    pathspace: str = ""
    unit: Path | None = Path("/etc/systemd/system/frr.service.d/anycastle.conf")
    service: Service = field(default_factory=lambda: SystemdService("frr.service"))
    other: Service = field(default_factory=lambda: SystemdService("bird.service"))
    run: Run = run
    _loaded: str = field(default="", init=False)

    @property
    def config(self) -> Path:
        return self.folder / "frr.conf"

    def render(self, spec: NodeSpec, peers: Sequence[Peer]) -> Files:
        """frr.conf, the list of daemons, vtysh.conf, and the unit's drop-in."""
        files = {
            str(self.config): frr_config(spec, peers),
            str(self.folder / "daemons"): DAEMONS,
            str(self.folder / "vtysh.conf"): VTYSH,
        }
        return files | ({str(self.unit): RESTART} if self.unit else {})

    async def check(self, files: Files) -> None:
        """`vtysh -C` on a copy. Raises RoutingError with vtysh's own words."""
        with trial_copy(files[str(self.config)]) as copy:
            status, output = await self._command("vtysh", "-C", "-f", copy)
        if status != 0:
            raise RoutingError(f"FRR refuses the rendered configuration: {output.strip()}")

    async def load(self, files: Files) -> bool:
        """See Driver.load."""
        text = files[str(self.config)]
        current = text == self._loaded
        restart = not current and await self._place(files)
        if restart or not await self._answers():
            await self._start()
        elif current:
            return False
        else:
            await self._reload()
        self._loaded = text
        return True

    async def _place(self, files: Files) -> bool:
        """Returns whether the list of daemons changed, which needs a restart."""
        await self.check(files)
        await self.other.stop()
        changed = write_changed(files)
        if str(self.unit) in changed:
            await self.service.reread()
        return str(self.folder / "daemons") in changed

    async def _start(self) -> None:
        if problem := await self.service.start():
            raise RoutingError(f"FRR does not start: {problem}")
        deadline = time.monotonic() + START_TIMEOUT
        while not await self._answers():
            if time.monotonic() > deadline:
                raise RoutingError("FRR was started, but bgpd does not answer vtysh")
            await asyncio.sleep(0.1)
        # What the daemons read at their start may precede an address that it names.
        await self._reload()

    async def _reload(self) -> None:
        status, output = await self._frr_reload("--reload")
        if status == 0:
            return
        # It gives every command twice, and some are refused the second time.
        _, left = await self._frr_reload("--test")
        if lines := differences(left):
            raise RoutingError(
                f"FRR does not take the configuration: {'; '.join(lines[:5])}: "
                f"{output.strip()[-1000:]}"
            )

    async def _frr_reload(self, action: str) -> tuple[int, str]:
        space = ["--pathspace", self.pathspace] if self.pathspace else []
        return await self._command(RELOAD, action, *space, str(self.config))

    async def _answers(self) -> bool:
        if not await self.service.running():
            return False
        status, output = await self._vtysh("show bgp vrfs json")
        return status == 0 and "is not running" not in output

    async def _vtysh(self, line: str) -> tuple[int, str]:
        space = ["-N", self.pathspace] if self.pathspace else []
        return await self._command("vtysh", *space, "-c", line)

    async def _command(self, *words: str) -> tuple[int, str]:
        package = "frr-pythontools" if words[0] == RELOAD else "frr"
        done = await command(self.run, self.name, package, words)
        return done.status, done.output

    async def state(self) -> RoutingState:
        """See Driver.state."""
        try:
            status, output = await self._vtysh("show bgp neighbors json")
            neighbours = json.loads(output[output.index("{") :]) if status == 0 else None
        except (RoutingError, ValueError) as error:
            return RoutingState(running=False, detail=str(error))
        if neighbours is None:
            return RoutingState(running=False, detail=output.strip())
        return RoutingState(running=True, peerings=tuple(parse_neighbours(neighbours)))

    async def stop(self) -> None:
        await self.service.stop()


def differences(output: str) -> list[str]:
    """What `frr-reload.py --test` would change. Pure.

    The host's name is not in our file, and nothing depends on it.
    """
    _, _, lines = output.partition("Lines To ")
    return [
        " ".join(line.split())
        for line in lines.splitlines()[1:]
        if line.strip(" =") and not line.startswith(("no hostname", "Lines To "))
    ]


def parse_neighbours(neighbours: Mapping[str, Any]) -> Iterator[Peering]:
    """BGP sessions in `show bgp neighbors json`. Pure."""
    for entry in neighbours.values():
        if not isinstance(entry, dict) or "nbrDesc" not in entry:
            continue
        name = str(entry["nbrDesc"])
        kind = name.partition("-")[0]
        state = str(entry.get("bgpState", "unknown"))
        up = state == "Established"
        reason = str(entry.get("lastResetDueTo", ""))
        detail = "" if up else ", ".join(part for part in (state, reason) if part)
        yield Peering(name=name, kind=kind, up=up, detail=detail)
