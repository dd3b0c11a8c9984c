"""Building the packet program: what is said when it can't be, and when it is stale."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from anycastle.agent.takeover.bpf import build
from tests.support.bpf_paths import copy_sources

needs_clang = pytest.mark.skipif(shutil.which("clang") is None, reason="`make setup` brings clang")


def test_without_a_compiler_the_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildFailed, match="apt install clang libbpf-dev linux-libc-dev"):
        build.compile_program(tmp_path / "x.o")
    assert list(tmp_path.iterdir()) == []


@needs_clang
def test_what_the_compiler_says_is_in_the_error(tmp_path: Path) -> None:
    source = tmp_path / "bad.bpf.c"
    source.write_text("int f(void) { return missing; }\n")
    with pytest.raises(build.BuildFailed, match=r"bad\.bpf\.c:1.*'missing'"):
        build.compile_program(tmp_path / "bad.o", source)
    assert not (tmp_path / "bad.o").exists()


@needs_clang
def test_the_compiler_is_part_of_what_a_bundle_is_made_of() -> None:
    assert "clang version" in build.compiler()
    assert "-mcpu=v3" in build.compiler()


@needs_clang
def test_an_object_is_stale_when_its_source_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = copy_sources(tmp_path)
    files = [source, *source.parent.glob("*/*.h")]
    assert len(files) == len(build.sources()) > 1
    for file in files:
        os.utime(file, (1, 1))
    monkeypatch.setattr(build, "SOURCE", source)
    monkeypatch.setattr(build, "OBJECT", source.with_suffix(".o"))
    assert build.compile_in_place()
    assert not build.compile_in_place()
    for file in files:
        assert not build.compile_in_place()
        later = build.OBJECT.stat().st_mtime - 1
        os.utime(build.OBJECT, (later - 1, later - 1))
        os.utime(file, (later, later))
        assert build.compile_in_place(), file
