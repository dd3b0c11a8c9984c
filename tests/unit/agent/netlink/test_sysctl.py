"""Kernel settings as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from anycastle.agent.netlink import sysctl


def test_a_setting_is_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "net/ipv4").mkdir(parents=True)
    (tmp_path / "net/ipv4/ip_forward").write_text("0\n")
    assert sysctl.read("net.ipv4.ip_forward", tmp_path) == "0"
    sysctl.write("net.ipv4.ip_forward", "1", tmp_path)
    assert sysctl.read("net.ipv4.ip_forward", tmp_path) == "1"


def test_a_slash_is_a_dot_in_a_device_name(tmp_path: Path) -> None:
    (tmp_path / "net/wg.1").mkdir(parents=True)
    (tmp_path / "net/wg.1/rp_filter").write_text("2\n")
    assert sysctl.read("net.wg/1.rp_filter", tmp_path) == "2"


def test_an_unknown_setting_reads_as_none_and_is_never_made(tmp_path: Path) -> None:
    assert sysctl.read("net.nothing", tmp_path) is None
    with pytest.raises(FileNotFoundError):
        sysctl.write("nothing", "1", tmp_path)
    assert list(tmp_path.iterdir()) == []
