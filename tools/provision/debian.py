"""Debian packages, installed without starting a single daemon on the engineer's machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.places import CHECKOUT
from tools.provision.commands import CommandFailed, Shell, output
from tools.provision.graph import Step, StepFailed

LISTS = CHECKOUT / "tools" / "provision" / "packages"
POLICY = Path("/usr/sbin/policy-rc.d")
KEPT_POLICY = Path("/usr/sbin/policy-rc.d.before-anycastle")
FORBID = "#!/bin/sh\n# anycastle set-up: temporary, no service starts while packages are installed\nexit 101\n"

# Unit -> package. Debian enables them; here only tests and labs run them, in their own namespaces.
DAEMONS = {
    "bird": "bird2",
    "frr": "frr",
    "nftables": "nftables",
    "postgresql": "postgresql",
    "ssh": "openssh-server",
}


def names(which: str) -> list[str]:
    """The packages of the set `lab` or `test`."""
    lines = (LISTS / f"{which}.txt").read_text().splitlines()
    return [word for line in lines if (word := line.split("#")[0].strip())]


def missing(wanted: list[str]) -> list[str]:
    """Those of `wanted` that dpkg does not know as installed."""
    listing = (
        output(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"]) or ""
    )
    installed = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def check_machine(release: str) -> None:
    """Raises StepFailed unless /etc/os-release, given as text, says Debian 12."""
    fields = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    name, version = fields.get("ID", "?").strip('"'), fields.get("VERSION_ID", "?").strip('"')
    if (name, version) != ("debian", "12"):
        raise StepFailed(
            f"this machine runs {name} {version}; set-up knows Debian 12",
            "use a Debian 12 machine (a virtual machine will do)",
        )


@contextmanager
def daemons_held(policy: Path = POLICY, kept: Path = KEPT_POLICY) -> Iterator[None]:
    """While it lasts invoke-rc.d starts nothing; a policy of the machine's own comes back afterwards.

    A set-up that was killed leaves the temporary policy; the next one finds `kept` or its own text.
    """
    mine = policy.exists() and policy.read_text() == FORBID
    if policy.exists() and not mine and not kept.exists():
        policy.rename(kept)
    policy.write_text(FORBID)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(policy)


def present_daemons() -> set[str]:
    lacking = missing(list(DAEMONS.values()))
    return {unit for unit, package in DAEMONS.items() if package not in lacking}


def install(which: str, shell: Shell) -> None:
    check_machine(Path("/etc/os-release").read_text())
    lacking = missing(names(which))
    before = present_daemons()
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "--yes"]
    with daemons_held():
        try:
            shell.run([*apt, "update"], env=environment)
        except CommandFailed as error:  # one broken third-party source: the packages decide
            shell.log.write(f"going on without it: {error}\n")
        shell.run([*apt, "--no-install-recommends", "install", *lacking], env=environment)
    for unit in sorted(present_daemons() - before):  # what was there before is the engineer's
        shell.run(["systemctl", "--quiet", "disable", unit])


def step(which: str, needs: tuple[str, ...] = ()) -> Step:
    return Step(
        name=f"debian-{which}",
        ready=lambda: not missing(names(which)),
        action=lambda shell: install(which, shell),
        needs=needs,
        remedy="mend the machine's package sources or free the package lock; "
        f"`apt-get install {' '.join(names(which)[:3])} …` by hand shows more",
    )
