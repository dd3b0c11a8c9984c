"""The whole program under Pulumi's mocks, as a graph of what it registered."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import json
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import run_pulumi_func

from tools import bundle

CHECKOUT = Path(__file__).parents[2]
STACK = CHECKOUT / "stacks" / "Pulumi.lab.yaml"

Config = dict[str, Any]


@dataclass(frozen=True)
class Registration:
    """A resource as the engine is told of it. parent, deleted_with: URNs, "" for none."""

    urn: str
    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    deleted_with: str
    secret_outputs: frozenset[str]

    def plain(self, key: str) -> Any:
        """An input without the mark that makes it a secret."""
        value = self.inputs[key]
        return value["value"] if self.is_secret(key) else value

    def is_secret(self, key: str) -> bool:
        value = self.inputs[key]
        return (
            isinstance(value, dict) and value.get(rpc._special_sig_key) == rpc._special_secret_sig
        )


@dataclass
class Graph:
    """All that one run registered, and the stack's outputs."""

    resources: dict[str, Registration] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def named(self, name: str, kind: str = "") -> Registration:
        """The one resource of that name (and type, where a name has several)."""
        found = [r for r in self.resources.values() if r.name == name and kind in r.type]
        assert len(found) == 1, f"{name}: {[r.urn for r in found]}"
        return found[0]

    def of_type(self, kind: str) -> list[Registration]:
        return [r for r in self.resources.values() if r.type == kind]

    def upstream(self, registration: Registration) -> set[str]:
        """Names of everything that a resource waits for, directly or not."""
        seen: set[str] = set()
        queue = [registration.urn]
        while queue:
            urn = queue.pop()
            for dependency in self.resources[urn].dependencies - seen:
                seen.add(dependency)
                queue.append(dependency)
        return {self.resources[urn].name for urn in seen}


class Recorder(mocks.MockMonitor):
    """A monitor that keeps what the mocks of the SDK drop: parents, dependencies, options."""

    def __init__(self, answers: mocks.Mocks, graph: Graph) -> None:
        super().__init__(answers)
        self._graph = graph

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        answer = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            self._graph.resources[answer.urn] = Registration(
                urn=answer.urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                inputs=rpc.deserialize_properties(request.object),
                dependencies=frozenset(request.dependencies),
                deleted_with=request.deletedWith,
                secret_outputs=frozenset(request.additionalSecretOutputs),
            )
        return answer


COMPUTED: Mapping[str, tuple[str, ...]] = {
    "pulumi-python:dynamic/anycastle:ServiceKey": ("private_key",),
    "pulumi-python:dynamic/anycastle:CertificateAuthority": ("certificate", "private_key"),
    "pulumi-python:dynamic/anycastle:OperatorToken": ("secret",),
    "pulumi-python:dynamic/anycastle:EnrolledClient": ("configuration",),
    "command:remote:Command": ("stdout", "stderr"),
}
PUBLIC_KEY = "C" * 42 + "E="


class Answers(mocks.Mocks):
    """What providers would return: each output a text that names it and its resource."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[Any, Any]]:
        outputs = dict(args.inputs)
        for name in COMPUTED.get(args.typ, ()):
            outputs[name] = f"{name} of {args.name}"
        if args.typ.endswith(":ServiceKey"):
            outputs["public_key"] = PUBLIC_KEY
        if args.typ.endswith(":EnrolledClient"):
            outputs["addresses"] = ["10.200.0.16", "fd00:200::10"]
        if args.typ.endswith("/lab:Disk"):
            host = args.inputs["host"]
            outputs.update(host_key=f"ssh-ed25519 {host}", incarnation=f"disk of {host}")
        if args.typ.endswith("/lab:Network"):
            outputs.update(index=7)
        return f"id of {args.name}", outputs

    def call(self, args: mocks.MockCallArgs) -> dict[Any, Any]:
        raise AssertionError(f"the program calls {args.token}")


@pytest.fixture
def config() -> Config:
    """The shipped lab's configuration, free to be changed."""
    document: Config = yaml.safe_load(STACK.read_text())["config"]
    return copy.deepcopy(document)


@pytest.fixture
def lab_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lab would keep its keys and disks."""
    directory = tmp_path / "lab"
    (directory / "ssh").mkdir(parents=True)
    (directory / "ssh" / "id_ed25519").write_text("the lab's private key\n")
    (directory / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA lab\n")
    monkeypatch.setenv("ANYCASTLE_LAB_DIR", str(directory))
    monkeypatch.setenv("ANYCASTLE_IMAGE", str(tmp_path / "image"))
    monkeypatch.setenv("LAB", "mocked")
    return directory


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles that nobody builds: the program only hands their paths on."""

    def ready_made(role: bundle.Role, architecture: str = "x86_64") -> bundle.Bundle:
        archive = tmp_path / f"{role}-{architecture}.tar"
        archive.write_bytes(b"")
        return bundle.Bundle(role=role, version=f"version-of-{role}", archive=archive)

    monkeypatch.setattr(bundle, "build", ready_made)


Run = Callable[..., Graph]


@pytest.fixture
def run(lab_directory: Path, bundles: None) -> Run:
    """Runs `__main__.py` with a configuration. preview: outputs are unknown, as at first."""

    def once(config: Config, preview: bool) -> Graph:
        graph = Graph()
        pulumi.runtime.set_mocks(
            Answers(),
            project="anycastle",
            stack="mocked",
            preview=preview,
            monitor=Recorder(Answers(), graph),
        )
        pulumi.runtime.set_all_config({key: json.dumps(value) for key, value in config.items()})

        def program() -> None:
            runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")

        asyncio.run(run_pulumi_func(program))
        root = pulumi.runtime.get_root_resource()
        graph.outputs = dict(getattr(root, "outputs", {}))
        return graph

    def isolated(config: Config, preview: bool = False) -> Graph:
        return contextvars.copy_context().run(once, config, preview)

    return isolated
