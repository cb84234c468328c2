"""The engine's end of Pulumi's ResourceMonitor protocol: registers every resource, refuses what mocks let pass."""

# ruff: noqa: N802 - the protocol gives the names of its methods
from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import grpc
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]  # the wheel of protobuf has no types
from pulumi.runtime.proto import (
    callback_pb2,
    callback_pb2_grpc,
    engine_pb2,
    engine_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from stacks.local import engine_documents, schema
from stacks.local.engine_backend import Backend, Checked, Created
from stacks.local.engine_graph import UNKNOWN, EngineError, Json, Resource
from stacks.local.engine_program import CALL_SITE, LIBRARIES
from stacks.local.engine_project import ORGANIZATION, Project
from stacks.local.engine_providers import Providers
from stacks.local.engine_values import holds_unknown, leaves, plain, secret_paths, struct

STACK = "pulumi:pulumi:Stack"
STACK_REFERENCE = "pulumi:pulumi:StackReference"

# Everything the SDK may rely on. What is absent (hooks around operations, invoke transforms, parameterized
# packages, state migrations) the SDK itself refuses with a sentence.
FEATURES = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
)


Answer = TypeVar("Answer")


class Judge(Protocol):
    """The policy packs, asked before a resource is created."""

    def judge_resource(self, resource: Resource, checked: Mapping[str, Json], provider: Resource | None) -> bool:
        """Records findings; False when the resource must not be created."""


class Rejected(Exception):
    """A mandatory rule forbids the next resource: the run ends, and its findings are the result."""


