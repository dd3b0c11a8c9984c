"""One node of a bgp_world: its daemons, its speaker, its kernel's routes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anycastle.agent.routing.bird import BirdDriver
from anycastle.agent.routing.driver import Driver
from anycastle.model.codec import to_json
from anycastle.model.node import NodeSpec, Peer
from tests.support.namespaces import Namespace, run

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Daemons:
    """The daemons of one namespace, as the routing drivers see a service."""

    name: str
    space: Namespace
    commands: Sequence[Sequence[str]] = ()
    folder: Path = Path()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def running(self) -> bool:
        return bool(self.processes) and all(each.poll() is None for each in self.processes)

    async def start(self) -> str:
        await self.stop()
        for command in self.commands:
            log = self.folder / f"{Path(command[0]).name}.log"
            words = [*_priority(command[0]), *command]
            self.processes.append(self.space.popen(" ".join(words), log))
        return ""

    async def stop(self) -> None:
        self.kill(signal.SIGTERM)

    async def reread(self) -> None:
        pass

    def pid(self, program: str) -> int:
        """Process id of a daemon. `ip netns exec` becomes the program, so it is its own."""
        for command, process in zip(self.commands, self.processes, strict=True):
            if Path(command[0]).name == program:
                return process.pid
        raise KeyError(program)

    def kill(self, how: signal.Signals) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(how)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.processes = []


def _priority(program: str) -> list[str]:
    """What the units give the daemons."""
    real_time = Path(program).name in {"bird", "bfdd"}
    return ["chrt", "--rr", "1"] if real_time else ["nice", "-n", "-10"]


@dataclass
class Speaker:
    """A speaker process in a node's namespace."""

    process: subprocess.Popen[str]

    def tell(self, **line: Any) -> None:
        assert self.process.stdin is not None
        print(json.dumps(line), file=self.process.stdin, flush=True)

    def ask(self, *prefixes: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        self.tell(ask=prefixes)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def up(self) -> bool:
        return all(self.ask()["established"].values())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(5)


@dataclass
class Node:
    """One node: its namespace, daemon and speaker."""

    spec: NodeSpec
    space: Namespace
    folder: Path
    daemons: Daemons
    driver: Driver
    speakers: list[Speaker] = field(default_factory=list)

    def load(self, peers: Sequence[Peer]) -> bool:
        return asyncio.run(self.driver.load(self.driver.render(self.spec, peers)))

    def speak(self) -> Speaker:
        """Start a speaker; the one before may be dead or alive."""
        path = self.folder / "node.json"
        path.write_bytes(to_json(self.spec))
        process = subprocess.Popen(
            f"ip netns exec {self.space.name} {sys.executable} "
            f"-m tests.support.speaker_process {path}".split(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}"},
        )
        speaker = Speaker(process)
        self.speakers.append(speaker)
        return speaker

    def watched_by_bfd(self) -> bool:
        """Are the node's BFD sessions there, and up?"""
        if isinstance(self.driver, BirdDriver):
            shown = run(f"birdc -s {self.driver.socket} show bfd sessions").splitlines()
            states = [words[2] for words in map(str.split, shown) if len(words) == 6][1:]
            return bool(states) and set(states) == {"Up"}
        command = ["vtysh", "-N", self.space.name, "-c", "show bfd peers json"]
        peers = json.loads(subprocess.check_output(command) or "[]")
        return bool(peers) and all(peer["status"] == "up" for peer in peers)

    def route(self, prefix: str) -> dict[str, Any] | None:
        """The kernel's route to exactly this prefix."""
        family = "-6" if ":" in prefix else "-4"
        # An address stands for its host route.
        shown = run(f"ip {family} -n {self.space.name} -j route show exact {prefix}")
        found: list[dict[str, Any]] = json.loads(shown or "[]")
        return found[0] if found else None

    def count(self, device: str) -> int:
        """Kernel routes over a device."""
        return len(run(f"ip -n {self.space.name} route show dev {device}").splitlines())

    def gateway(self, prefix: str) -> str | None:
        route = self.route(prefix)
        return None if route is None else route.get("gateway", route.get("dev"))

    @contextmanager
    def watched(self) -> Iterator[Callable[[], list[str]]]:
        """What happens to the kernel's routes meanwhile, as lines of `ip monitor`."""
        path = self.folder / "monitor.log"
        process = self.space.popen("ip monitor route", path)
        try:
            time.sleep(0.1)
            yield lambda: path.read_text().splitlines()
        finally:
            process.terminate()
            process.wait()

    def quiet(self) -> None:
        """No speaker any more; the daemon may still keep its client routes."""
        for speaker in self.speakers:
            speaker.end()
        self.speakers.clear()

    def end(self) -> None:
        self.quiet()
        self.daemons.kill(signal.SIGTERM)
