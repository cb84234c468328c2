"""Requests judged as AWS would: the captured policies of both sides, and the organization's policies around them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from components.organization_policies import OrganizationPolicy, PolicyType
from stacks.environment import EnvironmentName
from stacks.governance import Governance
from stacks.local.iam.pattern import ContextValue
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Decision, PolicyDocument, Request, evaluate
from stacks.organization.policies import organization_policies
from tests.contracts.rendered_policies import policies
from tests.stacks.configurations import changed, governance_values

Context = Mapping[str, ContextValue]
ANYTHING: list[PolicyDocument] = [FULL_AWS_ACCESS]  # the worst case: an administrator
ELSEWHERE = "999988887777"  # an account of nobody we know, outside the organization
NETWORKS = {name: f"vpc-{number:017x}" for number, name in enumerate(("dev", "staging", "prod"), 1)}
LAYERS = ("scp", "rcp", "endpoint", "resource")

# What would be left of a resource's protection if its policy let everybody in.
_OPEN: PolicyDocument = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}
_OPEN_TRUST: PolicyDocument = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}],
}


@functools.cache
def governance() -> Governance:
    """As it is configured once the platforms exist: with their networks."""
    networks = {f"environments.{name}.vpc_ids": [vpc] for name, vpc in NETWORKS.items()}
    return Governance.load(changed(governance_values(), networks))


@functools.cache
def attached(environment: str) -> tuple[OrganizationPolicy, ...]:
    """Every policy that binds this environment's account."""
    governed = governance()
    units = {governed.workloads_unit_id, governed.environments[EnvironmentName(environment)].unit_id}
    return tuple(policy for policy in organization_policies(governed) if units & set(policy.targets))


def organization_layer(environment: str, kind: PolicyType) -> list[PolicyDocument]:
    documents: list[PolicyDocument] = [one.content for one in attached(environment) if one.kind is kind]
    return [FULL_AWS_ACCESS, *documents] if kind is PolicyType.SERVICE_CONTROL else documents


@dataclass(frozen=True)
class Call:
    """One request between environments. `caller` and `owner` are environments, or empty for outsiders.

    `network` is the environment whose VPC the request leaves through; `endpoint` the service of that endpoint.
    """

    principal: str
    action: str
    resource: str
    caller: str
    owner: str
    network: str = ""
    endpoint: str = ""
    context: Context = field(default_factory=dict)
    identity: tuple[PolicyDocument, ...] = tuple(ANYTHING)

    def judged(self, *, without: str = "") -> Decision:
        """`without` names a layer that is gone: deleted, detached, or opened to everybody."""
        given = {
            "scp": organization_layer(self.caller, PolicyType.SERVICE_CONTROL) if self.caller else (),
            "rcp": organization_layer(self.owner, PolicyType.RESOURCE_CONTROL) if self.owner else (),
            "endpoint": policies(self.network).endpoint(self.endpoint) if self.endpoint else (),
            "resource": policies(self.owner).of_resource(self.resource) if self.owner else [_OPEN],
        }
        if without:
            opened = [_OPEN_TRUST if ":role/" in self.resource else _OPEN]
            given[without] = opened if without == "resource" else ()
        account = policies(self.owner).account if self.owner else ELSEWHERE
        request = Request(self.principal, self.action, self.resource, self._context(), resource_account=account)
        return evaluate(
            request,
            identity=list(self.identity),
            resource=given["resource"],
            scp=given["scp"],
            rcp=given["rcp"],
            endpoint=given["endpoint"],
        )

    def _context(self) -> dict[str, ContextValue]:
        found: dict[str, ContextValue] = {"aws:SecureTransport": True, "s3:TlsVersion": "1.3"}
        found["aws:RequestedRegion"] = "us-east-1"
        if self.caller:
            found |= {
                "aws:PrincipalOrgID": governance().organization_id,
                "aws:PrincipalOrgPaths": (_path(self.caller),),
            }
        if self.owner:
            found |= {"aws:ResourceOrgID": governance().organization_id, "aws:ResourceOrgPaths": (_path(self.owner),)}
        if self.network:
            account = policies(self.network).account
            found |= {"aws:SourceVpc": NETWORKS[self.network], "aws:VpceAccount": account}
        if ":key/" in self.resource and self.caller:
            found["kms:CallerAccount"] = policies(self.caller).account
        return found | dict(self.context)


def _path(environment: str) -> str:
    """As AWS gives it: down to the unit that holds the account."""
    return governance().path(EnvironmentName(environment)).removesuffix("*")


def role_of(environment: str, name: str) -> str:
    """A role that the programs name but do not make: administrators, deployers, break-glass."""
    return f"arn:aws:iam::{policies(environment).account}:role/{name}"
