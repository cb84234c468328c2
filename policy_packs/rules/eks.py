"""EKS: a cluster's API is private, logged, and lets nobody in unnamed; secrets under our key, nodes without SSH."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

CLUSTER: Final = "aws:eks/cluster:Cluster"
NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
_LOG_TYPES: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")


def _cluster(**props: object) -> Resource:
    return Resource.example(CLUSTER, props)


def _private(cluster: Resource) -> Iterator[Outcome]:
    public = cluster.at("vpcConfig.endpointPublicAccess")
    private = cluster.at("vpcConfig.endpointPrivateAccess")
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
    neighbours={
        "address ranges of a public address that is off": _cluster(
            vpcConfig={
                "endpointPublicAccess": False,
                "endpointPrivateAccess": True,
                "publicAccessCidrs": ["0.0.0.0/0"],
            }
        )
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
        **{
            f"without the log '{off}'": _cluster(enabledClusterLogTypes=[one for one in _LOG_TYPES if one != off])
            for off in ("api", "audit", "authenticator", "controllerManager", "scheduler")
        },
        "none": _cluster(enabledClusterLogTypes=[]),
    },
    neighbours={"one that AWS has yet to name": _cluster(enabledClusterLogTypes=[*_LOG_TYPES, "tomorrow"])},
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
    neighbours={
        "a key that AWS calls by its id": _cluster(
            encryptionConfig={
                "resources": ["secrets"],
                "provider": {"keyArn": "arn:aws:kms:eu-central-1:111122223333:key/1"},
            }
        )
    },
)


def _by_api(cluster: Resource) -> Iterator[Outcome]:
    mode = cluster.at("accessConfig.authenticationMode")
    creator = cluster.at("accessConfig.bootstrapClusterCreatorAdminPermissions")
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
    neighbours={
        "an administrator by an access entry": Resource.example(
            "aws:eks/accessEntry:AccessEntry", {"principalArn": "arn:aws:iam::111122223333:role/operator"}
        )
    },
)


def _supported(cluster: Resource) -> Iterator[Outcome]:
    version, oldest = cluster.at("version"), str(cluster.settings["oldest_version"])
    yield from demand(_is_at_least(version, oldest), "AWS patches it no longer, or charges for it", version)


def _is_at_least(version: View, oldest: str) -> Truth:
    if version.is_unknown:
        return Truth.UNKNOWN
    has_form = re.fullmatch(r"\d+\.\d+", version.text) is not None
    return Truth.of(has_form and _numbers(version.text) >= _numbers(oldest))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


SUPPORTED_VERSION = Rule(
    name="eks-cluster-require-supported-version",
    description="A cluster names a Kubernetes version that is in standard support.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.1",),
        iso27001_2022=("A.8.8", "A.8.19"),
        nist_800_53_r5=("SI-2", "SA-22", "CM-2"),
        atlas=("AML.T0049",),
    ),
    remediation="Set version to one in standard support; oldest_version moves with AWS's calendar of releases.",
    # https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html, November 2026.
    settings={"oldest_version": "1.34"},
    checkov=("CKV_AWS_339",),
    resource_types=(CLUSTER,),
    check=_supported,
    obeys={
        "the oldest": _cluster(version="1.34"),
        "newer": _cluster(version="1.36"),
        "a major": _cluster(version="2.0"),
    },
    breaks={
        "left out: the newest of that day, for ever": _cluster(),
        "older": _cluster(version="1.33"),
        "older, though its text is greater": _cluster(version="1.9"),
        "a number, which is no version": _cluster(version=1.4),
        "no version": _cluster(version="latest"),
    },
    neighbours={"an add-on's version": Resource.example("aws:eks/addon:Addon", {"addonVersion": "v1.0.0"})},
)


def _no_open_ssh(group: Resource) -> Iterator[Outcome]:
    key, sources = group.at("remoteAccess.ec2SshKey"), group.at("remoteAccess.sourceSecurityGroupIds")
    yield from demand(any_of(negate(key.is_given()), sources.is_given()), "AWS opens port 22 to everybody", sources)


def _nodes(**remote_access: object) -> Resource:
    return Resource.example(NODE_GROUP, {"remoteAccess": remote_access})


NO_OPEN_SSH = Rule(
    name="eks-node-group-disallow-open-ssh",
    description="A node group with an SSH key names who reaches the port.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-17"),
        atlas=("AML.T0049",),
    ),
    remediation="Leave remote_access out and use Session Manager, or set source_security_group_ids.",
    checkov=("CKV_AWS_100",),
    resource_types=(NODE_GROUP,),
    check=_no_open_ssh,
    obeys={
        "no key": Resource.example(NODE_GROUP, {"scalingConfig": {"maxSize": 1.0}}),
        "a key and a group": _nodes(ec2SshKey="operators", sourceSecurityGroupIds=["sg-1"]),
    },
    breaks={
        "a key, and AWS's default is everybody": _nodes(ec2SshKey="operators"),
        "a key and no group": _nodes(ec2SshKey="operators", sourceSecurityGroupIds=[]),
    },
    neighbours={
        "groups without a key": _nodes(sourceSecurityGroupIds=["sg-1"]),
        "a launch template, which says it itself": Resource.example(NODE_GROUP, {"launchTemplate": {"id": "lt-1"}}),
    },
)
