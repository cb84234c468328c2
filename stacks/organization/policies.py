"""Which policy binds whom: the whole list, from the configuration alone."""

from __future__ import annotations

from collections.abc import Iterator

from components import resource_control_policies as rcp
from components import service_control_policies as scp
from components.organization_policies import OrganizationPolicy, PolicyType, guardrail_policy
from stacks.environment import EnvironmentName
from stacks.governance import Governance, GovernedEnvironment
from stacks.names import Names


def organization_policies(governance: Governance) -> tuple[OrganizationPolicy, ...]:
    """What binds every environment, then what differs between them."""
    return (
        *_of_all(governance),
        *(policy for name in governance.environments for policy in _of_one(governance, name)),
    )


def _of_all(governance: Governance) -> Iterator[OrganizationPolicy]:
    administrators = scp.Administrators(governance.deployer_arns, governance.break_glass_arns)
    documents = {
        "models": (
            "Models of the list, through our profiles, on the logged endpoint",
            scp.models(governance.account_ids, governance.allowed_models),
        ),
        "credentials": ("No keys that outlive a session", scp.credentials()),
        "regions": ("Approved Regions only", scp.regions(governance.allowed_regions, administrators)),
        "evidence": ("Records and keys are destroyed by nobody but break-glass", scp.evidence(administrators)),
    }
    for name, (description, content) in documents.items():
        targets = [governance.workloads_unit_id]
        yield OrganizationPolicy(name, PolicyType.SERVICE_CONTROL, description, content, targets)


def _of_one(governance: Governance, name: EnvironmentName) -> Iterator[OrganizationPolicy]:
    environment = governance.environments[name]
    targets = [environment.unit_id]
    administrators = scp.Administrators(
        [environment.role_arn(role) for role in environment.deployer_roles],
        [environment.role_arn(environment.break_glass_role)],
    )
    walls = _walls(governance, name)
    names = Names(name.value, environment.account_id, governance.region)
    callers = (names.serve_role, names.ingest_role)
    service = {
        "model-records": (
            "Only the gateway calls models; guardrails and logs stay",
            scp.model_records(administrators, [environment.role_arn(role) for role in callers]),
        ),
        "sharing": ("Nothing is shared on the side", scp.sharing(administrators)),
        "separation": ("No way into another environment", scp.separation(walls, administrators)),
        "creation": ("Tagged when created", scp.creation(walls, small=name is EnvironmentName.DEV)),
    }
    for concern, (description, content) in service.items():
        yield OrganizationPolicy(f"{name}-{concern}", PolicyType.SERVICE_CONTROL, description, content, targets)
    perimeter = _perimeter(governance, name)
    yield OrganizationPolicy(
        f"{name}-principals",
        PolicyType.RESOURCE_CONTROL,
        "Principals of this environment only",
        rcp.own_principals(perimeter),
        targets,
    )
    if environment.vpc_ids:
        yield OrganizationPolicy(
            f"{name}-networks",
            PolicyType.RESOURCE_CONTROL,
            "Networks of this environment only",
            rcp.own_networks(perimeter),
            targets,
        )
    if environment.guardrails:
        content = guardrail_policy({str(region): arn for region, arn in environment.guardrails.items()})
        yield OrganizationPolicy(
            f"{name}-guardrails", PolicyType.BEDROCK, "The guardrail on every model call", content, targets
        )


def _walls(governance: Governance, name: EnvironmentName) -> scp.Walls:
    """Staging alone may read above: released data sets, in the one role that takes them in."""
    downward = scp.DownwardPath(reader_arn(governance)) if name is EnvironmentName.STAGING else None
    return scp.Walls(
        environment=name.value,
        organization_id=governance.organization_id,
        account_id=governance.environments[name].account_id,
        paths_of_others=[governance.path(other) for other in governance.environments if other is not name],
        downward=downward,
    )


def _perimeter(governance: Governance, name: EnvironmentName) -> rcp.Perimeter:
    environment = governance.environments[name]
    return rcp.Perimeter(
        organization_id=governance.organization_id,
        path=governance.path(name),
        vpc_ids=environment.vpc_ids,
        outside_networks=[
            environment.role_arn(role) for role in (*environment.deployer_roles, environment.break_glass_role)
        ],
        release=_release(governance, environment) if name is EnvironmentName.PROD else None,
    )


def _release(governance: Governance, production: GovernedEnvironment) -> rcp.Release:
    names = Names(EnvironmentName.PROD.value, production.account_id, governance.region)
    return rcp.Release(
        reader_arn=reader_arn(governance),
        objects=f"{names.bucket_arn('release')}/*",
        keys=f"arn:aws:kms:*:{production.account_id}:key/*",
    )


def reader_arn(governance: Governance) -> str:
    """The role of staging that takes released data sets in."""
    staging = governance.environments[EnvironmentName.STAGING]
    names = Names(EnvironmentName.STAGING.value, staging.account_id, governance.region)
    return names.role_arn(names.import_role)
