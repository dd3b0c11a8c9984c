"""An agent outside systemd: `python -m tests.support.agent_process FOLDER`.

It is the real one; only what systemd does on a node (starting BIRD and wireguard-go, and
keeping them alive beyond the agent) is done by `Detached`. FOLDER has etc/ (settings),
and gets var/, run/, bird.conf, *.log and *.pid.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anycastle.agent import assembly, logs
from anycastle.agent.datapath import Edges
from anycastle.agent.desired import uplinks
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.routing.bird import BirdDriver
from anycastle.agent.settings import Settings
from anycastle.agent.takeover.choose import candidates, choose
from anycastle.agent.takeover.path import PacketPath
from anycastle.agent.wireguard.choose import choose_edge
from anycastle.model.node import NodeSpec

PINS = Path("run", "bpf")


@dataclass
class Detached:
    """A daemon that outlives who started it. It is known by its pid file."""

    folder: Path
    name: str
    command: Sequence[str] = ()

    @property
    def pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def alive(self) -> bool:
        try:
            status = Path("/proc", self.pid_file.read_text(), "stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] != "Z"

    def begin(self) -> None:
        if self.alive():
            return
        with (self.folder / f"{self.name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid_file.write_text(str(process.pid))

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.alive():
            subprocess.run(["kill", f"-{number.value}", self.pid_file.read_text()], check=False)

    # As routing.commands.Service:

    async def running(self) -> bool:
        return self.alive()

    async def start(self) -> str:
        self.begin()
        return ""

    async def stop(self) -> None:
        self.kill()

    async def reread(self) -> None:
        pass


def bird(folder: Path) -> Detached:
    config, control = folder / "bird.conf", folder / "bird.ctl"
    command = ["bird", "-f", "-c", config, "-s", control, "-P", folder / "bird.own-pid"]
    return Detached(folder, "bird", [str(word) for word in command])


def wireguard(folder: Path, device: str) -> Detached:
    return Detached(folder, "wireguard", ["wireguard-go", "-f", device])


def host(folder: Path) -> assembly.Host:
    driver = BirdDriver(
        config=folder / "bird.conf",
        socket=folder / "bird.ctl",
        unit=None,
        service=bird(folder),
        other=Detached(folder, "none"),
    )

    def kernel(settings: Settings) -> Edges:
        device = settings.spec.wireguard.device
        daemon = wireguard(folder, device)
        edge = choose_edge(device, start=lambda _: daemon.begin(), stop=lambda _: daemon.kill())
        return edge, KernelNetwork()

    return assembly.Host(
        settings=folder / "etc",
        state=folder / "var",
        run=folder / "run",
        driver=lambda _: driver,
        kernel=kernel,
        path=lambda settings, patient: packet_path(folder, settings.spec, patient),
    )


def packet_path(folder: Path, spec: NodeSpec, patient: bool) -> PacketPath:
    """As on a node; its pins are the folder's: see `agent_world.Node.mount` for why."""
    among = candidates(spec, directory=folder / PINS)
    return choose(uplinks(spec), spec.fabric.device, among, patient=patient)


if __name__ == "__main__":
    logs.configure()
    asyncio.run(assembly.run(host(Path(sys.argv[1]))))
