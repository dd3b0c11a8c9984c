from __future__ import annotations

import io
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tools.bundle.build import platforms, source_files, tar

NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=600), max_size=6))
def test_a_tar_holds_its_members_whatever_their_order(members: dict[str, bytes]) -> None:
    packed = tar(members)
    assert tar(dict(reversed(members.items()))) == packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {entry.name: archive.extractfile(entry) for entry in archive.getmembers()}
        assert {name: file.read() for name, file in found.items() if file} == members
        assert all(entry.uid == 0 and entry.mode == 0o644 for entry in archive.getmembers())


def test_generated_files_are_no_sources(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "anycastle/a.py", "anycastle/x.sql", "anycastle/__pycache__/a.pyc",
                 "anycastle/program.bpf.o",
                 "build/lib/a.py", "anycastle.egg-info/PKG-INFO"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = sorted(str(path.relative_to(tmp_path)) for path in source_files(tmp_path))
    assert found == ["anycastle/a.py", "anycastle/x.sql", "pyproject.toml"]


def test_platforms_are_those_of_debian_12() -> None:
    assert platforms("aarch64")[0] == "--platform=manylinux_2_36_aarch64"
    assert "--platform=manylinux2014_aarch64" in platforms("aarch64")
