"""Driver for BIRD 2: check, load, read back (the text comes from bird_config)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anycastle.agent.routing.bird_config import bird_config
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
from anycastle.model.node import NodeSpec, Peer

RESTART = """\
# Written by anycastle-agent: a BIRD that dies comes back at once.
[Unit]
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=200ms
# BFD at 50 ms takes a busy processor for a dead neighbour: BIRD does not wait for others.
# ("-": where real-time scheduling is not allowed, the nice value has to do.)
Nice=-10
ExecStartPost=-/usr/bin/chrt --all-tasks --rr --pid 1 $MAINPID
"""
START_TIMEOUT = 10.0
"""Seconds that BIRD may take to answer on its socket after its start."""


@dataclass
class BirdDriver:
    """config, socket: BIRD's files. unit: systemd's drop-in, None without systemd."""

    name: str = "bird"
    config: Path = Path("/etc/bird/bird.conf")
    socket: Path = Path("/run/bird/bird.ctl")
    unit: Path | None = Path("/etc/systemd/system/bird.service.d/anycastle.conf")
    service: Service = field(default_factory=lambda: SystemdService("bird.service"))
    other: Service = field(default_factory=lambda: SystemdService("frr.service"))
    run: Run = run
    _loaded: str = field(default="", init=False)

    def render(self, spec: NodeSpec, peers: Sequence[Peer]) -> Files:
        """bird.conf, and the unit's drop-in."""
        files = {str(self.config): bird_config(spec, peers)}
        return files | ({str(self.unit): RESTART} if self.unit else {})

    async def check(self, files: Files) -> None:
        """`bird -p` on a copy. Raises RoutingError with BIRD's own words."""
        with trial_copy(files[str(self.config)]) as copy:
            done = await command(self.run, self.name, "bird2", ["bird", "-p", "-c", copy])
        if done.status != 0:
            raise RoutingError(f"BIRD refuses the rendered configuration: {done.output.strip()}")

    async def load(self, files: Files) -> bool:
        """See Driver.load."""
        text = files[str(self.config)]
        current = text == self._loaded
        if not current:
            await self._place(files)
        if not await self._answers():
            await self._start()
        elif current:
            return False
        else:
            await self._configure()
        self._loaded = text
        return True

    async def _place(self, files: Files) -> None:
        await self.check(files)
        await self.other.stop()
        if str(self.unit) in write_changed(files):
            await self.service.reread()

    async def _answers(self) -> bool:
        return await self.service.running() and (await self._birdc("show status"))[0]

    async def _start(self) -> None:
        if problem := await self.service.start():
            raise RoutingError(f"BIRD does not start: {problem}")
        deadline = time.monotonic() + START_TIMEOUT
        while not (await self._birdc("show status"))[0]:
            if time.monotonic() > deadline:
                raise RoutingError(f"BIRD was started, but {self.socket} does not answer")
            await asyncio.sleep(0.05)

    async def _configure(self) -> None:
        # Sessions whose own options did not change stay; filters are applied anew.
        _, output = await self._birdc("configure")
        if "Reconfigured" not in output and "Reconfiguration in progress" not in output:
            raise RoutingError(f"BIRD does not take the configuration: {output.strip()}")

    async def _birdc(self, words: str) -> tuple[bool, str]:
        line = ["birdc", "-s", str(self.socket), *words.split()]
        done = await command(self.run, self.name, "bird2", line)
        return done.status == 0 and "Unable to connect" not in done.output, done.output

    async def state(self) -> RoutingState:
        """See Driver.state."""
        try:
            answers, output = await self._birdc("show protocols")
        except RoutingError as error:
            return RoutingState(running=False, detail=str(error))
        if not answers:
            return RoutingState(running=False, detail=output.strip())
        return RoutingState(running=True, peerings=tuple(parse_protocols(output)))

    async def stop(self) -> None:
        await self.service.stop()


_PROTOCOL = re.compile(r"^((edge|peer|agent)-\S+)\s+BGP\s+\S+\s+\S+\s+\S+\s*(.*)$", re.MULTILINE)


def parse_protocols(output: str) -> Iterator[Peering]:
    """BGP sessions in what `show protocols` prints. Pure."""
    for name, kind, info in _PROTOCOL.findall(output):
        up = info.startswith("Established")
        yield Peering(name=name, kind=kind, up=up, detail="" if up else " ".join(info.split()))
