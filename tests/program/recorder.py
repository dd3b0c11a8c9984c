"""Runs `__main__.py` under Pulumi's mocks: `python -m tests.program.recorder JOB RESULT`.

In a process of its own, because the mocks leave event loops of their threads behind.
JOB: JSON of `stack` (its name), `config`, `preview`, `bundles` (a folder) and `outputs` (of other
stacks, by name). RESULT: a pickled `Graph`.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import runpy
import sys
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.settings import ROOT
from pulumi.runtime.stack import run_in_stack

from tests.program.graph import SECRET, Graph, Registration
from tools import bundle

PROGRAM = Path(__file__).parents[2] / "__main__.py"

COMPUTED: Mapping[str, tuple[str, ...]] = {
    "pulumi-python:dynamic/anycastle:ServiceKey": ("private_key",),
    "pulumi-python:dynamic/anycastle:CertificateAuthority": ("certificate", "private_key"),
    "pulumi-python:dynamic/anycastle:OperatorToken": ("secret",),
    "pulumi-python:dynamic/anycastle:EnrolledClient": ("configuration",),
    "pulumi-python:dynamic/anycastle:SshKey": ("private_key", "public_key"),
    "pulumi-python:dynamic/anycastle:Membership": ("join_token",),
    "command:remote:Command": ("stdout", "stderr"),
    "aws:ec2/eip:Eip": ("publicIp", "allocationId"),
    "aws:lb/loadBalancer:LoadBalancer": ("dnsName", "zoneId"),
    "aws:secretsmanager/secretVersion:SecretVersion": ("versionId",),
    "aws:kms/key:Key": ("keyId",),
    "aws:kms/replicaKey:ReplicaKey": ("keyId",),
    "aws:rds/instance:Instance": ("address",),
    "pulumi-python:dynamic/anycastle:DatabasePassword": ("secret",),
    "aws:vpc/routeServer:RouteServer": ("routeServerId",),
    "aws:vpc/routeServerEndpoint:RouteServerEndpoint": ("routeServerEndpointId",),
}
PUBLIC_KEY = "C" * 42 + "E="


class Answers(mocks.Mocks):
    """What providers would return: each output a text that names it and its resource.

    stacks: outputs of other stacks, by name.
    """

    def __init__(self, stacks: Mapping[str, Mapping[str, Any]]) -> None:
        self._stacks = stacks

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
        if args.typ.startswith("aws:"):
            outputs["arn"] = f"arn of {args.name}"
        if args.typ.endswith(":Accelerator"):
            given = args.inputs.get("ipAddresses") or ["192.0.2.7", "192.0.2.8"]
            outputs["ipSets"] = [{"ipFamily": "IPv4", "ipAddresses": given}]
        if args.typ.endswith(":RouteServerEndpoint"):
            outputs["eniAddress"] = str(IPv4Address("10.99.0.0") + sum(args.name.encode()))
        if args.typ == "pulumi:pulumi:StackReference":
            found = self._stacks.get(args.name.rpartition("/")[2], {})
            outputs.update(outputs=found, secretOutputNames=[])
        return f"id of {args.name}", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], None]:
        raise AssertionError(f"the program calls {args.token}")


class Recorder(mocks.MockMonitor):
    """A monitor that keeps what the mocks of the SDK drop: parents, dependencies, options."""

    def __init__(self, answers: mocks.Mocks, graph: Graph) -> None:
        super().__init__(answers)
        self._graph = graph

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            assert answer.urn not in self._graph.resources, f"{answer.urn} is registered twice"
            self._graph.resources[answer.urn] = Registration(
                urn=answer.urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                provider=request.provider,
                inputs=_marked(rpc.deserialize_properties(request.object)),
                dependencies=frozenset(request.dependencies),
                deleted_with=request.deletedWith,
                secret_outputs=frozenset(request.additionalSecretOutputs),
                protect=request.protect,
                replace_on_changes=tuple(request.replaceOnChanges),
            )
        return answer


def _marked(value: Any) -> Any:
    """Secrets as `{SECRET: value}`, assets as their paths."""
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == rpc._special_secret_sig:
            return {SECRET: _marked(value["value"])}
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return value.path if isinstance(value, pulumi.FileAsset) else value


def use_ready_made_bundles(folder: Path) -> None:
    """Bundles that nobody builds: the program only hands their paths on."""

    def ready_made(role: bundle.Role, *, cloud: bundle.Cloud = "") -> bundle.Bundle:
        archive = folder / f"{role}{cloud and f'-{cloud}'}.tar"
        archive.write_bytes(b"")
        return bundle.Bundle(role=role, version=f"version-of-{role}", archive=archive)

    bundle.build = ready_made  # type: ignore[assignment]


async def record(job: Mapping[str, Any]) -> Graph:
    graph, answers = Graph(), Answers(job["outputs"])
    pulumi.runtime.set_mocks(
        answers,
        project="anycastle",
        stack=job["stack"],
        preview=job["preview"],
        monitor=Recorder(answers, graph),
    )
    config = {key: json.dumps(value) for key, value in job["config"].items()}
    pulumi.runtime.set_all_config(config)

    def program() -> None:
        runpy.run_path(str(PROGRAM), run_name="__main__")

    # The mocks' own root takes no `pulumi.run` any more.
    ROOT.set(None)
    await run_in_stack(program)
    for name, output in getattr(pulumi.runtime.get_root_resource(), "outputs", {}).items():
        known: pulumi.Output[Any] = pulumi.Output.from_input(output)
        value = await known.future()
        graph.outputs[name] = {SECRET: value} if await known.is_secret() else value
    return graph


def main() -> int:
    job = json.loads(Path(sys.argv[1]).read_text())
    use_ready_made_bundles(Path(job["bundles"]))
    try:
        graph = asyncio.run(record(job))
    except pulumi.RunError as error:
        print(error, file=sys.stderr)
        return 1
    Path(sys.argv[2]).write_bytes(pickle.dumps(graph))
    return 0


if __name__ == "__main__":
    sys.exit(main())
