"""The provider: Pulumi's provider interface in front of moto and the local parts.

The same object serves our own engine, which calls it through the protocol, and the real one, to which it
attaches (`PULUMI_DEBUG_PROVIDERS`, see serve.py). It starts from nothing every time: no state is kept
between two runs, so a change of a modelled resource is a replacement.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping

from botocore.exceptions import ClientError
from pulumi.provider.experimental import provider as api
from pulumi.provider.experimental.property_value import PropertyValue

from stacks.local import schema
from stacks.local.engine_backend import Checked, Scope, check, fact, invented_arn, invented_id, invented_outputs
from stacks.local.engine_graph import UNKNOWN, Json
from stacks.local.engine_shapes import aws_shape
from stacks.local.engine_values import plain
from stacks.local.provider import containers
from stacks.local.provider.aws_calls import Aws, Endpoint
from stacks.local.provider.kinds import Kind, refuse_differences
from stacks.local.provider.parts_of import Parts
from stacks.local.provider.table import BACKED, MODELLED, RECORDED

Properties = dict[str, PropertyValue]


class MotoProvider(api.Provider):
    """AWS resources, created on loopback.

    `parts` back databases, caches and services; without them these are as moto has them. `invents`
    fills the outputs that nobody can produce, for the real engine, which knows no unknown after `up`.
    `starts_services=False` leaves ECS services to `start_service`, so that a migration can run first.
    `deployer_role` names the role that the deployment acts in, `break_glass_role` the one that deletes what
    a resource policy keeps from the deployer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        parts: Parts | None = None,
        invents: bool = False,
        starts_services: bool = True,
        deployer_role: str = "",
        break_glass_role: str = "",
    ) -> None:
        self.endpoint = endpoint
        self._parts = parts
        self._invents = invents
        self._starts_services = starts_services and parts is not None
        self._deployer_role = deployer_role
        self._break_glass_role = break_glass_role
        self._scope = Scope()
        self._aws = self._aws_in(self._scope)

    def _aws_in(self, scope: Scope) -> Aws:
        return self._aws_as(self._deployer_role, scope)

    def _aws_as(self, role: str, scope: Scope) -> Aws:
        return Aws(self.endpoint, scope.region, self._parts, self._starts_services, role)

    # --- what the local platform asks beside the protocol

    def models(self, token: str) -> bool:
        """True for what is created and read back, false for what is only recorded."""
        return self._kind(token) is not None

    def client(self, service: str) -> Json:
        """A boto3 client that acts as the deployer."""
        return self._aws.client(service)

    def run_task(self, definition: str, *, timeout_s: float = 120.0) -> str:
        """Runs a one-off task from its registered definition; returns the path of its log."""
        return containers.run_task(self._aws, definition, timeout_s=timeout_s)

    def task_environment(self, definition: str) -> Mapping[str, str]:
        """The environment that a task of this definition is given, credentials of its role included."""
        return containers.task_environment(self._aws, definition)

    def start_service(self, service: str, definition: str) -> None:
        """Starts the process of an ECS service from its registered definition."""
        containers.start_service(self._aws, service, definition)

    def _kind(self, token: str) -> Kind | None:
        if token in BACKED and self._parts is not None:
            return BACKED[token]
        return MODELLED.get(token)

    # --- Pulumi's provider interface

    async def get_schema(self, request: api.GetSchemaRequest) -> api.GetSchemaResponse:
        version = importlib.metadata.version("pulumi-aws")
        return api.GetSchemaResponse(json.dumps({"name": "aws", "version": version}))

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        settings = _plain(request.args)
        region = settings.get("region") or request.variables.get("aws:config:region") or self._scope.region
        tags = _decoded(settings.get("defaultTags") or request.variables.get("aws:config:defaultTags") or "{}")
        if region != self._aws.region:
            self._aws = self._aws_in(Scope(region=str(region)))
        self._scope = Scope(str(region), self._aws.account, dict(tags.get("tags") or {}))
        return await super().configure(request)

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        """Validates against the SDK's schema and adds the generated name and the provider's tags."""
        token, inputs = _token(request.type), _plain(request.new_inputs)
        failures = [api.CheckFailure(problem.path, problem.sentence) for problem in schema.problems(token, inputs)]
        if not self.models(token) and token not in RECORDED:
            failures.append(
                api.CheckFailure("", f"{token} is neither modelled nor recorded: add it to provider/table.py")
            )
        if failures:
            return api.CheckResponse(request.new_inputs, failures)
        kept = {key: _plain_value(value) for key, value in request.old_inputs.items() if key in ("name", "bucket")}
        checked = check(Checked(request.urn, token, request.name, {**kept, **inputs}, self._scope))
        added = {key: _wire(value) for key, value in checked.inputs.items() if key not in request.new_inputs}
        return api.CheckResponse({**request.new_inputs, **added})

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        """Every change replaces: nothing is updated in place. Only inputs count, not what reading back added."""
        old, new = _plain(request.old_state), _plain(request.new_inputs)
        changed = sorted(
            key for key in new if key in old and old[key] != new[key] and key not in request.ignore_changes
        )
        changed += sorted(key for key in new if key not in old and key not in request.ignore_changes)
        return api.DiffResponse(bool(changed), changed, delete_before_replace=True, diffs=changed)

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        if request.preview:
            return api.CreateResponse(None, request.properties)
        token, inputs = _token(request.type), _plain(request.properties)
        resource = Checked(request.urn, token, request.name, inputs, self._scope)
        identifier, outputs = self._created(resource)
        added = {key: _wire(value) for key, value in outputs.items() if key not in request.properties}
        return api.CreateResponse(identifier, {**request.properties, **added})

    def _created(self, resource: Checked) -> tuple[str, dict[str, Json]]:
        kind = self._kind(resource.type)
        if kind is None:
            return self._recorded(resource)
        made = kind.create(self._aws, resource.inputs)
        read = kind.read(self._aws, made.id, {**resource.inputs, **made.outputs})
        if read is None:
            raise LookupError(f"{resource.type} was created as {made.id} and cannot be read back")
        refuse_differences(resource.inputs, read)
        return made.id, self._completed(resource, made.id, {**made.outputs, **read})

    def _completed(self, resource: Checked, identifier: str, outputs: dict[str, Json]) -> dict[str, Json]:
        return {**invented_outputs(resource, identifier), **outputs} if self._invents else outputs

    def _recorded(self, resource: Checked) -> tuple[str, dict[str, Json]]:
        """Accepted against the schema, created nowhere: only what names it has a value."""
        identifier = invented_id(resource)
        names, _why = RECORDED[resource.type]
        named = {name: _name_output(name, resource, identifier) for name in names}
        return identifier, self._completed(resource, identifier, named)

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        token, known = _token(request.type), _plain(request.properties)
        kind = self._kind(token)
        if kind is None:
            return api.ReadResponse(request.resource_id, request.properties, request.inputs)
        found = kind.read(self._aws, request.resource_id, known)
        if found is None:
            return api.ReadResponse("", {}, {})
        state = {**request.properties, **{key: _wire(value) for key, value in found.items() if key not in known}}
        return api.ReadResponse(request.resource_id, state, request.inputs)

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        raise ValueError(f"{request.type} cannot be updated in place; every change is a replacement")

    async def delete(self, request: api.DeleteRequest) -> None:
        kind = self._kind(_token(request.type))
        if kind is not None:
            self._delete(kind, request.resource_id, _plain(request.properties))

    def _delete(self, kind: Kind, identifier: str, state: dict[str, Json]) -> None:
        try:
            kind.delete(self._aws, identifier, state)
        except ClientError as error:
            if not self._break_glass_role or error.response["Error"]["Code"] != "AccessDenied":
                raise
            kind.delete(self._aws_as(self._break_glass_role, self._scope), identifier, state)

    async def invoke(self, request: api.InvokeRequest) -> api.InvokeResponse:
        answer = self._answer(request.tok)
        if answer is None:
            raise NotImplementedError(f"the provider does not answer {request.tok}")
        return api.InvokeResponse({key: _wire(value) for key, value in answer.items()})

    def _answer(self, token: str) -> Mapping[str, Json] | None:
        """Account and zones from the AWS API; what follows from the region alone, from the region."""
        facts = fact(token, self._scope)
        if token.endswith(":getCallerIdentity"):
            identity = self._aws.client("sts").get_caller_identity()
            return {"accountId": identity["Account"], "arn": identity["Arn"], "userId": identity["UserId"]}
        if token.endswith(":getAvailabilityZones"):
            zones = self._aws.client("ec2").describe_availability_zones()["AvailabilityZones"]
            return {
                **(facts or {}),
                "names": [zone["ZoneName"] for zone in zones],
                "zoneIds": [zone["ZoneId"] for zone in zones],
            }
        return facts


