"""Which packet path is taken, and what becomes of the others."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence

import msgspec
import pytest

from anycastle.agent.takeover.choose import Candidate, NoPath, candidates, choose
from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.takeover.path import PacketPath, PathCounters, PathError
from anycastle.model.deployment import PathChoice, Takeover
from tests.support.node import node_spec


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


def among(journal: list[str], **refusals: str) -> list[Candidate]:
    def maker(name: str) -> Callable[[str], Path]:
        return lambda reason: Path(name, journal, refusals[name], reason)

    return [Candidate(name, maker(name)) for name in refusals]


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


def test_what_is_excluded_is_taken_away_and_never_set_up() -> None:
    journal: list[str] = []
    bpf, nftables = among(journal, bpf="", nftables="")
    path = choose(["up0"], "fabric0", [bpf._replace(excluded="not wanted"), nftables], everything)
    assert isinstance(path, Path)
    assert (path.name, path.reason) == ("nftables", "bpf: not wanted")
    assert journal == ["bpf remove", "nftables ensure up0 fabric0", "bpf remove"]


@pytest.mark.parametrize(
    ("wish", "excluded"),
    [
        (PathChoice.AUTO, {}),
        (PathChoice.BPF, {"nftables": "takeover.path is bpf"}),
        (PathChoice.NFTABLES, {"bpf": "takeover.path is nftables"}),
    ],
)
def test_the_configured_one(wish: PathChoice, excluded: dict[str, str]) -> None:
    spec = msgspec.structs.replace(node_spec(), takeover=Takeover(path=wish))
    found = candidates(spec)
    assert [one.name for one in found] == ["bpf", "nftables"]
    assert {one.name: one.excluded for one in found if one.excluded} == excluded


def test_what_the_kernel_holds_is_not_given_up_at_once() -> None:
    """It is known to be taken by this kernel, and it knows the indices of live sessions."""
    journal: list[str] = []
    bpf, nftables = among(journal, bpf="out of memory", nftables="")
    held = Path("bpf", journal, "out of memory", "")
    held.attached = (("up0",), "fabric0")
    bpf = bpf._replace(make=lambda _: held)
    with pytest.raises(PathError, match=r"^bpf: out of memory$"):
        choose(["up0"], "fabric0", [bpf, nftables], everything, patient=True)
    assert journal == ["bpf ensure up0 fabric0"]
    assert held.attached is not None
    assert held.closed
    path = choose(["up0"], "fabric0", [bpf, nftables], everything)
    assert isinstance(path, Path)
    assert path.name == "nftables", "in the end"


def test_patience_is_for_what_the_kernel_holds() -> None:
    journal: list[str] = []
    candidates = among(journal, bpf="EPERM", nftables="")
    path = choose(["up0"], "fabric0", candidates, everything, patient=True)
    assert isinstance(path, Path)
    assert path.name == "nftables"


def test_an_inter_node_path_that_went_away_decides_nothing() -> None:
    journal: list[str] = []
    seen = iter([True, True, False])
    with pytest.raises(PathError, match="no such network device: fabric0"):
        choose(["up0"], "fabric0", among(journal, bpf="no device"), lambda _: next(seen))
    assert journal == ["bpf ensure up0 fabric0"], "and nothing was removed"


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
    assert not path.held()
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
