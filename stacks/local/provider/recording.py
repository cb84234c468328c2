"""A provider that records: checks every resource against the SDK's schema and creates nothing.

What it answers is invented from the schema, or, as far as `invents` is false, left unknown. It serves
environments that no emulator holds, and the provider for moto builds on it.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping

from pulumi.provider.experimental import provider as api
from pulumi.provider.experimental.property_value import PropertyValue

from stacks.local import schema
from stacks.local.engine_backend import Checked, Scope, check, fact, invented_id, invented_outputs
from stacks.local.engine_graph import UNKNOWN, Json
from stacks.local.engine_values import plain


class RecordingProvider(api.Provider):
    """Pulumi's provider interface over `created`, `read_back`, `deleted` and `answered`; here they invent.

    No state is kept between two runs, so every change of a resource is a replacement. `package` is the SDK's:
    aws or kubernetes.
    """

    scope = Scope()
    package = "aws"

    # --- what a provider with something behind it says otherwise

    def models(self, token: str) -> bool:
        """True for what is created and read back, false for what is only recorded."""
        return False

    def knows(self, token: str) -> bool:
        return True

    def settled(self, scope: Scope) -> None:
        self.scope = scope

    def created(self, resource: Checked) -> tuple[str, dict[str, Json]]:
        identifier = invented_id(resource)
        return identifier, invented_outputs(resource, identifier)

    def read_back(self, token: str, identifier: str, state: dict[str, Json]) -> dict[str, Json] | None:
        return {}

    def deleted(self, token: str, identifier: str, state: dict[str, Json]) -> None:
        """Nothing was created."""

    def answered(self, token: str, arguments: Mapping[str, Json]) -> Mapping[str, Json] | None:
        return fact(token, self.scope)

    # --- Pulumi's provider interface

    async def get_schema(self, request: api.GetSchemaRequest) -> api.GetSchemaResponse:
        version = importlib.metadata.version(f"pulumi-{self.package}")
        return api.GetSchemaResponse(json.dumps({"name": self.package, "version": version}))

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        settings = {**_unqualified(request.variables), **_plain(request.args)}
        accounts = _decoded(settings.get("allowedAccountIds") or "[]")
        tags = _decoded(settings.get("defaultTags") or "{}").get("tags") or {}
        known = Scope(default_tags=dict(tags))
        region = str(settings.get("region") or known.region)
        self.settled(Scope(region, str(accounts[0]) if accounts else known.account, known.default_tags))
        return await super().configure(request)

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        """Validates against the SDK's schema and adds the generated name and the provider's tags."""
        token, inputs = _token(request.type), _plain(request.new_inputs)
        failures = [api.CheckFailure(problem.path, problem.sentence) for problem in schema.problems(token, inputs)]
        if not self.knows(token):
            failures.append(
                api.CheckFailure("", f"{token} is neither modelled nor recorded: add it to provider/table.py")
            )
        if failures:
            return api.CheckResponse(request.new_inputs, failures)
        kept = {key: _plain_value(value) for key, value in request.old_inputs.items() if key in ("name", "bucket")}
        checked = check(Checked(request.urn, token, request.name, {**kept, **inputs}, self.scope))
        added = {key: _wire(value) for key, value in checked.inputs.items() if key not in request.new_inputs}
        return api.CheckResponse({**request.new_inputs, **added})

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        """Every changed input replaces the resource; outputs that no input gave do not count."""
        old, new = _plain(request.old_state), _plain(request.new_inputs)
        changed = sorted(key for key in new if old.get(key) != new[key] and key not in request.ignore_changes)
        return api.DiffResponse(bool(changed), changed, delete_before_replace=True, diffs=changed)

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        if request.preview:
            return api.CreateResponse(None, request.properties)
        inputs = _plain(request.properties)
        identifier, outputs = self.created(Checked(request.urn, _token(request.type), request.name, inputs, self.scope))
        added = {key: _wire(value) for key, value in outputs.items() if key not in request.properties}
        return api.CreateResponse(identifier, {**request.properties, **added})

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        known = _plain(request.properties)
        found = self.read_back(_token(request.type), request.resource_id, known)
        if found is None:
            return api.ReadResponse("", {}, {})
        added = {key: _wire(value) for key, value in found.items() if key not in known}
        return api.ReadResponse(request.resource_id, {**request.properties, **added}, request.inputs)

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        raise ValueError(f"{request.type} cannot be updated in place; every change is a replacement")

    async def delete(self, request: api.DeleteRequest) -> None:
        self.deleted(_token(request.type), request.resource_id, _plain(request.properties))

    async def invoke(self, request: api.InvokeRequest) -> api.InvokeResponse:
        answer = self.answered(request.tok, _plain(request.args))
        if answer is None:
            raise NotImplementedError(f"the provider does not answer {request.tok}")
        return api.InvokeResponse({key: _wire(value) for key, value in answer.items()})


def _token(qualified: str) -> str:
    """A URN holds the types of all parents; the last is the resource's own."""
    return qualified.rpartition("$")[2]


def _unqualified(variables: Mapping[str, str]) -> dict[str, str]:
    """`aws:config:region` → `region`."""
    return {name.rpartition(":")[2]: value for name, value in variables.items()}


def _plain(properties: Mapping[str, PropertyValue]) -> dict[str, Json]:
    return {key: _plain_value(value) for key, value in properties.items()}


def _plain_value(value: PropertyValue) -> Json:
    return plain(value.marshal())


def _decoded(value: Json) -> Json:
    """Provider settings travel as JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def _wire(value: Json) -> PropertyValue:
    if isinstance(value, list):
        return PropertyValue([_wire(item) for item in value])
    if isinstance(value, Mapping):
        return PropertyValue({key: _wire(item) for key, item in value.items()})
    if value == UNKNOWN:
        return PropertyValue.computed()
    # Numbers are floats on the wire, and the SDK takes no others.
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)