def _name_output(name: str, resource: Checked, identifier: str) -> str:
    scope = resource.scope
    shaped = aws_shape(
        resource.type, name, urn=resource.urn, identifier=identifier, region=scope.region, account=scope.account
    )
    if shaped:
        return shaped
    if name.lower().endswith("arn"):
        return invented_arn(resource, identifier)
    return {"version": "1", "ownerId": resource.scope.account}.get(name, identifier)


def _token(qualified: str) -> str:
    """A URN holds the types of all parents; the last is the resource's own."""
    return qualified.rpartition("$")[2]


def _plain(properties: Mapping[str, PropertyValue]) -> dict[str, Json]:
    return {key: _plain_value(value) for key, value in properties.items()}


def _plain_value(value: PropertyValue) -> Json:
    return plain(value.marshal())


def _decoded(value: Json) -> dict[str, Json]:
    decoded: dict[str, Json] = json.loads(value) if isinstance(value, str) else value
    return decoded


def _wire(value: Json) -> PropertyValue:
    if isinstance(value, list):
        return PropertyValue([_wire(item) for item in value])
    if isinstance(value, Mapping):
        return PropertyValue({key: _wire(item) for key, item in value.items()})
    if value == UNKNOWN:
        return PropertyValue.computed()
    # Numbers are floats on the wire, and the SDK takes no others.
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)
