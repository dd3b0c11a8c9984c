"""Which packet path is taken, and what becomes of the others."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence

import pytest

from anycastle.agent.takeover.choose import Candidates, NoPath, choose
from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.takeover.path import PacketPath, PathCounters, PathError


class Path(FakePath):
    """Notes what is done with it."""

    def __init__(self, name: str, journal: list[str], refusal: str, reason: str) -> None:
        super().__init__()
        self.name, self.journal, self.refusal, self.reason = name, journal, refusal, reason

    def ensure(self, uplinks: Sequence[str], fabric: str) -> bool:
        self.journal.append(f"{self.name} ensure {' '.join(uplinks)} {fabric}")
        if self.refusal:
            raise PathError(self.refusal)
        return super().ensure(uplinks, fabric)

    def remove(self) -> None:
        self.journal.append(f"{self.name} remove")
        super().remove()


def among(journal: list[str], **refusals: str) -> Candidates:
    def maker(name: str) -> Callable[[str], Path]:
        return lambda reason: Path(name, journal, refusals[name], reason)

    return [(name, maker(name)) for name in refusals]


def everything(_: str) -> bool:
    return True


def test_the_first_that_can_be_set_up() -> None:
    journal: list[str] = []
    path = choose(["up0", "up1"], "fabric0", among(journal, bpf="", nftables=""), everything)
    assert isinstance(path, Path)
    assert path.name == "bpf"
    assert path.reason == ""
    assert journal == ["bpf ensure up0 up1 fabric0", "nftables remove"]


def test_the_next_one_with_the_reason() -> None:
    journal: list[str] = []
    path = choose(["up0"], "fabric0", among(journal, bpf="EPERM", nftables=""), everything)
    assert isinstance(path, Path)
    assert path.name == "nftables"
    assert path.reason == "bpf: EPERM"
    assert journal == [
        "bpf ensure up0 fabric0",
        "bpf remove",
        "nftables ensure up0 fabric0",
        "bpf remove",
    ]


def test_none_says_why() -> None:
    candidates = among([], bpf="EPERM", nftables="this host has no nft")
    path = choose(["up0"], "fabric0", candidates, everything)
    assert isinstance(path, NoPath)
    assert path.reason == "bpf: EPERM; nftables: this host has no nft"


def test_missing_uplinks_are_no_refusal() -> None:
    journal: list[str] = []
    path = choose(["up0", "up1"], "fabric0", among(journal, bpf=""), lambda name: name != "up0")
    assert path.kind == "bpf"
    assert journal == ["bpf ensure up1 fabric0"]


def test_without_the_inter_node_path_nothing_is_decided() -> None:
    journal: list[str] = []
    with pytest.raises(PathError, match="no such network device: fabric0"):
        choose(["up0"], "fabric0", among(journal, bpf=""), lambda name: name != "fabric0")
    assert journal == []


def test_no_path_does_nothing_in_every_way() -> None:
    path: PacketPath = NoPath("why")
    assert not path.ensure(["up0"], "fabric0")
    path.put_relays({})
    path.remove_relays([])
    path.forget([])
    path.trust(True)
    assert path.relays() == {}
    assert path.drain() == []
    assert path.counters() == PathCounters()
    assert select.select([path.fileno()], [], [], 0) == ([], [], [])
    path.remove()
    path.close()
    path.close()
