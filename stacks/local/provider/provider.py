"""The provider for moto: AWS resources created through the AWS API on loopback, and backed by the local parts.

The same object serves our own engine, which calls it through the protocol, and the real one, to which it
attaches (`PULUMI_DEBUG_PROVIDERS`, see serve.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from botocore.exceptions import ClientError

from stacks.local.engine_backend import Checked, Scope, fact, invented_arn, invented_id, invented_outputs
from stacks.local.engine_graph import Json
from stacks.local.engine_shapes import aws_shape
from stacks.local.provider import containers, ec2
from stacks.local.provider.aws_calls import Aws, Endpoint
from stacks.local.provider.kinds import Kind, refuse_differences
from stacks.local.provider.parts_of import Parts
from stacks.local.provider.recording import RecordingProvider
from stacks.local.provider.table import BACKED, MODELLED, RECORDED


class MotoProvider(RecordingProvider):
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
        self._aws = self._aws_as(deployer_role, self.scope.region)

    def _aws_as(self, role: str, region: str) -> Aws:
        return Aws(self.endpoint, region, self._parts, self._starts_services, role)

    # --- what the local platform asks beside the protocol

    def client(self, service: str) -> Json:
        """A boto3 client that acts as the deployer."""
        return self._aws.client(service)

    def task_environment(self, definition: str) -> Mapping[str, str]:
        """The environment that a task of this definition is given, credentials of its role included."""
        return containers.task_environment(self._aws, definition)

    def run_task(self, definition: str, *, timeout_s: float = 120.0) -> str:
        """Runs a one-off task from its registered definition; returns the path of its log."""
        return containers.run_task(self._aws, definition, timeout_s=timeout_s)

    def start_service(self, service: str, definition: str) -> None:
        """Starts the process of an ECS service from its registered definition."""
        containers.start_service(self._aws, service, definition)

    # --- what the protocol asks

    def models(self, token: str) -> bool:
        return self._kind(token) is not None

    def knows(self, token: str) -> bool:
        return token in MODELLED or token in RECORDED

    def _kind(self, token: str) -> Kind | None:
        if token in BACKED and self._parts is not None:
            return BACKED[token]
        return MODELLED.get(token)

    def settled(self, scope: Scope) -> None:
        if scope.region != self._aws.region:
            self._aws = self._aws_as(self._deployer_role, scope.region)
        self.scope = replace(scope, account=self._aws.account)

    def created(self, resource: Checked) -> tuple[str, dict[str, Json]]:
        kind = self._kind(resource.type)
        if kind is None:
            return self._recorded(resource)
        made = kind.create(self._aws, resource.inputs)
        read = kind.read(self._aws, made.id, {**resource.inputs, **made.outputs})
        if read is None:
            raise LookupError(f"{resource.type} was created as {made.id} and cannot be read back")
        refuse_differences(resource.inputs, read)
        return made.id, self._completed(resource, made.id, {**made.outputs, **read})

    def _recorded(self, resource: Checked) -> tuple[str, dict[str, Json]]:
        """Accepted against the schema, created nowhere: only what names it has a value."""
        identifier = invented_id(resource)
        names, _why = RECORDED[resource.type]
        named = {name: _name_output(name, resource, identifier) for name in names}
        return identifier, self._completed(resource, identifier, named)

    def _completed(self, resource: Checked, identifier: str, outputs: dict[str, Json]) -> dict[str, Json]:
        return {**invented_outputs(resource, identifier), **outputs} if self._invents else outputs

    def read_back(self, token: str, identifier: str, state: dict[str, Json]) -> dict[str, Json] | None:
        kind = self._kind(token)
        return {} if kind is None else kind.read(self._aws, identifier, state)

    def deleted(self, token: str, identifier: str, state: dict[str, Json]) -> None:
        kind = self._kind(token)
        if kind is None:
            return
        try:
            kind.delete(self._aws, identifier, state)
        except ClientError as error:
            if not self._break_glass_role or error.response["Error"]["Code"] != "AccessDenied":
                raise
            kind.delete(self._aws_as(self._break_glass_role, self._aws.region), identifier, state)

    def answered(self, token: str, arguments: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Account, zones and networks from the AWS API; what follows from the region alone, from the region."""
        if token in ec2.FUNCTIONS:
            return ec2.FUNCTIONS[token](self._aws, arguments)
        facts = fact(token, self.scope)
        if token.endswith(":getCallerIdentity"):
            identity = self._aws.client("sts").get_caller_identity()
            return {"accountId": identity["Account"], "arn": identity["Arn"], "userId": identity["UserId"]}
        if token.endswith(":getAvailabilityZones"):
            zones = self._aws.client("ec2").describe_availability_zones()["AvailabilityZones"]
            names, ids = [zone["ZoneName"] for zone in zones], [zone["ZoneId"] for zone in zones]
            return {**(facts or {}), "names": names, "zoneIds": ids}
        return facts


def _name_output(name: str, resource: Checked, identifier: str) -> str:
    """What names a resource, in AWS's own form: policy documents are made of it and judged by it."""
    scope = resource.scope
    shaped = aws_shape(
        resource.type, name, urn=resource.urn, identifier=identifier, region=scope.region, account=scope.account
    )
    if shaped:
        return shaped
    if name.lower().endswith("arn"):
        return invented_arn(resource, identifier)
    return {"version": "1", "ownerId": resource.scope.account}.get(name, identifier)
