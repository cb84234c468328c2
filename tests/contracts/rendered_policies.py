"""The policies that our programs render, put to the evaluator the way AWS would combine them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from stacks.local import engine
from stacks.local.iam.pattern import ContextValue
from stacks.local.policy_evaluator import Decision, PolicyDocument, Request, evaluate
from tests.contracts.programs import captured, of_type
from tests.stacks.configurations import environment_values

Context = Mapping[str, ContextValue]


@dataclass(frozen=True)
class Policies:
    """Everything one environment's platform and workload deployed that decides about requests."""

    resources: tuple[engine.Resource, ...]
    account: str
    region: str

    def role(self, name: str) -> str:
        """The ARN of a role by the last part of its name: `gateway-ingest`."""
        return next(str(one.outputs["arn"]) for one in self._all("Role") if one.name == f"{name}-role")

    def bucket(self, name: str) -> str:
        return f"arn:aws:s3:::{self._named('Bucket', f'{name}-bucket', name).outputs['bucket']}"

    def key(self, name: str) -> str:
        return str(self._named("Key", f"{name}-key").outputs["arn"])

    def keys(self) -> dict[str, str]:
        return {one.name: str(one.outputs["arn"]) for one in self._all("Key")}

    def profile(self, model: str) -> str:
        return str(self._named("InferenceProfile", f"{model}-profile").outputs["arn"])

    @property
    def guardrail(self) -> str:
        """As requests name it: ARN and version."""
        [version] = self._all("GuardrailVersion")
        return f"{version.inputs['guardrailArn']}:{version.outputs['version']}"

    def identity(self, role_arn: str) -> list[PolicyDocument]:
        name = role_arn.rpartition("/")[2]
        return [one.inputs["policy"] for one in self._all("RolePolicy") if one.inputs["role"] == name]

    def trust(self, role_arn: str) -> list[PolicyDocument]:
        return [one.inputs["assumeRolePolicy"] for one in self._all("Role") if one.outputs["arn"] == role_arn]

    def endpoint(self, service: str) -> list[PolicyDocument]:
        """The policy of the VPC's endpoint for a service: `s3`, `bedrock-runtime`."""
        return [self._endpoint(service).inputs["policy"]]

    def endpoint_id(self, service: str) -> str:
        return str(self._endpoint(service).id)

    def of_resource(self, arn: str) -> list[PolicyDocument]:
        """Bucket, key, queue or trust policy."""
        if arn.startswith("arn:aws:s3:::"):
            bucket = arn.removeprefix("arn:aws:s3:::").split("/")[0]
            return [one.inputs["policy"] for one in self._all("BucketPolicy") if one.inputs["bucket"] == bucket]
        if ":key/" in arn:
            return [one.inputs["policy"] for one in self._all("Key") if one.outputs["arn"] == arn]
        if arn.startswith("arn:aws:sqs:"):
            name = arn.rpartition(":")[2]
            return [one.inputs["policy"] for one in self._all("QueuePolicy") if f'{name}"' in one.inputs["policy"]]
        return self.trust(arn) if ":role/" in arn else []

    def decide(
        self,
        principal: str,
        action: str,
        resource: str,
        context: Context | None = None,
        *,
        identity: list[PolicyDocument] | None = None,
        through: str = "",
        vpc: Policies | None = None,
    ) -> Decision:
        """Who asks, for what, under which circumstances; `through` names an endpoint (of `vpc`, or our own)."""
        way: Context = {"aws:SourceVpce": (vpc or self).endpoint_id(through)} if through else {}
        request = Request(
            principal,
            action,
            resource,
            {**_TLS, **_membership(principal), **way, **(context or {})},
            resource_account=self.account,
        )
        return evaluate(
            request,
            identity=self.identity(principal) if identity is None else identity,
            resource=self.of_resource(resource),
            endpoint=(vpc or self).endpoint(through) if through else (),
        )

    def _endpoint(self, service: str) -> engine.Resource:
        suffix = f".{service}"
        found = [one for one in self._all("VpcEndpoint") if one.inputs["serviceName"].endswith(suffix)]
        assert len(found) == 1, service
        return found[0]

    def _all(self, kind: str) -> list[engine.Resource]:
        return [one for one in self.resources if one.type.rpartition(":")[2] == kind]

    def _named(self, kind: str, *names: str) -> engine.Resource:
        found = [one for one in self._all(kind) if one.name in names]
        assert len(found) == 1, f"{kind} {names}: {[one.name for one in self._all(kind)]}"
        return found[0]


def _membership(principal: str) -> Context:
    """AWS names the organization of whoever calls from one of its accounts."""
    values = environment_values("prod")
    ours = any(f":{account}:" in principal for account in values["accounts"].values())
    return {"aws:PrincipalOrgID": values["organization"]["id"]} if ours else {}


_TLS: Context = {"aws:SecureTransport": True, "s3:TlsVersion": "1.3"}


@functools.cache
def policies(environment: str) -> Policies:
    platform, workload = (captured(program, environment) for program in ("platform", "document_assistant"))
    account = str(of_type(platform, "Role")[0].outputs["arn"]).split(":")[4]
    region = str(of_type(platform, "Key")[0].outputs["arn"]).split(":")[3]
    return Policies((*platform.resources, *workload.resources), account, region)
