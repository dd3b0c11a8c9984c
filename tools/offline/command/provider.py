"""The gRPC edge to the Pulumi engine (pulumi/provider.proto): translates, logs, and cancels on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
import grpc.aio
import msgspec
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

from tools.offline.command.inputs import UnknownType, faults
from tools.offline.command.report import OperationFailed
from tools.offline.command.resources import PREVIOUS, Log, Resources
from tools.offline.diff import changes, top
from tools.offline.wire import from_struct, resource_name, resource_type, to_struct

Result = TypeVar("Result")
VERSION = "1.2.1"
REPLACING = frozenset({"triggers"})
NOTICE = (
    "command provider: the stand-in of tools/offline is at work (the vendor's could not be fetched)"
)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One per process. Requests run side by side; each operation is a task, so Cancel can end it."""

    def __init__(self, resources: Resources, engine: engine_pb2_grpc.EngineStub | None) -> None:
        self.resources = resources
        self.engine = engine
        self.operations: set[asyncio.Task[Any]] = set()
        self.messages: set[asyncio.Task[Any]] = set()

    async def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    async def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(
            schema=json.dumps({"name": "command", "version": VERSION})
        )

    async def Attach(self, request: Any, context: Any) -> Any:
        self.engine = engine_pb2_grpc.EngineStub(grpc.aio.insecure_channel(request.address))
        return empty_pb2.Empty()

    async def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(self, request: Any, context: Any) -> Any:
        self.say(engine_pb2.DEBUG, NOTICE, urn="", ephemeral=False)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptResources=True, acceptOutputs=False, supportsPreview=True
        )

    async def Check(self, request: Any, context: Any) -> Any:
        inputs = from_struct(request.news)
        try:
            found = faults(resource_type(request.urn), inputs)
        except UnknownType as error:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        failures = [provider_pb2.CheckFailure(property=name, reason=why) for name, why in found]
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=failures)

    async def Diff(self, request: Any, context: Any) -> Any:
        old = from_struct(request.old_inputs if len(request.old_inputs) else request.olds)
        found = changes(old, from_struct(request.news))
        kept = {
            path: kind
            for path, kind in found.items()
            if not any(
                path == name or path.startswith((f"{name}.", f"{name}["))
                for name in request.ignoreChanges
            )
        }
        detailed = {path: property_diff(path, kind) for path, kind in kept.items()}
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if kept else none,
            diffs=sorted({top(path) for path in kept}),
            replaces=sorted(path for path in kept if top(path) in REPLACING),
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    async def Create(self, request: Any, context: Any) -> Any:
        inputs, kind = from_struct(request.properties), resource_type(request.urn)
        identity = f"{resource_name(request.urn)}{secrets.token_hex(4)}"
        if request.preview:
            return provider_pb2.CreateResponse(id=identity, properties=to_struct(inputs))
        work = self.resources.create(kind, inputs, self.log_for(request.urn))
        state = await self.perform(work, context)
        return provider_pb2.CreateResponse(id=identity, properties=to_struct(state))

    async def Read(self, request: Any, context: Any) -> Any:
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    async def Update(self, request: Any, context: Any) -> Any:
        inputs, kind = from_struct(request.news), resource_type(request.urn)
        old = from_struct(request.olds)
        if request.preview:
            kept: dict[str, Any] = {name: old[name] for name in PREVIOUS if name in old}
            return provider_pb2.UpdateResponse(properties=to_struct(inputs | kept))
        work = self.resources.update(kind, inputs, old, self.log_for(request.urn))
        return provider_pb2.UpdateResponse(properties=to_struct(await self.perform(work, context)))

    async def Delete(self, request: Any, context: Any) -> Any:
        state, kind = from_struct(request.properties), resource_type(request.urn)
        await self.perform(self.resources.delete(kind, state, self.log_for(request.urn)), context)
        return empty_pb2.Empty()

    async def Cancel(self, request: Any, context: Any) -> Any:
        for task in self.operations:
            task.cancel()
        return empty_pb2.Empty()

    async def perform(self, work: Awaitable[Result], context: Any) -> Result:
        """The result of `work`; failures become gRPC errors whose text the engine shows."""
        task = asyncio.ensure_future(work)
        self.operations.add(task)
        try:
            return await task
        except OperationFailed as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except (msgspec.ValidationError, UnknownType) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except asyncio.CancelledError:
            await context.abort(grpc.StatusCode.CANCELLED, "the update was cancelled")
        finally:
            self.operations.discard(task)
        raise AssertionError("abort returns to nobody")

    def log_for(self, urn: str) -> Log:
        return lambda _, line: self.say(engine_pb2.INFO, line, urn=urn, ephemeral=True)

    def say(
        self, severity: engine_pb2.LogSeverity.ValueType, text: str, *, urn: str, ephemeral: bool
    ) -> None:
        """Send a line to the person in front of the CLI, without waiting for it."""
        if self.engine is None or not text:
            return
        message = engine_pb2.LogRequest(
            severity=severity, message=text, urn=urn, ephemeral=ephemeral
        )
        task = asyncio.ensure_future(send(self.engine, message))
        self.messages.add(task)
        task.add_done_callback(self.messages.discard)


async def send(engine: Any, message: engine_pb2.LogRequest) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError):  # the engine is gone: nobody reads it
        await engine.Log(message)


def property_diff(path: str, kind: str) -> provider_pb2.PropertyDiff:
    name = f"{kind}_REPLACE" if top(path) in REPLACING else kind
    return provider_pb2.PropertyDiff(
        kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True
    )
