"""EKS: a cluster's API is private, logged, and lets nobody in unnamed; its secrets are under our key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of
from policy_packs.view import View

CLUSTER: Final = "aws:eks/cluster:Cluster"
_LOG_TYPES: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")


def _cluster(**props: object) -> Resource:
    return Resource.example(CLUSTER, props)


def _private(cluster: Resource) -> Iterator[Outcome]:
    public = cluster.at("vpcConfig.endpointPublicAccess", absent=True)
    private = cluster.at("vpcConfig.endpointPrivateAccess", absent=False)
    yield from demand(public.equals(False), "the API has a public address", public)
    yield from demand(private.equals(True), "nodes cannot reach the API from inside the VPC", private)


PRIVATE_ENDPOINT = Rule(
    name="eks-cluster-require-private-endpoint",
    description="A cluster's API is reached from inside the VPC only.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0049",),
    ),
    remediation="Set endpoint_public_access=False and endpoint_private_access=True in vpc_config.",
    checkov=("CKV_AWS_38", "CKV_AWS_39"),
    resource_types=(CLUSTER,),
    check=_private,
    obeys={"private only": _cluster(vpcConfig={"endpointPublicAccess": False, "endpointPrivateAccess": True})},
    breaks={
        "left out, and AWS's default is public only": _cluster(vpcConfig={"subnetIds": ["subnet-1"]}),
        "public beside private": _cluster(vpcConfig={"endpointPublicAccess": True, "endpointPrivateAccess": True}),
        "public for one address range": _cluster(
            vpcConfig={"endpointPrivateAccess": True, "publicAccessCidrs": ["192.0.2.0/24"]}
        ),
        "neither": _cluster(vpcConfig={"endpointPublicAccess": False}),
    },
)


def _logged(cluster: Resource) -> Iterator[Outcome]:
    enabled = cluster.at("enabledClusterLogTypes")
    for kind in _LOG_TYPES:
        yield from demand(_includes(enabled, kind), f"the log '{kind}' is off", enabled)


def _includes(listed: View, wanted: str) -> Truth:
    return listed.any(lambda one: one.equals(wanted))


CONTROL_PLANE_LOGS = Rule(
    name="eks-cluster-require-control-plane-logs",
    description="A cluster writes all five logs of its control plane.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.8.16"), nist_800_53_r5=("AU-2", "AU-12"), atlas=("AML.M0024",)
    ),
    remediation="Set enabled_cluster_log_types to api, audit, authenticator, controllerManager and scheduler.",
    checkov=("CKV_AWS_37",),
    resource_types=(CLUSTER,),
    check=_logged,
    obeys={"all five, in any order": _cluster(enabledClusterLogTypes=[*reversed(_LOG_TYPES)])},
    breaks={
        "left out, and AWS's default is none": _cluster(),
        "without the audit log": _cluster(enabledClusterLogTypes=[one for one in _LOG_TYPES if one != "audit"]),
        "none": _cluster(enabledClusterLogTypes=[]),
    },
)


def _secrets_encrypted(cluster: Resource) -> Iterator[Outcome]:
    encryption = cluster.at("encryptionConfig")
    yield from demand(encryption.any(_covers_secrets), "secrets are not encrypted under our key", encryption)


def _covers_secrets(encryption: View) -> Truth:
    return all_of(_includes(encryption.at("resources"), "secrets"), encryption.at("provider.keyArn").is_given())


SECRETS_OWN_KEY = Rule(
    name="eks-cluster-require-own-key-for-secrets",
    description="A cluster encrypts its secrets under a customer managed key.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)", "SC-12"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation='Set encryption_config with provider.key_arn and resources=["secrets"]; it cannot be taken back.',
    checkov=("CKV_AWS_58",),
    resource_types=(CLUSTER,),
    check=_secrets_encrypted,
    obeys={
        "secrets under a key": _cluster(
            encryptionConfig={"resources": ["secrets"], "provider": {"keyArn": "arn:aws:kms:…"}}
        )
    },
    breaks={
        "left out, and AWS's default is a key of its own": _cluster(),
        "no key": _cluster(encryptionConfig={"resources": ["secrets"], "provider": {}}),
        "a key for nothing": _cluster(encryptionConfig={"resources": [], "provider": {"keyArn": "arn:aws:kms:…"}}),
    },
)


def _by_api(cluster: Resource) -> Iterator[Outcome]:
    mode = cluster.at("accessConfig.authenticationMode", absent="CONFIG_MAP")
    creator = cluster.at("accessConfig.bootstrapClusterCreatorAdminPermissions", absent=True)
    yield from demand(mode.equals("API"), "the aws-auth config map lets people in, unseen by AWS", mode)
    yield from demand(creator.equals(False), "whoever creates the cluster is its administrator for ever", creator)


_ACCESS = {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}

API_AUTHENTICATION = Rule(
    name="eks-cluster-require-api-authentication",
    description="Access entries alone say who may use a cluster; its creator is no administrator by accident.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.M0019",),
    ),
    remediation="Set authentication_mode API and bootstrap_cluster_creator_admin_permissions=False in access_config.",
    resource_types=(CLUSTER,),
    check=_by_api,
    obeys={"access entries only": _cluster(accessConfig=_ACCESS)},
    breaks={
        "left out, and AWS's default is the config map": _cluster(),
        "the config map beside access entries": _cluster(
            accessConfig={**_ACCESS, "authenticationMode": "API_AND_CONFIG_MAP"}
        ),
        "the creator is an administrator: AWS's default": _cluster(accessConfig={"authenticationMode": "API"}),
    },
)
