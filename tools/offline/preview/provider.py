"""The gRPC edge to the Pulumi engine (pulumi/provider.proto) of a plugin that only previews."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tools.offline.command.inputs import TYPES, faults
from tools.offline.diff import changes, top
from tools.offline.preview import functions, package, stand_ins
from tools.offline.preview.replacing import replaces
from tools.offline.values import UNKNOWN, has_unknown, reveal
from tools.offline.wire import from_struct, resource_name, resource_type, to_struct

REFUSAL = (
    "the plugin at work only previews: it can't {what} {name} ({token}), and nothing was done. "
    "It is what `make preview` runs on; for a real `pulumi up` leave PULUMI_HOME to your own "
    "Pulumi, which fetches the vendor's {package} plugin"
)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """name, version: of the package whose plugin it takes the place of. pretends: see guard."""

    def __init__(self, name: str, version: str, *, pretends: bool) -> None:
        self.package = name
        self.version = version
        self.pretends = pretends
        self.region = "pretended-region"
        self.default_tags: dict[str, Any] = {}

    async def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self.version)

    async def GetSchema(self, request: Any, context: Any) -> Any:
        schema = json.dumps({"name": self.package, "version": self.version})
        return provider_pb2.GetSchemaResponse(schema=schema)

    async def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(self, request: Any, context: Any) -> Any:
        settings = reveal(from_struct(request.args))
        region = settings.get("region") or request.variables.get("aws:config:region")
        if region and not has_unknown(region):
            self.region = region
        self.default_tags = default_tags(settings.get("defaultTags"))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptResources=True, acceptOutputs=False, supportsPreview=True
        )

    async def Check(self, request: Any, context: Any) -> Any:
        token = resource_type(request.urn)
        found = faults(token, from_struct(request.news)) if token in TYPES else []
        failures = [provider_pb2.CheckFailure(property=name, reason=why) for name, why in found]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    async def Diff(self, request: Any, context: Any) -> Any:
        none, some = provider_pb2.DiffResponse.DIFF_NONE, provider_pb2.DiffResponse.DIFF_SOME
        before = request.old_inputs if len(request.old_inputs) else request.olds
        if before == request.news:  # most resources of most changes: not worth a conversion
            return provider_pb2.DiffResponse(changes=none, hasDetailedDiff=True)
        news, token = from_struct(request.news), resource_type(request.urn)
        kept = {
            path: kind
            for path, kind in changes(from_struct(before), news).items()
            if not ignored(path, request.ignoreChanges)
        }
        inputs = reveal(news)
        replacing = {path for path in kept if replaces(token, path, inputs)}
        return provider_pb2.DiffResponse(
            changes=some if kept else none,
            diffs=sorted({top(path) for path in kept}),
            replaces=sorted({top(path) for path in replacing}),
            detailedDiff={
                path: property_diff(kind, replacing=path in replacing)
                for path, kind in kept.items()
            },
            hasDetailedDiff=True,
        )

    async def Create(self, request: Any, context: Any) -> Any:
        token, name = resource_type(request.urn), resource_name(request.urn)
        if not request.preview and not self.pretends:
            await self.refuse(context, "create", request.urn)
        try:
            missing = {
                prop: output
                for prop, output in package.outputs(token).items()
                if output.always and prop not in request.properties
            }
        except package.UnknownType as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        state = struct_pb2.Struct()
        state.CopyFrom(request.properties)
        for prop, output in missing.items():
            state[prop] = (
                UNKNOWN
                if request.preview
                else stand_ins.value(token, name, prop, output, self.region)
            )
        if "tagsAll" in missing:
            state["tagsAll"] = self.all_tags(request.properties)
        return provider_pb2.CreateResponse(
            id="" if request.preview else stand_ins.identity(name), properties=state
        )

    def all_tags(self, properties: struct_pb2.Struct) -> Any:
        """Default tags under a resource's own, as the AWS provider has it."""
        own = from_struct(properties).get("tags") or {}
        return UNKNOWN if isinstance(own, str) else self.default_tags | own

    async def Read(self, request: Any, context: Any) -> Any:
        """What the state says: there is nothing to look at."""
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    async def Update(self, request: Any, context: Any) -> Any:
        if not request.preview:
            await self.refuse(context, "update", request.urn)
        state = struct_pb2.Struct()
        state.CopyFrom(request.olds)
        for prop, value in request.news.items():
            state[prop] = value
        for prop in set(request.old_inputs) - set(request.news):
            del state[prop]
        return provider_pb2.UpdateResponse(properties=state)

    async def Delete(self, request: Any, context: Any) -> Any:
        await self.refuse(context, "delete", request.urn)

    async def Invoke(self, request: Any, context: Any) -> Any:
        try:
            found = functions.answer(request.tok, from_struct(request.args), self.region)
        except functions.NoAnswer as error:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_struct(found))  # a word of Python
        return response

    async def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    async def refuse(self, context: Any, what: str, urn: str) -> None:
        text = REFUSAL.format(
            what=what, name=resource_name(urn), token=resource_type(urn), package=self.package
        )
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)


def default_tags(setting: Any) -> dict[str, Any]:
    """Of the provider's `defaultTags`, which arrives as JSON text inside of a text."""
    plain = json.loads(setting) if isinstance(setting, str) and setting.startswith("{") else setting
    tags = reveal(plain).get("tags") if isinstance(plain, Mapping) else None
    return dict(tags) if isinstance(tags, Mapping) else {}


def ignored(path: str, entries: Any) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in entries)


def property_diff(kind: str, *, replacing: bool) -> provider_pb2.PropertyDiff:
    name = f"{kind}_REPLACE" if replacing else kind
    return provider_pb2.PropertyDiff(
        kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True
    )
