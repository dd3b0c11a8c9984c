"""`anycastle lab`: the hosts of a lab on this machine, over SSH."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from anycastle.cli import inventory, output
from anycastle.cli.edges import edges
from anycastle.cli.errors import Exit, Failure
from anycastle.cli.inventory import Host
from anycastle.cli.options import as_json

which_lab = click.option(
    "--lab", "lab_name", envvar="LAB", default="lab", show_default=True, help="Name of the lab."
)


@click.group()
def lab() -> None:
    """Hosts of a lab on this machine."""


@lab.command()
@which_lab
@as_json
def hosts(lab_name: str, as_json: bool) -> None:
    """Hosts: name, kind, datacentre or site, network namespace, management address.

    \b
    Examples:
      anycastle lab hosts
      anycastle lab hosts --json | jq -r '.[] | select(.kind == "node") | .name'
    """
    _, found = _inventory(lab_name)
    if as_json:
        output.print_json([shape(host) for host in found])
        return
    rows = [[h.name, h.kind, h.place, h.netns, h.address] for h in found]
    output.print_table(["NAME", "KIND", "PLACE", "NETWORK NAMESPACE", "ADDRESS"], rows)


@lab.command("exec", context_settings={"ignore_unknown_options": True})
@which_lab
@click.argument("host_name", metavar="HOST")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(lab_name: str, host_name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in HOST and hand on its exit code (255: SSH itself failed).

    Arguments arrive as given: no shell splits them. Input and output pass through
    unchanged.

    \b
    Examples:
      anycastle lab exec ams-1 -- wg show
      anycastle lab exec site1-c1 -- ping -c 3 10.50.1.10
      anycastle lab exec ams-1 -- sh -c 'cat >/etc/motd' <motd
    """
    directory, found = _inventory(lab_name)
    options = ["-T", "-e", "none"]
    _become(directory, inventory.find(found, host_name), options, shlex.join(command))


@lab.command()
@which_lab
@click.argument("host_name", metavar="HOST")
def ssh(lab_name: str, host_name: str) -> None:
    """A shell in HOST.

    \b
    Example:
      anycastle lab ssh ams-1
    """
    directory, found = _inventory(lab_name)
    _become(directory, inventory.find(found, host_name), [], None)


def shape(host: Host) -> dict[str, str | None]:
    """What `lab hosts --json` prints for each (docs/cli.md)."""
    return {
        "name": host.name,
        "kind": host.kind,
        "datacentre": host.datacentre,
        "site": host.site,
        "network_namespace": host.netns,
        "address": host.address,
    }


def ssh_command(
    directory: Path, host: Host, options: Sequence[str], command: str | None
) -> list[str]:
    """The arguments of ssh(1). The host's key is the one that the lab gave it."""
    key = directory.parent.parent / host.ssh_key
    arguments = ["ssh", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    arguments += ["-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", *_known_host(directory, host)]
    arguments += [*options, "--", f"{host.user}@{host.address}"]
    return arguments if command is None else [*arguments, command]


def _known_host(directory: Path, host: Host) -> list[str]:
    if host.host_key is None:
        # A management address may have been another lab's host: remember keys per lab only.
        known = directory / "ssh" / "known_hosts"
        return ["-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={known}"]
    pinned = f"/bin/echo {host.address} {host.host_key}"
    return [
        *("-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=none"),
        *("-o", "GlobalKnownHostsFile=none", "-o", f"KnownHostsCommand={pinned}"),
    ]


def _inventory(lab_name: str) -> tuple[Path, tuple[Host, ...]]:
    directory = inventory.lab_directory(lab_name, Path.cwd(), os.environ)
    return directory, inventory.load(directory)


def _become(directory: Path, host: Host, options: Sequence[str], command: str | None) -> None:
    arguments = ssh_command(directory, host, options, command)
    try:
        edges().execute(arguments)
    except FileNotFoundError:
        message = "ssh is not installed: apt-get install openssh-client"
        raise Failure(Exit.USAGE, message) from None
