"""Drivers against daemons that a test plays: what they run, write, and complain about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from anycastle.agent.routing import commands
from anycastle.agent.routing.bird import BirdDriver, parse_protocols
from anycastle.agent.routing.commands import Completed
from anycastle.agent.routing.driver import Driver, Peering, RoutingError
from anycastle.agent.routing.frr import FrrDriver, differences, parse_neighbours
from tests.support.node import node_spec

SPEC = node_spec()


@dataclass
class Machine:
    """Runs nothing: remembers, and answers by the first word that fits."""

    answers: dict[str, Completed | Exception] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    async def run(self, words: Sequence[str]) -> Completed:
        line = " ".join(words)
        self.ran.append(line)
        for part, answer in self.answers.items():
            if part in line:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return Completed(0, "Reconfigured")


@dataclass
class FakeService:
    name: str
    up: bool = False
    problem: str = ""
    did: list[str] = field(default_factory=list)

    async def running(self) -> bool:
        return self.up

    async def start(self) -> str:
        self.did.append("start")
        self.up = not self.problem
        return self.problem

    async def stop(self) -> None:
        self.did.append("stop")
        self.up = False

    async def reread(self) -> None:
        self.did.append("reread")


@dataclass
class Bench:
    driver: Driver
    machine: Machine
    service: FakeService
    other: FakeService

    async def load(self, marker: str = "") -> bool:
        files = dict(self.driver.render(SPEC, []))
        for path in files:
            if path.endswith(("bird.conf", "frr.conf")):
                files[path] += marker
        return await self.driver.load(files)


def bird(folder: Path) -> Bench:
    machine, service, other = Machine(), FakeService("bird"), FakeService("frr", up=True)
    driver = BirdDriver(
        config=folder / "bird.conf",
        unit=folder / "unit.conf",
        service=service,
        other=other,
        run=machine.run,
    )
    return Bench(driver, machine, service, other)


def frr(folder: Path) -> Bench:
    machine, service, other = Machine(), FakeService("frr"), FakeService("bird", up=True)
    driver = FrrDriver(
        folder=folder, unit=folder / "unit.conf", service=service, other=other, run=machine.run
    )
    return Bench(driver, machine, service, other)


def modes_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


BOTH = pytest.mark.parametrize("make", [bird, frr], ids=["bird", "frr"])
RELOADS = {"bird": "configure", "frr": "frr-reload.py --reload"}
Make = Callable[[Path], Bench]


@BOTH
async def test_first_load_stops_the_other_daemon_and_starts_this_one(
    make: Make, tmp_path: Path
) -> None:
    bench = make(tmp_path)
    assert await bench.load()
    assert bench.other.did == ["stop"]
    assert bench.service.did == ["reread", "start"]
    modes = modes_of(tmp_path)
    assert set(modes) >= {"unit.conf", f"{bench.driver.name}.conf"}
    assert set(modes.values()) == {0o644}


@BOTH
async def test_loading_the_same_again_does_nothing_and_a_change_reloads(
    make: Make, tmp_path: Path
) -> None:
    bench = make(tmp_path)
    await bench.load()
    bench.machine.ran.clear()
    reload = RELOADS[bench.driver.name]
    assert not await bench.load()
    assert not [line for line in bench.machine.ran if reload in line]
    assert await bench.load("# more\n")
    assert [line for line in bench.machine.ran if reload in line]
    assert bench.service.did.count("start") == 1


@BOTH
async def test_a_dead_daemon_is_started_again(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    await bench.load()
    bench.service.up = False
    assert await bench.load()
    assert bench.service.did.count("start") == 2


@BOTH
async def test_a_new_process_reloads_once_what_is_on_disk_already(
    make: Make, tmp_path: Path
) -> None:
    await make(tmp_path).load()
    bench = make(tmp_path)
    bench.service.up = True
    assert await bench.load()
    assert [line for line in bench.machine.ran if RELOADS[bench.driver.name] in line]
    assert "start" not in bench.service.did


@BOTH
async def test_what_the_parser_refuses_is_not_written(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.machine.answers = {
        "bird -p": Completed(1, "x.conf:7:3 syntax error"),
        "vtysh -C": Completed(1, "line 7: % Unknown command"),
    }
    with pytest.raises(RoutingError, match=r"refuses the rendered configuration: .*7"):
        await bench.load()
    assert modes_of(tmp_path) == {}
    assert bench.other.did == []


@BOTH
async def test_a_refused_reload_is_tried_again(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    await bench.load()
    reload = RELOADS[bench.driver.name]
    left = Completed(0, "\nLines To Add\n============\nrouter bgp 64512\n neighbor x\n")
    bench.machine.answers = {reload: Completed(1, "no, thank you"), "--test": left}
    for _ in range(2):
        with pytest.raises(RoutingError, match=r"does not take the configuration: .*no, thank you"):
            await bench.load("# more\n")
    bench.machine.answers = {}
    assert await bench.load("# more\n")


@BOTH
async def test_a_missing_binary_says_what_to_do(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.machine.answers = {"": FileNotFoundError("gone")}
    name = bench.driver.name
    wanted = rf"routing: {name}: this node has no \w+: install the Debian package {name}"
    with pytest.raises(RoutingError, match=wanted):
        await bench.load()
    state = await bench.driver.state()
    assert not state.running
    assert "install the Debian package" in state.detail


async def test_frr_reload_that_complains_but_changed_everything_is_fine(tmp_path: Path) -> None:
    """It gives commands twice; `bgp graceful-restart-disable` is refused the second time."""
    bench = frr(tmp_path)
    done = Completed(0, "\nLines To Delete\n===============\nno hostname x\n\n")
    bench.machine.answers = {"--reload": Completed(1, "% not valid at this moment"), "--test": done}
    assert await bench.load()


def test_differences_that_frr_reload_would_make() -> None:
    output = "INFO\n\nLines To Delete\n====\nno hostname x\nrouter bgp 1\n no neighbor y\n\n"
    output += "Lines To Add\n====\nip route z\n"
    assert differences(output) == ["router bgp 1", "no neighbor y", "ip route z"]
    assert differences("INFO\n") == []


async def test_frr_without_its_reload_script_names_the_package(tmp_path: Path) -> None:
    bench = frr(tmp_path)
    bench.machine.answers = {"frr-reload.py": FileNotFoundError("gone")}
    with pytest.raises(RoutingError, match="install the Debian package frr-pythontools"):
        await bench.load()


@BOTH
async def test_a_daemon_that_does_not_start_says_why(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.service.problem = "exit code 1: out of luck"
    with pytest.raises(RoutingError, match="does not start: exit code 1: out of luck"):
        await bench.load()


@BOTH
async def test_a_command_that_hangs_is_an_error(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.machine.answers = {"": TimeoutError()}
    with pytest.raises(RoutingError, match="did not end in time"):
        await bench.load()


def test_birds_words_are_understood() -> None:
    output = """\
BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     19:00:20.919
kernel4    Kernel     master4    up     19:00:20.919
bfd1       BFD        ---        up     19:00:20.919
edge-ams-edge-4 BGP        ---        up     19:00:21.734  Established
peer-fra-1 BGP        ---        start  2026-11-20    Active        Socket: Connection refused
agent-client BGP        ---        start  19:00:20.919  Passive
"""
    assert list(parse_protocols(output)) == [
        Peering("edge-ams-edge-4", "edge", True),
        Peering("peer-fra-1", "peer", False, "Active Socket: Connection refused"),
        Peering("agent-client", "agent", False, "Passive"),
    ]


def test_frrs_words_are_understood() -> None:
    neighbours = {
        "10.65.1.2": {"nbrDesc": "edge-ams-edge-4", "bgpState": "Established"},
        "10.67.0.3": {
            "nbrDesc": "peer-fra-1",
            "bgpState": "Active",
            "lastResetDueTo": "BFD down received",
        },
        "192.0.2.9": {"bgpState": "Established"},
        "dynamicPeers": 0,
    }
    assert list(parse_neighbours(neighbours)) == [
        Peering("edge-ams-edge-4", "edge", True),
        Peering("peer-fra-1", "peer", False, "Active, BFD down received"),
    ]


async def test_real_commands_run_and_hand_back_all_output() -> None:
    done = await commands.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.status, done.output) == (3, "out\nerr\n")
    with pytest.raises(FileNotFoundError):
        await commands.run(["/nonexistent/daemon"])


async def test_a_real_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TIMEOUT", 0.1)
    with pytest.raises(TimeoutError):
        await commands.run(["sleep", "60"])


async def test_systemd_units_are_started_and_their_log_is_shown() -> None:
    machine = Machine(
        {
            "is-active": Completed(3, ""),
            "restart": Completed(1, "failed"),
            "journalctl": Completed(0, "why"),
        }
    )
    service = commands.SystemdService("bird.service", machine.run)
    assert not await service.running()
    assert await service.start() == "failed\nwhy"
    await service.stop()
    await service.reread()
    assert machine.ran[-2:] == [
        "systemctl disable --now --quiet bird.service",
        "systemctl daemon-reload",
    ]
