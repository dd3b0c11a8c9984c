"""`make lab`: from a set-up machine to a running lab, and what a person wants to know of it then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.places import CHECKOUT
from tools.stack import engine, environment, workspace
from tools.stack.engine import Engine
from tools.stack.workspace import DEFAULT, PROJECT, LabFault, Workspace

ORDER = ("node", "edge", "core", "nat", "control", "service", "client")


@dataclass(frozen=True)
class Standing:
    """What the stack's outputs say of a lab that is up."""

    anycast: Sequence[str]
    hosts: Sequence[Mapping[str, Any]]
    ca: str
    token: str

    @property
    def api(self) -> str | None:
        """The API as the operator's machine reaches it: over the management network."""
        for host in self.hosts:
            if host["kind"] == "control":
                return f"https://{host['address']}:{environment.API_PORT}"
        return None


def up(lab: Workspace, work: Engine) -> Standing:
    """Raises LabFault when the lab does not come up."""
    workspace.prepare(lab)
    write_env(lab, work, None)
    make_stack(lab, work)
    engine.free(lab)
    status = work.watched("up", "--yes", "--skip-preview", "--suppress-outputs")
    if status != 0:
        raise LabFault(
            f"`pulumi up` ended with {status}; the errors are above. Mend what they name and run\n"
            "`make lab` again, it goes on from there; or `make lab-down` removes everything"
        )
    standing = read(work.outputs())
    record(lab, work, standing)
    return standing


def make_stack(lab: Workspace, work: Engine) -> None:
    """Make the stack where it is not there yet.

    `pulumi stack init` writes a configuration file into stackConfigDir, also for a lab whose file is
    somewhere else: it is let loose on a project folder inside .lab instead.
    """
    if lab.checkpoint.exists():
        return
    if lab.name == DEFAULT:
        work.quiet("stack", "init", "--no-select", lab.name)
        return
    project = lab.folder / "init"
    project.mkdir(exist_ok=True)
    (project / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    work.quiet("stack", "init", "--no-select", lab.name, folder=project)


def read(outputs: Mapping[str, Any]) -> Standing:
    try:
        return Standing(
            anycast=list(outputs["anycast"]),
            hosts=sorted(outputs["hosts"], key=lambda host: (rank(host["kind"]), host["name"])),
            ca=str(outputs["control_ca"]),
            token=str(outputs["operator_token"]),
        )
    except KeyError as error:
        raise LabFault(f"the stack has no output {error.args[0]!r} (components/outputs)") from error


def rank(kind: str) -> int:
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def record(lab: Workspace, work: Engine, standing: Standing) -> None:
    """Leave what the CLI, tests and a person's shell need."""
    (lab.folder / "hosts.json").write_text(json.dumps(list(standing.hosts), indent=2) + "\n")
    (lab.folder / "control-ca.pem").write_text(standing.ca)
    workspace.write_private(lab.folder / "operator.token", f"{standing.token}\n")
    write_env(lab, work, standing.api)


def write_env(lab: Workspace, work: Engine, api: str | None) -> None:
    text = environment.shell_text(lab, work.setup, api)
    (lab.folder / "env").write_text(text)
    if lab.name == DEFAULT:
        link = lab.root / "env"
        link.unlink(missing_ok=True)
        link.symlink_to(f"{lab.name}/env")


def summary(lab: Workspace, standing: Standing) -> str:
    """The table of hosts, the anycast addresses, the next three commands worth typing."""
    heads = ("HOST", "KIND", "PLACE", "ADDRESS")
    rows = [
        tuple(str(host.get(field) or "") for field in ("name", "kind", "place", "address"))
        for host in standing.hosts
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *rows]
    ]
    env = ".lab/env" if lab.name == DEFAULT else f"{(lab.folder / 'env').relative_to(CHECKOUT)}"
    client = next((host["name"] for host in standing.hosts if host["kind"] == "client"), "CLIENT")
    node = next((host["name"] for host in standing.hosts if host["kind"] == "node"), "NODE")
    return "\n".join(
        [
            "",
            *table,
            "",
            f"anycast addresses: {', '.join(standing.anycast)}",
            "",
            "next:",
            f"  source {env} && anycastle status",
            f"  anycastle lab exec {client} -- ping -c 3 10.200.0.1",
            f"  anycastle lab ssh {node}",
        ]
    )
