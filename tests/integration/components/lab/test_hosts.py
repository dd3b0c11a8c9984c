"""Hosts as machines: they boot, die at once, come back with their disk, and leave nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from components.lab import (
    cgroup,
    container,
    disk,
    disks,
    hosts,
    ip,
    links,
    network,
    power,
    registry,
    sweep,
)
from components.lab.layout import Management
from components.lab.world import File
from tests.support.booted_lab import BootedLab
from tests.support.waiting import wait_for


def addresses(lab: BootedLab, host: str) -> dict[str, set[str]]:
    """Device -> global addresses, as the host itself sees them."""
    printed = json.loads(lab.run(host, "ip -json address show"))
    return {
        entry["ifname"]: {
            f"{info['local']}/{info['prefixlen']}"
            for info in entry["addr_info"]
            if info["scope"] == "global"
        }
        for entry in printed
    }


def test_a_host_is_a_debian_machine_that_ssh_reaches(lab: BootedLab, tmp_path: Path) -> None:
    lab.boot("ams-1")
    key = tmp_path / "key"
    key.write_text(lab.private_key)
    key.chmod(0o600)
    host_key = lab.run("ams-1", "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub || true")
    address = Management(lab.index).address(lab.plan.host("ams-1").number)
    known = tmp_path / "known"
    known.write_text(f"{address} {host_key or _public(lab)}\n")
    options = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    asked = "hostname; cat /proc/1/comm; test -c /dev/net/tun && echo tun"
    done = subprocess.run(
        ["ssh", "-i", str(key), *options, f"root@{address}", asked],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["ams-1", "systemd", "tun"], done.stderr


def _public(lab: BootedLab) -> str:
    private = lab.layout.upper("ams-1") / "etc/ssh/ssh_host_ed25519_key"
    made = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(private)], capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


def test_a_killed_host_comes_back_with_its_disk_on_an_empty_network_stack(
    lab: BootedLab,
) -> None:
    lab.boot("ams-edge", "ams-1")
    planned = addresses(lab, "ams-1")
    assert planned["up0"] == {"10.65.1.3/31", "fd00:65:1::3/127"}
    lab.run(
        "ams-1",
        "echo kept >/var/lib/kept; ip tuntap add dev wg0 mode tun;"
        "ip address add 192.0.2.1/32 dev lo; ip rule add fwmark 1 lookup 7; nft add table ip left",
    )
    first = hosts.read(lab.layout, "ams-1")
    power.kill(lab.layout, "ams-1")
    assert hosts.read(lab.layout, "ams-1") == hosts.Observed(running=False, boot="")
    power.start(lab.layout, "ams-1")
    again = hosts.read(lab.layout, "ams-1")
    assert first is not None
    assert again is not None
    assert again.running
    assert again.boot != first.boot
    assert lab.run("ams-1", "cat /var/lib/kept") == "kept\n"
    assert addresses(lab, "ams-1") == planned
    assert "fwmark" not in lab.run("ams-1", "ip rule")
    assert lab.run("ams-1", "nft list ruleset") == ""
    lab.run("ams-1", "ping -c 1 -w 2 10.65.1.2 && ping -c 1 -w 2 fd00:65:1::2")


@pytest.mark.parametrize("victim", ["nspawn", "leader"])
def test_killing_any_part_of_a_host_kills_all_of_it(lab: BootedLab, victim: str) -> None:
    """Whoever does it: no half of a container goes on running, and its cables go dead."""
    lab.boot("ams-1", "ams-edge")
    group = cgroup.group(lab.layout.lab, "ams-1")
    leader = cgroup.leader(group)
    assert leader is not None
    supervisor = (group / "machine/supervisor/cgroup.procs").read_text().split()[0]
    subprocess.run(["kill", "-9", supervisor if victim == "nspawn" else str(leader)], check=True)
    wait_for("an empty control group", lambda: not cgroup.populated(group), timeout=5)
    assert "NO-CARRIER" in lab.run("ams-edge", "ip link show dev ams-1")
    power.start(lab.layout, "ams-1")
    lab.run("ams-edge", "ping -c 1 -w 5 10.65.1.3 && ping -c 1 -w 5 fd00:65:1::3")


def test_files_and_addresses_change_in_place(lab: BootedLab) -> None:
    lab.boot("ams-edge")
    old = lab.record("ams-edge")
    boot = hosts.read(lab.layout, "ams-edge")
    marker = File(path="/etc/marker", text="new\n", mode=0o640, reload=("touch", "/run/reloaded"))
    changed = msgspec.structs.replace(
        old.host,
        files=(*old.host.files, marker),
        loopbacks=old.host.loopbacks[:1],
        sysctls=old.host.sysctls | {"net.ipv4.ip_default_ttl": "77"},
    )
    new = msgspec.structs.replace(old, host=changed)
    lab.run("ams-edge", "sysctl -q -w net.ipv6.conf.all.hop_limit=9 net.ipv4.ip_forward=0")
    hosts.update(lab.layout, old, new)
    own = lab.run("ams-edge", "sysctl -n net.ipv6.conf.all.hop_limit net.ipv4.ip_forward")
    assert own.split() == ["9", "0"], "what the host's software has set"
    seen = lab.run(
        "ams-edge",
        "cat /etc/marker; stat -c %a /etc/marker; ls /run/reloaded; sysctl -n net.ipv4.ip_default_ttl",
    )
    assert seen.split() == ["new", "640", "/run/reloaded", "77"]
    assert addresses(lab, "ams-edge")["lo"] == {"10.64.0.201/32"}
    hosts.update(lab.layout, new, old)
    assert lab.run("ams-edge", "ls /etc/marker 2>&1 || true").endswith(
        "No such file or directory\n"
    )
    assert addresses(lab, "ams-edge")["lo"] == {"10.64.0.201/32", "fd00:64::201/128"}
    assert hosts.read(lab.layout, "ams-edge") == boot


def test_a_dead_host_is_started_by_an_update_and_a_new_disk_is_empty(lab: BootedLab) -> None:
    lab.boot("ams-1")
    record = lab.record("ams-1")
    lab.run("ams-1", "echo old >/var/lib/old")
    power.kill(lab.layout, "ams-1")
    hosts.update(lab.layout, record, record)
    assert lab.run("ams-1", "cat /var/lib/old") == "old\n"
    power.kill(lab.layout, "ams-1")
    disks.delete(lab.layout, "ams-1")
    with pytest.raises(hosts.NoDisk, match="has no disk"):
        hosts.start(lab.layout, record)
    renewed = lab.record("ams-1")
    hosts.update(lab.layout, record, renewed)
    assert renewed.incarnation != record.incarnation
    assert "No such file" in lab.run("ams-1", "cat /var/lib/old 2>&1 || true")


def test_a_host_that_cannot_boot_says_its_last_words(lab: BootedLab) -> None:
    record = lab.record("ams-1")
    upper = lab.layout.upper("ams-1")
    disk.make_parents(upper, lab.image, "/usr/lib/systemd/systemd")
    broken = upper / "usr/lib/systemd/systemd"
    broken.write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(container.BootError) as caught:
        hosts.create(lab.layout, record)
    assert "host ams-1 died while it booted" in str(caught.value)
    assert "the disk is on fire" in str(caught.value)
    assert not ip.has_namespace(lab.layout.netns("ams-1"))
    assert hosts.read(lab.layout, "ams-1") is None


def test_cables_change_are_pulled_and_put_back(lab: BootedLab) -> None:
    lab.boot("ams-edge", "ams-1")
    (link,) = [made for made in lab.plan.links if made.name == "ams-edge_ams-1"]
    power.set_carrier(lab.layout, link.name, up=False)
    assert "NO-CARRIER" in lab.run("ams-edge", "ip link show dev ams-1")
    assert not links.up(lab.layout, link)
    power.set_carrier(lab.layout, link.name, up=True)
    assert links.up(lab.layout, link)
    lab.run("ams-1", "ping -c 1 -w 5 10.65.1.2 && ping -c 1 -w 5 fd00:65:1::2")
    smaller = msgspec.structs.replace(link, mtu=1400)
    links.update(lab.layout, link, smaller)
    assert " mtu 1400 " in lab.run("ams-1", "ip link show dev up0")
    links.delete(lab.layout, smaller)
    assert not links.present(lab.layout, link)
    assert "up0" not in lab.run("ams-1", "ip -brief link")
    links.create(lab.layout, link)
    lab.run("ams-1", "ping -c 1 -w 5 10.65.1.2")


def test_hosts_do_not_meet_on_the_management_bridge(lab: BootedLab) -> None:
    lab.boot("ams-1", "ams-2")
    other = Management(lab.index).address(lab.plan.host("ams-2").number)
    answer = lab.run("ams-1", f"ping -c 1 -w 1 {other} 2>&1 || true")
    assert "100% packet loss" in answer


def test_labs_stand_side_by_side_and_a_sweep_takes_one(
    make_lab: Callable[[], AbstractContextManager[BootedLab]],
) -> None:
    with make_lab() as first, make_lab() as second:
        assert first.index != second.index
        first.boot("ams-1")
        second.boot("ams-1")
        assert sweep.sweep(first.layout)[:2] == ["processes", "host ams-1"]
        assert sweep.remains(first.layout) == []
        assert sweep.sweep(first.layout) == []
        assert second.run("ams-1", "hostname") == "ams-1\n"
        assert network.present(second.index)


def test_a_sweep_finds_what_an_interrupted_run_left(lab: BootedLab) -> None:
    """Whatever step it was interrupted in: after the registry, the namespace, the boot."""
    registry.add_host(lab.layout.lab, "core1")
    registry.add_host(lab.layout.lab, "core2")
    ip.add_namespace(lab.layout.netns("core2"))
    ip.add_namespace(lab.layout.netns("nowhere-noted"))
    lab.boot("ams-1")
    lab.layout.record("ams-1").unlink()
    assert set(sweep.sweep(lab.layout)) == {
        "processes",
        "host ams-1",
        "host core1",
        "host core2",
        f"namespace {lab.layout.netns('nowhere-noted')}",
        f"bridge acbr-{lab.index}",
    }
    assert sweep.remains(lab.layout) == []
    assert not lab.layout.hosts.exists()


def test_a_name_belongs_to_one_checkout(lab: BootedLab, tmp_path: Path) -> None:
    elsewhere = type(lab.layout)(lab.layout.lab, tmp_path / lab.layout.lab)
    with pytest.raises(registry.RegistryError, match="give LAB another name"):
        network.create(elsewhere)