@dataclass(frozen=True)
class _Request:
    """One registration after transforms, with the place in the program that made it."""

    wire: resource_pb2.RegisterResourceRequest
    urn: str
    source: str
    inputs: dict[str, Json]


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Speaks the protocol; `registered` is the graph. Errors keep the first cause in `failure`."""

    def __init__(
        self,
        project: Project,
        backend: Backend,
        judge: Judge,
        references: Mapping[str, Mapping[str, Json]],
        *,
        preview: bool,
    ) -> None:
        self._project = project
        self._backend = backend
        self._judge = judge
        self._references = references
        self._preview = preview
        self._providers = Providers(project, backend)
        self._transforms: list[callback_pb2.Callback] = []
        self._error_hooks: dict[str, callback_pb2.Callback] = {}
        self._lock = threading.RLock()
        self.registered: dict[str, Resource] = {}
        self.checked: dict[str, dict[str, Json]] = {}
        self.outputs: dict[str, Json] = {}
        self.failure: Exception | None = None

    # --- what the program may ask first

    def GetDeploymentInfo(self, request: empty_pb2.Empty, context: Any = None) -> resource_pb2.DeploymentInfo:
        return resource_pb2.DeploymentInfo(
            project=self._project.name,
            stack=self._project.stack,
            organization=ORGANIZATION,
            config=self._project.config,
            dryRun=self._preview,
            supportedFeatures=FEATURES,
        )

    def SupportsFeature(
        self, request: resource_pb2.SupportsFeatureRequest, context: Any = None
    ) -> resource_pb2.SupportsFeatureResponse:
        known = ("secrets", "resourceReferences", "aliasSpecs", "deletedWith", "replaceWith", "transforms")
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in known)

    # --- registration

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: Any = None
    ) -> resource_pb2.RegisterResourceResponse:
        with self._lock:
            return self._answer(lambda: self._register(request), context)

    def _register(self, wire: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        wire = self._transformed(wire)
        urn = self._urn(wire.parent, wire.type, wire.name)
        request = _Request(wire, urn, _source(wire) or self._main(), plain(wire.object))
        self._refuse_misplaced(request)
        if not wire.custom:
            self._judged(self._resource(request, Created("", {}, modelled=False)), request.inputs)
            self._record(request, Created("", dict(request.inputs), modelled=False))
            return resource_pb2.RegisterResourceResponse(urn=urn)
        created = self._provide(request) if wire.type.startswith("pulumi:providers:") else self._create(request)
        return resource_pb2.RegisterResourceResponse(
            urn=urn, id=created.id, object=_known(created.outputs), unknown=not self._preview
        )

    def _refuse_misplaced(self, request: _Request) -> None:
        wire = request.wire
        if request.urn in self.registered:
            first = self.registered[request.urn].source
            raise EngineError(
                f"{request.source}: duplicate URN: a second {wire.type} named {wire.name!r} "
                f"has the same parent as the one at {first}; give it another name"
            )
        if wire.parent and wire.parent not in self.registered:
            raise EngineError(f"{request.source}: {wire.name!r} has the unknown parent {wire.parent}")
        if wire.remote:
            raise EngineError(f"{request.source}: {wire.name!r} is a remote component; the local engine runs none")

    def _provide(self, request: _Request) -> Created:
        """A provider resource: its settings hold for every resource that names it."""
        self._refuse_bad_inputs(request, _provider_settings(request))
        self._judged(self._resource(request, Created("", {}, modelled=False)), request.inputs)
        identifier = "" if self._preview else str(uuid.uuid5(uuid.NAMESPACE_URL, request.urn))
        self._record(request, Created(identifier, dict(request.inputs), modelled=False))
        self._providers.add(request.urn, _provider_settings(request), request.source)
        return Created(identifier, dict(request.inputs), modelled=False)

    def _create(self, request: _Request) -> Created:
        wire = request.wire
        self._refuse_bad_inputs(request, request.inputs)
        scope = self._providers.scope(wire.type, wire.provider, request.source, repr(wire.name))
        given = Checked(request.urn, wire.type, wire.name, request.inputs, scope)
        checked = self._by_backend(request, lambda: self._backend.check(given))
        pending = self._resource(request, Created("", {}, modelled=False))
        self._judged(pending, checked.inputs)
        self._refuse_unreturned_outputs(request)
        created = self._by_backend(request, lambda: self._create_until_given_up(wire, checked))
        self.registered[request.urn] = replace(self._resource(request, created), region=scope.region)
        self.checked[request.urn] = checked.inputs
        return created

    def _create_until_given_up(self, wire: resource_pb2.RegisterResourceRequest, checked: Checked) -> Created:
        """Again for as long as one of the resource's error hooks asks for it."""
        errors: list[str] = []
        while True:
            try:
                return self._backend.create(checked)
            except EngineError as error:
                errors.insert(0, str(error))
                if not self._asks_again(wire, checked, errors):
                    raise

    def _asks_again(self, wire: resource_pb2.RegisterResourceRequest, checked: Checked, errors: Sequence[str]) -> bool:
        request = resource_pb2.ErrorHookRequest(
            urn=checked.urn,
            name=checked.name,
            type=checked.type,
            new_inputs=struct(checked.inputs),
            failed_operation="create",
            errors=errors,
        )
        answers = [_ask_error_hook(self._error_hooks[name], request) for name in wire.hooks.on_error]
        return any(answer.retry for answer in answers)

    def _judged(self, pending: Resource, inputs: Mapping[str, Json]) -> None:
        provider = self.registered.get(pending.provider.rpartition("::")[0])
        if not self._judge.judge_resource(pending, inputs, provider):
            raise Rejected(pending.urn)

    def _refuse_bad_inputs(self, request: _Request, inputs: Mapping[str, Json]) -> None:
        where = f"{request.source}: {request.wire.type} {request.wire.name!r}"
        for mistake in engine_documents.mistakes(inputs):
            raise EngineError(f"{where}: {mistake}")
        try:
            found = schema.problems(request.wire.type, inputs)
        except EngineError as error:
            raise EngineError(f"{where}: {error}") from error
        if found:
            raise EngineError(f"{where}: {found[0]}")

    def _refuse_unreturned_outputs(self, request: _Request) -> None:
        """After creation nothing is unknown, unless nobody returned it."""
        if self._preview or not self._backend.models(request.wire.type):
            return
        for path, leaf in leaves(request.inputs):
            if leaf == UNKNOWN:
                givers = self._silent_givers(request, path.split(".")[0].split("[")[0])
                raise EngineError(
                    f"{request.source}: {request.wire.type} {request.wire.name!r}: {path} uses an output "
                    f"that nobody returned, of {' or '.join(givers)}"
                )

    def _silent_givers(self, request: _Request, key: str) -> list[str]:
        """The resources behind a property, narrowed to those that were only recorded where there are any."""
        urns = request.wire.propertyDependencies[key].urns
        behind = [self.registered[urn] for urn in urns if urn in self.registered]
        recorded = [resource for resource in behind if not resource.modelled] or behind
        return sorted(f"{resource.type} {resource.name!r}" for resource in recorded) or ["an earlier resource"]

    def _by_backend(self, request: _Request, action: Callable[[], Answer]) -> Answer:
        try:
            return action()
        except EngineError as error:
            raise EngineError(f"{request.source}: {request.wire.type} {request.wire.name!r}: {error}") from error

    def _record(self, request: _Request, created: Created) -> None:
        self.registered[request.urn] = self._resource(request, created)

    def _resource(self, request: _Request, created: Created) -> Resource:
        wire = request.wire
        return Resource(
            urn=request.urn,
            type=wire.type,
            name=wire.name,
            custom=wire.custom,
            inputs=request.inputs,
            outputs=created.outputs,
            parent=wire.parent,
            provider=wire.provider,
            dependencies=tuple(sorted(wire.dependencies)),
            property_dependencies={
                key: tuple(sorted(dependency.urns)) for key, dependency in sorted(wire.propertyDependencies.items())
            },
            protect=wire.protect,
            retain_on_delete=wire.retainOnDelete,
            source=request.source,
            modelled=created.modelled,
            id=created.id,
            secrets=tuple(secret_paths(wire.object)),
            ignore_changes=tuple(wire.ignoreChanges),
            error_hooks=tuple(wire.hooks.on_error),
            aliases=tuple(alias.urn or alias.spec.name for alias in wire.aliases),
            deleted_with=wire.deletedWith,
        )

    def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: Any = None
    ) -> empty_pb2.Empty:
        with self._lock:
            return self._answer(lambda: self._register_outputs(request), context)

    def _register_outputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        resource = self.registered.get(request.urn)
        if resource is None:
            raise EngineError(f"{self._main()}: outputs are given for the unregistered resource {request.urn}")
        outputs = plain(request.outputs)
        for mistake in engine_documents.mistakes(outputs):
            raise EngineError(f"{resource.source or self._main()}: output {mistake}")
        self.registered[request.urn] = replace(resource, outputs=outputs)
        if resource.type == STACK:
            self.outputs = outputs
        return empty_pb2.Empty()

    # --- reading what others created

    def ReadResource(
        self, request: resource_pb2.ReadResourceRequest, context: Any = None
    ) -> resource_pb2.ReadResourceResponse:
        with self._lock:
            return self._answer(lambda: self._read(request), context)

    def _read(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        source = _source(request) or self._main()
        urn = self._urn(request.parent, request.type, request.name)
        wire = resource_pb2.RegisterResourceRequest(
            type=request.type,
            name=request.name,
            parent=request.parent,
            custom=True,
            provider=request.provider,
            object=request.properties,
            dependencies=request.dependencies,
        )
        reading = _Request(wire, urn, source, plain(request.properties))
        if request.type == STACK_REFERENCE:
            created = self._referenced(request.id, source)
        else:
            created = self._by_backend(reading, lambda: self._read_by_provider(reading, request.id))
        self._record(reading, created)
        return resource_pb2.ReadResourceResponse(urn=urn, id=created.id, properties=_known(created.outputs))

    def _referenced(self, name: str, source: str) -> Created:
        if name not in self._references:
            known = ", ".join(sorted(self._references)) or "none"
            raise EngineError(f"{source}: no outputs are given for the stack {name!r} (there are: {known})")
        outputs = {key: value for key, value in self._references[name].items() if not holds_unknown(value)}
        return Created(name, {"name": name, "outputs": outputs, "secretOutputNames": []}, modelled=False)

    def _read_by_provider(self, reading: _Request, identifier: str) -> Created:
        wire = reading.wire
        scope = self._providers.scope(wire.type, wire.provider, reading.source, repr(wire.name))
        return self._backend.read(Checked(reading.urn, wire.type, wire.name, reading.inputs, scope), identifier)

    # --- functions

    def Invoke(
        self, request: resource_pb2.ResourceInvokeRequest, context: Any = None
    ) -> resource_pb2.ResourceInvokeResponse:
        with self._lock:
            return self._answer(lambda: self._invoke(request), context)

    def _invoke(self, request: resource_pb2.ResourceInvokeRequest) -> resource_pb2.ResourceInvokeResponse:
        source = _source(request) or CALL_SITE.get() or self._main()
        if request.tok == "pulumi:pulumi:getResource":
            return resource_pb2.ResourceInvokeResponse(**{"return": self._registered_state(request, source)})
        scope = self._providers.scope(request.tok, request.provider, source, f"the call of {request.tok}")
        try:
            answer = self._backend.invoke(request.tok, plain(request.args), scope)
        except EngineError as error:
            raise EngineError(f"{source}: the call of {request.tok} failed: {error}") from error
        if answer is None:
            raise EngineError(f"{source}: un-mocked invoke {request.tok}: neither the provider nor the engine knows it")
        return resource_pb2.ResourceInvokeResponse(**{"return": struct(answer)})

    def _registered_state(self, request: resource_pb2.ResourceInvokeRequest, source: str) -> struct_pb2.Struct:
        urn = plain(request.args).get("urn", "")
        if urn not in self.registered:
            raise EngineError(f"{source}: no resource has the URN {urn!r}")
        resource = self.registered[urn]
        return struct({"urn": urn, "id": resource.id, "state": resource.outputs})

    def Call(self, request: Any, context: Any = None) -> Any:
        with self._lock:
            return self._answer(lambda: self._refuse_call(request), context)

    def _refuse_call(self, request: Any) -> None:
        source = _source(request) or CALL_SITE.get() or self._main()
        raise EngineError(f"{source}: un-mocked call of the method {request.tok}: the local engine runs none")

    # --- transforms, run by the engine as the real one does

    def RegisterStackTransform(self, request: callback_pb2.Callback, context: Any = None) -> empty_pb2.Empty:
        with self._lock:
            self._transforms.append(request)
            return empty_pb2.Empty()

    def RegisterErrorHook(self, request: resource_pb2.RegisterErrorHookRequest, context: Any = None) -> empty_pb2.Empty:
        with self._lock:
            if request.name in self._error_hooks:
                raise EngineError(f"error hook {request.name!r} is registered twice")
            self._error_hooks[request.name] = request.callback
        return empty_pb2.Empty()

    def _transformed(self, wire: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceRequest:
        callbacks = [*wire.transforms, *(self._transforms if wire.type != STACK else ())]
        for callback in callbacks:
            answer = _call_back(callback, _transform_request(wire))
            changed = resource_pb2.RegisterResourceRequest()
            changed.CopyFrom(wire)
            changed.object.CopyFrom(answer.properties)
            if answer.HasField("options"):
                _apply_options(changed, answer.options)
            wire = changed
        return wire

    # --- the rest of the protocol

    def RegisterPackage(
        self, request: resource_pb2.RegisterPackageRequest, context: Any = None
    ) -> resource_pb2.RegisterPackageResponse:
        return resource_pb2.RegisterPackageResponse(ref=f"{request.name}@{request.version}")

    def SignalAndWaitForShutdown(self, request: empty_pb2.Empty, context: Any = None) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def _urn(self, parent: str, token: str, name: str) -> str:
        kinds = parent.split("::")[2] if parent else STACK
        qualified = token if kinds == STACK else f"{kinds}${token}"
        return f"urn:pulumi:{self._project.stack}::{self._project.name}::{qualified}::{name}"

    def _main(self) -> str:
        return f"{self._project.program / '__main__.py'}:1"

    def _answer(self, action: Callable[[], Answer], context: Any) -> Answer:
        """Keeps the first cause: what the SDK raises afterwards is only its echo."""
        try:
            self._refuse_after_failure()
            return action()
        except (EngineError, Rejected) as error:
            self.failure = self.failure or error
            if context is not None:
                context.abort(grpc.StatusCode.UNKNOWN, str(error))
            raise

    def _refuse_after_failure(self) -> None:
        if self.failure is not None:
            raise EngineError(f"the run already failed: {self.failure}")


class EngineLog(engine_pb2_grpc.EngineServicer):
    """The engine's log: warnings and errors are kept, debug lines dropped."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def Log(self, request: engine_pb2.LogRequest, context: Any = None) -> empty_pb2.Empty:
        if request.severity != engine_pb2.DEBUG:
            self.messages.append(f"{engine_pb2.LogSeverity.Name(request.severity).lower()}: {request.message}")
        return empty_pb2.Empty()

    def RequirePulumiVersion(
        self, request: engine_pb2.RequirePulumiVersionRequest, context: Any = None
    ) -> engine_pb2.RequirePulumiVersionResponse:
        return engine_pb2.RequirePulumiVersionResponse()


def _known(outputs: Mapping[str, Json]) -> struct_pb2.Struct:
    """Unknown outputs are left out: the SDK then resolves them as unknown."""
    return struct({key: value for key, value in outputs.items() if not holds_unknown(value)})


def _source(request: Any) -> str:
    """`file:line` of the first caller outside libraries; the SDK's own position may lie inside the SDK."""
    for position in (request.sourcePosition, *(frame.pc for frame in request.stackTrace.frames)):
        path = unquote(urlsplit(position.uri).path)
        if path and not path.startswith(LIBRARIES):
            return f"{path}:{position.line}"
    return ""


def _provider_settings(request: _Request) -> dict[str, Json]:
    """Provider inputs travel as JSON text; a plain word stands for itself, and so does what is text by its type."""
    texts = schema.text_properties(request.wire.type)
    return {key: value if key in texts else _decoded(value) for key, value in request.inputs.items()}


def _decoded(value: Json) -> Json:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _transform_request(wire: resource_pb2.RegisterResourceRequest) -> resource_pb2.TransformRequest:
    options = resource_pb2.TransformResourceOptions(
        depends_on=wire.dependencies,
        ignore_changes=wire.ignoreChanges,
        replace_on_changes=wire.replaceOnChanges,
        provider=wire.provider,
        providers=wire.providers,
        additional_secret_outputs=wire.additionalSecretOutputs,
        aliases=wire.aliases,
    )
    if wire.HasField("protect"):
        options.protect = wire.protect
    if wire.HasField("retainOnDelete"):
        options.retain_on_delete = wire.retainOnDelete
    return resource_pb2.TransformRequest(
        type=wire.type, name=wire.name, custom=wire.custom, parent=wire.parent, properties=wire.object, options=options
    )


def _apply_options(wire: resource_pb2.RegisterResourceRequest, options: resource_pb2.TransformResourceOptions) -> None:
    if options.HasField("protect"):
        wire.protect = options.protect
    if options.HasField("retain_on_delete"):
        wire.retainOnDelete = options.retain_on_delete
    if options.provider:
        wire.provider = options.provider
    del wire.ignoreChanges[:]
    wire.ignoreChanges.extend(options.ignore_changes)
    del wire.dependencies[:]
    wire.dependencies.extend(options.depends_on)


def _call_back(
    callback: callback_pb2.Callback, request: resource_pb2.TransformRequest
) -> resource_pb2.TransformResponse:
    made = resource_pb2.TransformResponse()
    made.ParseFromString(_invoked(callback, request, f"a transform of {request.name!r}"))
    return made


def _ask_error_hook(
    callback: callback_pb2.Callback, request: resource_pb2.ErrorHookRequest
) -> resource_pb2.ErrorHookResponse:
    made = resource_pb2.ErrorHookResponse()
    made.ParseFromString(_invoked(callback, request, f"an error hook of {request.name!r}"))
    if made.error:
        raise EngineError(f"an error hook of {request.name!r} failed: {made.error}")
    return made


def _invoked(callback: callback_pb2.Callback, request: Any, what: str) -> bytes:  # Any: a message of the protocol
    with grpc.insecure_channel(callback.target) as channel:
        stub = callback_pb2_grpc.CallbacksStub(channel)
        try:
            answer = stub.Invoke(
                callback_pb2.CallbackInvokeRequest(token=callback.token, request=request.SerializeToString())
            )
        except grpc.RpcError as error:
            raise EngineError(f"{what} failed: {error.details()}") from error
    return bytes(answer.response)
