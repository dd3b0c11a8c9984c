"""What set-up reads out of other programs' output and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.places import CHECKOUT, cache_root, digest
from tools.provision import debian, go_toolchain, image, plugins, pulumi_cli
from tools.provision.graph import StepFailed, check_graph


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.25 linux/arm64", (1, 25)),
        ("go version devel +abc", ()),
    ],
)
def test_go_version(printed: str, version: tuple[int, ...]) -> None:
    assert go_toolchain.parse(printed) == version


def test_the_go_that_the_modules_ask_for_is_found() -> None:
    for part in ("cli", "host"):
        text = (pulumi_cli.MODULES / part / "go.mod").read_text()
        assert go_toolchain.required(text) >= (1, 25)
    with pytest.raises(ValueError, match="no go line"):
        go_toolchain.required("module x\n")


@pytest.mark.parametrize(
    ("printed", "recent"),
    [
        ("v3.259.0\n", True),
        ("v3.300.1", True),
        ("v3.258.9", False),
        ("v3.259.0-dev", True),
        ("", False),
    ],
)
def test_a_recent_pulumi_is_recognised(printed: str, recent: bool) -> None:
    assert (pulumi_cli.parse(printed) >= pulumi_cli.AT_LEAST) is recent


def test_the_mirrors_are_the_machine_s_own_and_only_debian_s() -> None:
    targets = (
        "Vendor|stable|main|https://apt.example/\n"
        "Debian|bookworm-updates|main|http://mirror.example/debian/\n"
        "Debian|bookworm|contrib|http://mirror.example/debian/\n"
        "Debian|bookworm|main|http://mirror.example/debian/\n"
        "Debian|trixie|main|http://mirror.example/debian/\n"
    )
    assert image.mirrors(targets) == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian/ bookworm-updates main",
    ]


def test_apt_s_proxy_reaches_the_image_s_builder() -> None:
    dump = (
        'APT::Get "";\nAcquire::http::Proxy "http://proxy.example:3128";\nAcquire::Retries "0";\n'
    )
    assert image.proxies(dump) == ['Acquire::http::Proxy "http://proxy.example:3128"']


def test_the_stand_in_has_the_version_that_the_sdk_asks_for() -> None:
    assert plugins.command_version("pulumi==3.0.0 \\\npulumi-command==1.2.1 \\\n") == "1.2.1"
    with pytest.raises(ValueError, match="pulumi-command"):
        plugins.command_version("pulumi==3.0.0\n")


def test_only_debian_12_will_do() -> None:
    debian.check_machine('ID=debian\nVERSION_ID="12"\n')
    with pytest.raises(StepFailed, match=r"ubuntu 24\.04"):
        debian.check_machine('ID=ubuntu\nVERSION_ID="24.04"\n')


def test_no_daemon_starts_while_packages_are_installed(tmp_path: Path) -> None:
    policy, kept = tmp_path / "policy-rc.d", tmp_path / "kept"
    policy.write_text("the machine's own")
    with debian.daemons_held(policy, kept):
        assert "exit 101" in policy.read_text()
    assert policy.read_text() == "the machine's own"
    assert not kept.exists()


def test_the_policy_comes_back_after_a_failure_and_after_a_kill(tmp_path: Path) -> None:
    policy, kept = tmp_path / "policy-rc.d", tmp_path / "kept"
    policy.write_text("the machine's own")

    def fails() -> None:
        with debian.daemons_held(policy, kept):
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - any
        fails()
    assert policy.read_text() == "the machine's own"
    policy.rename(kept)  # as a killed set-up leaves it
    policy.write_text(debian.FORBID)
    with debian.daemons_held(policy, kept):
        assert policy.read_text() == debian.FORBID
    assert policy.read_text() == "the machine's own"


def test_package_lists_name_each_package_once() -> None:
    lab, test = debian.names("lab"), debian.names("test")
    assert len({*lab, *test}) == len(lab) + len(test)
    assert len(set(image.packages())) == len(image.packages())


def test_every_step_comes_after_its_needs() -> None:
    from tools.provision.__main__ import plan

    check_graph(plan("lab"))
    check_graph(plan("test"))


def test_a_relative_cache_home_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_root() == Path("/home/somebody/.cache/anycastle")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_root() == Path("/elsewhere/anycastle")


def test_a_hash_tells_where_one_part_ends() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_lock_files_pin_everything_by_hash() -> None:
    for lock in sorted((CHECKOUT / "requirements").glob("*.txt")):
        entries = [line for line in lock.read_text().splitlines() if line and line[0] not in " #"]
        assert entries, lock
        assert all("==" in entry and entry.endswith("\\") for entry in entries), lock


def test_hosts_install_what_the_tests_ran_with() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (CHECKOUT / "requirements" / f"{name}.txt").read_text().splitlines()
        found = [line.split()[0].split("==") for line in lines if "==" in line and line[0] != " "]
        return {entry[0]: entry[1] for entry in found}

    tested = pins("dev")
    for role in ("agent", "control"):
        assert pins(role).items() <= tested.items()
