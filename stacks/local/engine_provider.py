"""A provider, called through Pulumi's provider protocol as the engine calls a plugin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from typing import Any

from pulumi.provider.experimental import provider as api
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2

from stacks.local.engine_backend import Checked, Created, Scope
from stacks.local.engine_graph import EngineError, Json
from stacks.local.engine_values import holds_unknown, plain, struct

_CREATE_TIMEOUT_S = 600.0


class ProviderBackend:
    """Sends every resource to one provider: Check, then Create, Read, Delete."""

    def __init__(self, provider: api.Provider, *, preview: bool) -> None:
        self._provider = provider
        self._servicer = ProviderServicer([], "0.0.0", provider, engine_address="")
        self._preview = preview
        self._configured: Scope | None = None

    def configure(self, urn: str, inputs: Mapping[str, Json], scope: Scope) -> None:
        request = provider_pb2.CheckRequest(urn=urn, news=struct(inputs))
        self._refuse_failures(self._call(self._servicer.CheckConfig(request, None)).failures)
        self._switch_to(scope)

    def _switch_to(self, scope: Scope) -> None:
        """One provider process serves several provider resources: it is told whose settings hold."""
        if scope == self._configured:
            return
        variables = {"aws:config:region": scope.region}
        arguments = {"region": scope.region, "defaultTags": json.dumps({"tags": dict(scope.default_tags)})}
        request = provider_pb2.ConfigureRequest(
            variables=variables, args=struct(arguments), acceptSecrets=True, acceptResources=True
        )
        self._call(self._servicer.Configure(request, None))
        self._configured = scope

    def account(self) -> str:
        answer = self.invoke("aws:index/getCallerIdentity:getCallerIdentity", {}, self._configured or Scope())
        return str(answer["accountId"]) if answer else ""

    def models(self, token: str) -> bool:
        models = getattr(self._provider, "models", None)
        return bool(models(token)) if models else True

    def check(self, resource: Checked) -> Checked:
        self._switch_to(resource.scope)
        request = provider_pb2.CheckRequest(urn=resource.urn, news=struct(resource.inputs))
        response = self._call(self._servicer.Check(request, None))
        self._refuse_failures(response.failures)
        return Checked(resource.urn, resource.type, resource.name, plain(response.inputs), resource.scope)

    def create(self, resource: Checked) -> Created:
        self._switch_to(resource.scope)
        request = provider_pb2.CreateRequest(
            urn=resource.urn, properties=struct(resource.inputs), timeout=_CREATE_TIMEOUT_S, preview=self._preview
        )
        response = self._call(self._servicer.Create(request, None))
        return Created(response.id, plain(response.properties), self.models(resource.type))

    def read(self, resource: Checked, identifier: str) -> Created:
        self._switch_to(resource.scope)
        request = provider_pb2.ReadRequest(id=identifier, urn=resource.urn, properties=struct(resource.inputs))
        response = self._call(self._servicer.Read(request, None))
        if not response.id:
            raise EngineError(f"there is no {resource.type} with the id {identifier!r}")
        return Created(response.id, plain(response.properties), self.models(resource.type))

    def delete(self, resource: Checked, identifier: str) -> None:
        self._switch_to(resource.scope)
        request = provider_pb2.DeleteRequest(
            id=identifier, urn=resource.urn, properties=struct(resource.inputs), timeout=_CREATE_TIMEOUT_S
        )
        self._call(self._servicer.Delete(request, None))

    def invoke(self, token: str, arguments: Mapping[str, Json], scope: Scope) -> Mapping[str, Json] | None:
        self._switch_to(scope)
        request = provider_pb2.InvokeRequest(tok=token, args=struct(arguments))
        try:
            response = self._call(self._servicer.Invoke(request, None))
        except NotImplementedError:
            return None
        self._refuse_failures(response.failures)
        answer: dict[str, Json] = plain(getattr(response, "return"))
        return None if holds_unknown(answer) else answer

    def _refuse_failures(self, failures: Any) -> None:
        if failures:
            raise EngineError("; ".join(f"{failure.property}: {failure.reason}" for failure in failures))

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return asyncio.run(coroutine)
        except NotImplementedError:
            raise
        except Exception as error:
            # The servicer repeats the error with a traceback in its text; the cause has the sentence.
            cause = error.__context__ or error
            raise EngineError(f"{type(cause).__name__}: {cause}") from error
