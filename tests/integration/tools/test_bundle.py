"""Bundles of this very checkout: the same bytes every time, and installed on the lab's own image."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.bundle import Bundle, build
from tools.bundle.build import Role, source_files
from tools.places import CHECKOUT
from tools.provision import result

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts an overlay: needs root")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A writable root over the lab's image."""
    for name in ("upper", "work", "root"):
        (tmp_path / name).mkdir()
    layers = f"lowerdir={result.read().image},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", layers, tmp_path / "root"], check=True
    )
    try:
        yield tmp_path / "root"
    finally:
        subprocess.run(["umount", tmp_path / "root"], check=True)


def install(root: Path, bundle: Bundle) -> subprocess.CompletedProcess[str]:
    place = root / "root" / "bundle"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    subprocess.run(["tar", "-xf", bundle.archive, "-C", place], check=True)
    return subprocess.run(
        ["chroot", root, "sh", "/root/bundle/install.sh"],
        capture_output=True,
        text=True,
        check=False,
    )


def changed_checkout(folder: Path, note: str) -> Path:
    """A copy of what bundles are made of, with one more file in the runtime."""
    for file in source_files(CHECKOUT / "runtime"):
        target = folder / file.relative_to(CHECKOUT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    shutil.copytree(CHECKOUT / "requirements", folder / "requirements", dirs_exist_ok=True)
    (folder / "runtime" / "anycastle" / "note.py").write_text(f"NOTE = {note!r}\n")
    return folder


def test_the_same_sources_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = changed_checkout(tmp_path / "checkout", "same")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = build("agent", checkout=checkout)
    packed = first.archive.read_bytes()
    shutil.rmtree(tmp_path / "cache" / "anycastle" / "bundles")
    shutil.rmtree(next((tmp_path / "cache" / "anycastle" / "wheels").glob("runtime-*")))
    other = changed_checkout(tmp_path / "elsewhere", "same")
    os.utime(other / "runtime" / "pyproject.toml", (1, 1))
    second = build("agent", checkout=other)
    assert second.version == first.version
    assert second.archive.read_bytes() == packed


def test_another_source_or_role_is_another_version(tmp_path: Path) -> None:
    versions = {build("agent").version, build("control").version}
    versions.add(build("agent", checkout=changed_checkout(tmp_path, "other")).version)
    assert len(versions) == 3


@needs_root
@pytest.mark.parametrize("role", ["agent", "control"])
def test_it_installs_offline_and_its_command_runs(root: Path, role: Role) -> None:
    bundle = build(role)
    done = install(root, bundle)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == bundle.version
    command = ["chroot", str(root), f"/usr/local/bin/anycastle-{role}", "--help"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    units = list((root / "etc/systemd/system").glob(f"anycastle-{role}*.service"))
    assert units
    assert not list((root / "etc/systemd/system/multi-user.target.wants").glob("anycastle*"))


@needs_root
def test_an_installed_agent_has_the_packet_program_and_its_loader(root: Path) -> None:
    assert install(root, build("agent")).returncode == 0
    code = (
        "from anycastle.agent.takeover.bpf import libbpf, program\n"
        "libbpf._library(); assert program.read_object().startswith(b'\\x7fELF')"
    )
    versions = root / "opt" / "anycastle" / "versions"
    python = next(versions.glob("*/**/bin/python"))
    inside = f"/{python.relative_to(root)}"
    subprocess.run(["chroot", str(root), inside, "-c", code], check=True)


@needs_root
def test_the_version_before_is_kept_and_older_ones_go(root: Path, tmp_path: Path) -> None:
    bundles = [
        build("agent", checkout=changed_checkout(tmp_path / note, note)) for note in ("a", "b", "c")
    ]
    for bundle in bundles:
        assert install(root, bundle).returncode == 0
    base = root / "opt" / "anycastle"
    assert {path.name for path in (base / "versions").iterdir()} == {
        bundles[1].version,
        bundles[2].version,
    }
    assert (base / "current").readlink() == Path("versions") / bundles[2].version
    before = (base / "versions" / bundles[2].version / "complete").stat().st_mtime_ns
    assert install(root, bundles[2]).returncode == 0
    assert (base / "versions" / bundles[2].version / "complete").stat().st_mtime_ns == before
    assert (base / "previous").readlink() == Path("versions") / bundles[1].version


@needs_root
def test_a_broken_bundle_does_not_become_current(root: Path, tmp_path: Path) -> None:
    assert install(root, build("agent")).returncode == 0
    good = (root / "opt/anycastle/current").readlink()
    checkout = changed_checkout(tmp_path / "broken", "broken")
    (checkout / "runtime/anycastle/agent/main.py").write_text("raise RuntimeError('broken')\n")
    assert install(root, build("agent", checkout=checkout)).returncode != 0
    assert (root / "opt/anycastle/current").readlink() == good
