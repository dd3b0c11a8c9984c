"""What outage and drain benchmarks make of their measurements, and how they go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import drain, outage, outage_crowd
from benchmarks.drain import Phase
from benchmarks.journal import Journal
from benchmarks.outage import Kill
from benchmarks.outage_crowd import CrowdKill
from tools.measure.wire import Answer, Moved, Summary


def kill(*outages: float) -> Kill:
    return Kill(node="n", outages={f"c{n}": o for n, o in enumerate(outages)}, others=0.01)


def test_outages_against_the_clients_own_timer() -> None:
    active = [kill(0.2), kill(0.3, 0.4), kill(1.2)]
    passive = [kill(15.1), kill(15.3)]
    p50, p99 = outage.results("bird", active, passive)
    assert (p50.benchmark, p50.value, p50.peer_value, p50.met) == (
        "outage.bird.p50", 0.3, 15.1, True
    )  # fmt: skip
    assert (p99.value, p99.peer_value, p99.met) == (1.2, 15.3, False)
    assert "3 kills, 4 cut-off wireguard-go clients" in p99.notes


def test_a_crowd_tells_real_and_simulated_apart() -> None:
    def one(simulated: list[float], real: list[float], cookies: int, missing: int = 0) -> CrowdKill:
        return CrowdKill(
            node="n", simulated=simulated, real=real, missing=missing, cookies=cookies,
            several=0, busy=1.0,
        )  # fmt: skip

    lines = list(
        outage_crowd.results("n", [one([1.0, 2.0, 60.0], [0.5], 2, 1)], [one([16.0], [15.2], 0)])
    )
    by_name = {line.benchmark: line for line in lines}
    assert by_name["outage_crowd.simulated.p99"].value == 60.0
    assert by_name["outage_crowd.simulated.p99"].met is False
    assert "1 not back within 60 s" in by_name["outage_crowd.simulated.p99"].notes
    assert by_name["outage_crowd.real.p99"].value == 0.5
    assert by_name["outage_crowd.cookie_replies"].met is False


def summary(name: str, up: int, down: int, gap: float) -> Summary:
    return Summary(
        name=name, sent=1000, lost_up=up, lost_down=down, gap=gap, gap_up=gap, back=0.01, late=0.002
    )


def moved(gap: float, again: int) -> Moved:
    return Moved(name="t", received=10_000, seconds=5, gap=gap, retransmitted=again)


def phase(name: str, up: int, down: int, gap: float) -> Phase:
    found = Answer(
        summaries=(summary("a", up, 0, gap), summary("b", 0, down, 0.01)), moved=(moved(gap, 1),)
    )
    return drain.phase(name, "n", 3, 1.5, found, full=2)  # type: ignore[arg-type]


def test_a_drain_counts_both_ways() -> None:
    active = [phase("drain", 0, 0, 0.013), phase("resume", 0, 1, 0.06)]
    passive = [phase("drain", 900, 800, 15.0), phase("resume", 0, 0, 0.02)]
    rolling = [phase("rolling", 0, 0, 0.03), phase("quiet", 5, 0, 0.02)]
    by_name = {line.benchmark: line for line in drain.results(active, passive, rolling)}
    up = by_name["drain.drain.lost_up"]
    assert (up.value, up.peer_value, up.met) == (0, 900, True)
    assert by_name["drain.drain.longest_gap"].value == pytest.approx(13)
    assert by_name["drain.drain.longest_gap"].peer_value == pytest.approx(15000)
    assert by_name["drain.resume.lost_down"].met is False
    assert by_name["drain.resume.longest_gap"].met is False
    assert by_name["drain.drain.tcp_retransmitted"].value == 1
    assert by_name["drain.rolling.lost_down"].value == 0
    assert by_name["drain.rolling.lost_up"].peer_value == 5
    assert "2 datagrams met a full socket" in by_name["drain.rolling.lost_up"].notes


def test_a_rolling_drain_alone() -> None:
    rolling = [phase("rolling", 0, 0, 0.03), phase("quiet", 0, 0, 0.02)]
    names = {line.benchmark for line in drain.results([], [], rolling)}
    assert names == {f"drain.rolling.{what}" for what in ("lost_up", "lost_down", "longest_gap")}


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    journal = Journal("x", Kill, resume=False, root=tmp_path)
    journal.add(kill(0.1))
    journal.add(kill(0.2))
    file = tmp_path / "bench" / "x.jsonl"
    file.write_bytes(file.read_bytes() + b'{"node": "cut o')
    resumed = Journal("x", Kill, resume=True, root=tmp_path)
    assert resumed.entries == [kill(0.1), kill(0.2)]
    resumed.add(kill(0.3))
    assert Journal("x", Kill, resume=True, root=tmp_path).entries[2:] == [kill(0.3)]
    assert Journal("x", Kill, resume=False, root=tmp_path).entries == []
