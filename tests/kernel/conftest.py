"""Runs tests/kernel/guest inside a real Debian kernel, in QEMU, booted once.

The machine that runs the tests may have no kernel WireGuard (a container, a trimmed
kernel), and must not be changed by them. So the tests below `guest/` are collected
here as everywhere, but run by a pytest inside a virtual machine which shares this
one's files (virtme-ng) and boots in some seconds; each result comes back and counts
as this run's own, with its traceback. A suite in the guest needs nothing special:
it is root there and alone. What must be looked up again on a failure is on the
console file that the error names.

    ANYCASTLE_KERNEL   the kernel image (default: the newest /boot/vmlinuz-* with modules)
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GUEST_TESTS = Path(__file__).parent / "guest"
INSIDE = "ANYCASTLE_KERNEL_GUEST"
GUEST_TIMEOUT = 1500.0
"""Seconds for all of the guest: without KVM it is some ten times slower than the host."""

TOOLS = ("ip", "wg", "ping", "nft", "tc", "bridge")

INI = """\
[pytest]
addopts = --import-mode=importlib -ra
pythonpath = {root} {root}/runtime
filterwarnings = error
cache_dir = /tmp/pytest-cache
markers = kernel
"""
"""No plugins in the guest: they take longer to load than the tests to run."""

_results = pytest.StashKey[dict[str, list[dict[str, Any]]]]()
_obstacle = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _runs_in_guest(item) and INSIDE not in os.environ:
            # With pytest-xdist and --dist loadgroup: one worker, so one boot.
            item.add_marker(pytest.mark.xdist_group("kernel-guest"))
            # The first one waits for all of them.
            item.add_marker(pytest.mark.timeout(2 * GUEST_TIMEOUT + 60))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if INSIDE in os.environ or not _runs_in_guest(item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the guest: append each result to the file that the host reads."""
    if path := os.environ.get(INSIDE):
        data = {"nodeid": report.nodeid, "report": _serialised(report)}
        with Path(path).open("a") as file:
            file.write(json.dumps(data) + "\n")


def _serialised(report: pytest.TestReport) -> dict[str, Any]:
    # The same form that pytest-xdist sends between its processes.
    return report._to_json()


def _runs_in_guest(item: pytest.Item) -> bool:
    return GUEST_TESTS in item.path.parents


def _reports(item: pytest.Item) -> Iterator[pytest.TestReport]:
    if reason := _missing():
        where = (str(item.path), item.location[1] or 0, f"Skipped: {reason}")
        yield pytest.TestReport(
            item.nodeid, item.location, {}, "skipped", where, "setup", sections=()
        )
        return
    stash = item.session.stash
    if _results not in stash:
        stash[_results], stash[_obstacle] = _run_guest(item.session)
    if not stash[_results].get(item.nodeid):
        yield pytest.TestReport(
            item.nodeid, item.location, {}, "failed", stash[_obstacle], "setup", sections=()
        )
        stash[_obstacle] = stash[_obstacle].partition("\n")[0]  # at length only once
    for data in stash[_results].get(item.nodeid, ()):
        yield pytest.TestReport._from_json(data)


def _missing() -> str:
    """Why this machine can't run the guest; empty when it can."""
    if not shutil.which("qemu-system-x86_64"):
        return "no qemu-system-x86_64 on this machine (apt install qemu-system-x86)"
    if _vng() is None:
        return "virtme-ng is not installed in this environment (pip install virtme-ng)"
    if _kernel() is None:
        return "no kernel image with modules in /boot (apt install linux-image-amd64)"
    if os.geteuid() != 0:
        return "the kernel suite needs root, to hand the guest this machine's files"
    return ""


def _vng() -> str | None:
    beside = Path(sys.executable).with_name("vng")
    return str(beside) if beside.exists() else shutil.which("vng")


def _kernel() -> Path | None:
    if named := os.environ.get("ANYCASTLE_KERNEL"):
        return Path(named)
    images = (
        image
        for image in Path("/boot").glob("vmlinuz-*")
        if Path("/lib/modules", image.name.removeprefix("vmlinuz-"), "modules.dep").exists()
    )
    return max(images, key=lambda image: image.stat().st_mtime, default=None)


def _run_guest(session: pytest.Session) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """(reports of each test, what to say of a test that has none)."""
    wanted = [item.nodeid for item in session.items if _runs_in_guest(item)]
    # Below the checkout: the guest has directories of its own over /tmp and /var/tmp.
    parent = ROOT / ".lab" / "kernel"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    console = ""
    for kvm in (True, False) if _has_kvm() else (False,):
        console = _boot(folder, wanted, kvm=kvm)
        if (folder / "started").exists():
            break
    results: dict[str, list[dict[str, Any]]] = {}
    reports = folder / "reports"
    for line in reports.read_text().splitlines() if reports.exists() else ():
        data = json.loads(line)
        results.setdefault(data["nodeid"], []).append(data["report"])
    inner = (folder / "output").read_text() if (folder / "output").exists() else ""
    if len(results) == len(set(wanted)):
        shutil.rmtree(folder)
    return (
        results,
        f"the guest did not run this test; see {folder}\n{inner[-4000:] or console[-4000:]}",
    )


def _has_kvm() -> bool:
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def _boot(folder: Path, wanted: list[str], *, kvm: bool) -> str:
    """Boot, run the tests, power off; the console's text."""
    vng, kernel = _vng(), _kernel()
    assert vng is not None
    assert kernel is not None
    (folder / "pytest.ini").write_text(INI.format(root=ROOT))
    _copy_tools(folder / "tools")
    script = folder / "script"
    script.write_text(_script(folder, wanted))
    command = [vng, "--run", str(kernel), "--rw", "--user", "root", "--cpus", "2"]
    command += ["--memory", "1G", *([] if kvm else ["--disable-kvm"])]
    command += ["--", f"sh {shlex.quote(str(script))}"]
    console = folder / "console"
    with console.open("wb") as file:
        guest = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        try:
            guest.wait(GUEST_TIMEOUT)
        except subprocess.TimeoutExpired:
            file.write(b"\nended by the test run: time is up\n")
        finally:
            _end_group(guest)
    return console.read_text(errors="replace")


def _copy_tools(folder: Path) -> None:
    """Programs that tests start often, for the guest's memory: this machine's files are slow there."""
    folder.mkdir(exist_ok=True)
    for program in map(shutil.which, TOOLS):
        if program is None:
            continue
        shutil.copy(program, folder)
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        for library in re.findall(r"=> (/\S+)", linked.stdout):
            shutil.copy(library, folder)


def _end_group(guest: subprocess.Popen[bytes]) -> None:
    """vng starts QEMU as a child: end both."""
    if guest.poll() is None:
        os.killpg(guest.pid, 9)
        guest.wait()


def _script(folder: Path, wanted: list[str]) -> str:
    """What the guest runs. PATH: as here, so that the same tools are found."""
    options = ["-c", f"{folder}/pytest.ini", "--rootdir", str(ROOT), "-q"]
    arguments = shlex.join([sys.executable, "-m", "pytest", *options, *wanted])
    return "\n".join(
        [
            f"touch {folder}/started",
            f"exec > {folder}/output 2>&1",
            f"cp -r {folder}/tools /run/tools",
            f"export PATH=/run/tools:{shlex.quote(os.environ['PATH'])}:/usr/sbin:/sbin",
            "export LD_LIBRARY_PATH=/run/tools",
            f"export {INSIDE}={folder}/reports PYTHONDONTWRITEBYTECODE=1",
            "export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1",
            f"cd {shlex.quote(str(ROOT))}",
            f"{arguments}",
            "",
        ]
    )
