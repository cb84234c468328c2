"""The organization program against moto's organization: every policy is made, attached and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stacks.local import engine
from stacks.local.provider.provider import MotoProvider
from tests.stacks.configurations import ORGANIZATION, changed, governance_values

KEY = "llm-pipelines-organization:governance"
Client = Callable[[str], Any]


@pytest.fixture
def configuration(client: Client, provider: MotoProvider) -> dict[str, Any]:
    """The configuration as it is written, with the ids of an organization that exists, and its archive."""
    archive = governance_values()["trail"]["bucket_name"]
    client("s3").create_bucket(Bucket=archive, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    organizations = client("organizations")
    made = organizations.create_organization(FeatureSet="ALL")["Organization"]
    root = organizations.list_roots()["Roots"][0]["Id"]

    def unit(parent: str, name: str) -> str:
        answer = organizations.create_organizational_unit(ParentId=parent, Name=name)
        return str(answer["OrganizationalUnit"]["Id"])

    workloads = unit(root, "workloads")
    ids = {"organization_id": made["Id"], "root_id": root, "workloads_unit_id": workloads}
    ids |= {"management_account_id": made["MasterAccountId"]}
    ids |= {f"environments.{name}.unit_id": unit(workloads, name) for name in ("dev", "staging", "prod")}
    return changed(governance_values(), ids)


def test_every_policy_is_made_and_attached(
    configuration: dict[str, Any], client: Client, provider: MotoProvider
) -> None:
    deployment = engine.run(ORGANIZATION, "organization", config={KEY: json.dumps(configuration)}, provider=provider)
    organizations = client("organizations")
    prod = configuration["environments"]["prod"]["unit_id"]
    attached = {
        kind: sorted(
            one["Name"] for one in organizations.list_policies_for_target(TargetId=prod, Filter=kind)["Policies"]
        )
        for kind in ("SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY")
    }
    [trail] = client("cloudtrail").describe_trails()["trailList"]
    concerns = ("creation", "model-records", "separation", "sharing")

    assert deployment.messages == ()
    assert set(attached["SERVICE_CONTROL_POLICY"]) - {"FullAWSAccess"} == {
        f"llm-pipelines-prod-{concern}" for concern in concerns
    }
    assert (trail["Name"], trail["IsMultiRegionTrail"]) == ("llm-pipelines-organization-trail", True)
    assert set(attached["RESOURCE_CONTROL_POLICY"]) - {"RCPFullAWSAccess"} == {"llm-pipelines-prod-principals"}


def test_policies_are_protected_and_leave_nothing_when_forced(
    configuration: dict[str, Any], client: Client, provider: MotoProvider
) -> None:
    deployment = engine.run(ORGANIZATION, "organization", config={KEY: json.dumps(configuration)}, provider=provider)

    with pytest.raises(engine.EngineError, match="is protected; nothing was deleted"):
        engine.destroy(deployment, provider)

    engine.destroy(deployment, provider, force=True)
    left = client("organizations").list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
    assert [one["Name"] for one in left if not one["AwsManaged"]] == []
