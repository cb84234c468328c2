"""The cluster of our own model servers, as far as AWS makes it: who gets in, what runs on it, in which order."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from components.cluster_addons import POD_ADDONS
from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity
from components.gpu_scheduling import gpu_node_selector, toleration
from components.kubernetes_versions import NOTICE_DAYS, PINNED, Addon
from components.model_serving import NODE_PORT
from components.segmentation import MODEL_NODE_PORT
from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.local import engine
from stacks.preflight.instance_types import INSTANCE_TYPES, VcpuQuota
from tests.contracts.programs import captured, of_type, only, statements
from tests.contracts.rendered_policies import policies
from tests.stacks.configurations import ENVIRONMENTS, changed, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
HOSTING = ("staging", "prod")
EVERY_HOSTING = pytest.mark.parametrize("stack", HOSTING)
Inputs = dict[str, Any]  # Any: a resource's inputs, as JSON
Change = Callable[[engine.Resource], engine.Resource]

CLUSTER = "aws:eks/cluster:Cluster"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
ADDON = "aws:eks/addon:Addon"
ENTRY = "aws:eks/accessEntry:AccessEntry"
ACCESS = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
LISTENER = "aws:lb/listener:Listener"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
NVIDIA = {
    "AL2023_x86_64_NVIDIA",
    "AL2023_ARM_64_NVIDIA",
    "BOTTLEROCKET_x86_64_NVIDIA",
    "BOTTLEROCKET_x86_64_NVIDIA_FIPS",
}
TLS_1_3_ONLY = {
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09",
}


def with_hole(deployment: engine.Deployment, token: str, change: Change) -> engine.Deployment:
    """The same deployment with one change to every resource of a type."""
    changed_ones = (change(one) if one.type == token else one for one in deployment.resources)
    return replace(deployment, resources=tuple(changed_ones))


def setting(**inputs: Any) -> Change:  # Any: JSON
    """A change of some inputs; a dotted path is written with double underscores."""

    def change(resource: engine.Resource) -> engine.Resource:
        made = copy.deepcopy(resource.inputs)
        for path, value in inputs.items():
            place: Any = made
            *parents, last = path.split("__")
            for step in parents:
                place = place[int(step)] if isinstance(place, list) else place[step]
            place[int(last) if isinstance(place, list) else last] = value
        return replace(resource, inputs=made)

    return change


def added(deployment: engine.Deployment, token: str, name: str, inputs: Inputs) -> engine.Deployment:
    """The same deployment with one resource more."""
    model = next(one for one in deployment.resources if one.custom)
    more = replace(model, urn=f"urn:planted::{name}", type=token, name=name, inputs=inputs, outputs={}, id=name)
    return replace(deployment, resources=(*deployment.resources, more))


def one(deployment: engine.Deployment, token: str) -> engine.Resource:
    [found] = deployment.of_type(token)
    return found


def before(deployment: engine.Deployment, resource: engine.Resource) -> set[str]:
    """Everything that must exist before a resource, however indirectly: names by URN's end."""
    known = {other.urn: other for other in deployment.resources}
    seen: set[str] = set()
    waiting = [resource.urn]
    while waiting:
        found = known.get(waiting.pop())
        if found is None:
            continue
        asked = {*found.dependencies, *(urn for urns in found.property_dependencies.values() for urn in urns)}
        waiting.extend(asked - seen)
        seen |= asked
    return seen


# --- the cluster ----------------------------------------------------------------------------------


def cluster_faults(deployment: engine.Deployment) -> list[str]:
    """Everything about the cluster that the criterion forbids."""
    inputs = one(deployment, CLUSTER).inputs
    network, access = inputs["vpcConfig"], inputs["accessConfig"]
    encrypted = inputs.get("encryptionConfig") or {}
    wanted = {
        "public endpoint": network.get("endpointPublicAccess") is False,
        "private endpoint": network.get("endpointPrivateAccess") is True,
        "API access entries": access.get("authenticationMode") == "API",
        "creator": access.get("bootstrapClusterCreatorAdminPermissions") is False,
        "own add-ons": inputs.get("bootstrapSelfManagedAddons") is False,
        "five logs": set(inputs.get("enabledClusterLogTypes", ()))
        == {"api", "audit", "authenticator", "controllerManager", "scheduler"},
        "secrets": encrypted.get("resources") == ["secrets"],
        "key": str(encrypted.get("provider", {}).get("keyArn", "")).startswith("arn:aws:kms:"),
        "standard support": (inputs.get("upgradePolicy") or {}).get("supportType") == "STANDARD",
        "version": inputs.get("version") == PINNED.version,
    }
    if one(deployment, CLUSTER).protect:
        wanted["deletion protection"] = inputs.get("deletionProtection") is True
    return [what for what, holds in wanted.items() if not holds]


CLUSTER_HOLES = {
    "public endpoint": setting(vpcConfig__endpointPublicAccess=True),
    "private endpoint": setting(vpcConfig__endpointPrivateAccess=False),
    "API access entries": setting(accessConfig__authenticationMode="API_AND_CONFIG_MAP"),
    "creator": setting(accessConfig__bootstrapClusterCreatorAdminPermissions=True),
    "own add-ons": setting(bootstrapSelfManagedAddons=True),
    "five logs": setting(enabledClusterLogTypes=["api"]),
    "secrets": setting(encryptionConfig=None),
    "key": setting(encryptionConfig__provider__keyArn="alias/aws/eks"),
    "standard support": setting(upgradePolicy__supportType="EXTENDED"),
    "version": setting(version="1.30"),
    "deletion protection": setting(deletionProtection=False),
}


@EVERY_HOSTING
def test_b_1_cluster_is_private_encrypted_logged_and_protected(stack: str) -> None:
    assert cluster_faults(captured("platform", stack)) == []


@EVERY_HOSTING
def test_graph_16_eks_private_only_api_auth_no_creator_admin(stack: str) -> None:
    assert cluster_faults(captured("platform", stack)) == []


@pytest.mark.parametrize("fault", CLUSTER_HOLES)
def test_b_1_each_hole_in_the_cluster_is_found(fault: str) -> None:
    assert fault in cluster_faults(with_hole(captured("platform", "prod"), CLUSTER, CLUSTER_HOLES[fault]))


def test_b_1_production_cannot_lose_its_cluster_by_mistake() -> None:
    cluster = one(captured("platform", "prod"), CLUSTER)
    assert cluster.protect
    assert cluster.inputs["deletionProtection"] is True


def test_b_1_the_pinned_version_is_in_standard_support_today() -> None:
    """Fails on the day an upgrade is due, and says so a month before: see `components/kubernetes_versions.py`."""
    today = dt.datetime.now(tz=dt.UTC).date()
    assert PINNED.in_standard_support(today), f"AWS supports {PINNED.version} until {PINNED.standard_support_ends}"
    assert not PINNED.due_for_upgrade(today), f"move on from {PINNED.version} before {PINNED.standard_support_ends}"


def test_b_1_a_version_leaves_standard_support_on_the_day_that_aws_says() -> None:
    day = dt.timedelta(days=1)
    assert PINNED.in_standard_support(PINNED.released)
    assert PINNED.in_standard_support(PINNED.standard_support_ends - day)
    assert not PINNED.in_standard_support(PINNED.standard_support_ends)
    assert not PINNED.in_standard_support(PINNED.released - day)
    assert PINNED.due_for_upgrade(PINNED.standard_support_ends - NOTICE_DAYS * day)
    assert not PINNED.due_for_upgrade(PINNED.standard_support_ends - (NOTICE_DAYS + 1) * day)


def test_b_1_node_images_and_proxies_are_of_the_pinned_version() -> None:
    assert PINNED.node_image_release.startswith(f"{PINNED.version}.")
    assert PINNED.addons[Addon.KUBE_PROXY].startswith(f"v{PINNED.version}.")
    assert set(PINNED.addons) == set(Addon)


def log_faults(deployment: engine.Deployment) -> list[str]:
    cluster = one(deployment, CLUSTER)
    wanted = f"/aws/eks/{cluster.inputs['name']}/cluster"
    groups = [group for group in of_type(deployment, "LogGroup") if group.inputs.get("name") == wanted]
    if not groups:
        return ["no log group of that name"]
    faults = [] if groups[0].urn in before(deployment, cluster) else ["cluster before its log group"]
    faults += [] if groups[0].inputs.get("kmsKeyId") else ["unencrypted"]
    return faults + ([] if groups[0].retain_on_delete else ["deleted while EKS still writes"])


@EVERY_HOSTING
def test_b_1_the_log_group_is_there_first_and_stays(stack: str) -> None:
    deployment = captured("platform", stack)
    assert log_faults(deployment) == []
    group = "aws:cloudwatch/logGroup:LogGroup"
    assert log_faults(with_hole(deployment, group, lambda found: replace(found, retain_on_delete=False)))
    assert log_faults(with_hole(deployment, CLUSTER, lambda found: replace(found, dependencies=())))
    assert log_faults(with_hole(deployment, group, setting(name="cluster"))) == ["no log group of that name"]


# --- who gets in ------------------------------------------------------------------------------------


def access_faults(deployment: engine.Deployment, deployer: str, administrator: str) -> list[str]:
    """Who is more or less than the two roles that are meant to get in, and what they may do."""
    wanted = {deployer: "AmazonEKSClusterAdminPolicy", administrator: "AmazonEKSViewPolicy"}
    given = {
        found.inputs["principalArn"].rpartition("/")[2]: found.inputs["policyArn"].rpartition("/")[2]
        for found in deployment.of_type(ACCESS)
    }
    entries = {found.inputs["principalArn"].rpartition("/")[2] for found in deployment.of_type(ENTRY)}
    faults = [f"{role} has {given.get(role)}" for role, policy in wanted.items() if given.get(role) != policy]
    faults += [f"{role} gets in" for role in sorted((entries | set(given)) - set(wanted))]
    types = {found.inputs.get("type") for found in deployment.of_type(ENTRY)}
    return faults + [f"entry of type {kind}" for kind in sorted(map(str, types - {"STANDARD"}))]


def roles_of(stack: str) -> tuple[str, str]:
    values = environment_values(stack)
    return values["deployer_role"], values["self_hosting"]["administrator_role"]


@EVERY_HOSTING
def test_b_2_the_deployer_administers_and_operators_look(stack: str) -> None:
    assert access_faults(captured("platform", stack), *roles_of(stack)) == []


def test_b_2_a_third_role_or_a_stronger_policy_is_found() -> None:
    deployment, roles = captured("platform", "prod"), roles_of("prod")
    stranger = {"principalArn": "arn:aws:iam::333344445555:role/somebody", "type": "STANDARD"}
    assert access_faults(added(deployment, ENTRY, "somebody", stranger), *roles) == ["somebody gets in"]
    admin = setting(policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy")
    assert access_faults(with_hole(deployment, ACCESS, admin), *roles)
    without = replace(deployment, resources=tuple(found for found in deployment.resources if found.type != ACCESS))
    assert len(access_faults(without, *roles)) == len(roles)


def test_graph_18_no_access_entry_for_mng_role() -> None:
    """EKS makes the entry of a managed node group's role itself, and refuses a second one."""
    deployment = captured("platform", "prod")
    assert node_role_entries(deployment) == []
    [role] = {group.inputs["nodeRoleArn"] for group in deployment.of_type(NODE_GROUP)}
    planted = added(deployment, ENTRY, "nodes", {"principalArn": role, "type": "EC2_LINUX"})
    assert node_role_entries(planted) == [role]


def node_role_entries(deployment: engine.Deployment) -> list[str]:
    nodes = {group.inputs["nodeRoleArn"] for group in deployment.of_type(NODE_GROUP)}
    return [
        entry.inputs["principalArn"] for entry in deployment.of_type(ENTRY) if entry.inputs["principalArn"] in nodes
    ]


# --- identities of pods -----------------------------------------------------------------------------


def identity_faults(deployment: engine.Deployment) -> list[str]:
    """Service accounts with no or several roles, other ways to a role, session policies that do nothing."""
    bound = Counter(
        (found.inputs["namespace"], found.inputs["serviceAccount"]) for found in deployment.of_type(ASSOCIATION)
    )
    addons = {SERVICE_ACCOUNTS[identity].name: SERVICE_ACCOUNTS[identity] for identity in ClusterIdentity}
    for addon in deployment.of_type(ADDON):
        for association in addon.inputs.get("podIdentityAssociations") or ():
            account = addons[association["serviceAccount"]]
            bound[account.namespace, account.name] += 1
    faults = [f"{account} has {times} roles" for account, times in bound.items() if times != 1]
    faults += [provider.name for provider in of_type(deployment, "OpenIdConnectProvider")]
    faults += [addon.name for addon in deployment.of_type(ADDON) if addon.inputs.get("serviceAccountRoleArn")]
    for found in deployment.of_type(ASSOCIATION):
        if bool(found.inputs.get("policy")) is not bool(found.inputs.get("disableSessionTags")):
            faults.append(f"{found.name}: a session policy needs session tags off, and nothing else does")
    return faults


@EVERY_HOSTING
def test_b_3_aws_identities_of_pods_come_from_pod_identity_only(stack: str) -> None:
    assert identity_faults(captured("platform", stack)) == []


def test_b_3_other_ways_to_a_role_are_found() -> None:
    deployment = captured("platform", "prod")
    provider = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
    assert identity_faults(added(deployment, provider, "issuer", {"url": "https://oidc.eks.invalid"})) == ["issuer"]
    server = SERVICE_ACCOUNTS[ClusterIdentity.MODEL_SERVER]
    twice = {"namespace": server.namespace, "serviceAccount": server.name}
    assert identity_faults(added(deployment, ASSOCIATION, "twice", twice))
    assert identity_faults(with_hole(deployment, ASSOCIATION, setting(policy="{}")))
    assert identity_faults(with_hole(deployment, ADDON, setting(serviceAccountRoleArn="arn:aws:iam::1:role/x")))


def pod_trusts(deployment: engine.Deployment) -> Iterator[tuple[engine.Resource, dict[str, Any]]]:
    """Every statement by which pods may take on a role."""
    for role, statement in statements(deployment):
        if "pods.eks.amazonaws.com" in json.dumps(statement.get("Principal", {})):
            yield role, statement


def trust_faults(deployment: engine.Deployment) -> list[str]:
    cluster = one(deployment, CLUSTER)
    account = of_type(deployment, "Role")[0].outputs["arn"].split(":")[4]
    faults = []
    namespaces: dict[str, set[str]] = {}
    for role, statement in pod_trusts(deployment):
        condition = statement.get("Condition", {})
        exactly = condition.get("StringEquals", {})
        if set(statement["Action"]) != {"sts:AssumeRole", "sts:TagSession"}:
            faults.append(f"{role.name}: {statement['Action']}")
        if statement["Principal"] != {"Service": "pods.eks.amazonaws.com"}:
            faults.append(f"{role.name}: {statement['Principal']}")
        source = condition.get("ArnEquals", {}).get("aws:SourceArn", "")
        if exactly.get("aws:SourceAccount") != account or not source.endswith(f":cluster/{cluster.inputs['name']}"):
            faults.append(f"{role.name}: any cluster")
        namespaces.setdefault(role.name, set()).add(exactly.get("aws:RequestTag/kubernetes-namespace", "any"))
    faults += [f"{role}: {found}" for role, found in namespaces.items() if len(found) != 1 or "any" in found]
    return faults if namespaces else ["no role trusts a pod"]


TRUST_HOLES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no session tags": lambda statement: statement.update(Action=["sts:AssumeRole"]),
    "anybody else": lambda statement: statement.update(Principal={"Service": ["pods.eks.amazonaws.com", "ec2.x"]}),
    "any cluster": lambda statement: statement["Condition"].pop("ArnEquals"),
    "any account": lambda statement: statement["Condition"]["StringEquals"].pop("aws:SourceAccount"),
    "any namespace": lambda statement: statement["Condition"]["StringEquals"].pop(
        "aws:RequestTag/kubernetes-namespace"
    ),
}


def hole_in_trust(edit: Callable[[dict[str, Any]], object]) -> Change:
    def change(role: engine.Resource) -> engine.Resource:
        trust = json.loads(role.inputs["assumeRolePolicy"])
        if "pods.eks.amazonaws.com" not in json.dumps(trust):
            return role
        edit(trust["Statement"][0])
        return replace(role, inputs={**role.inputs, "assumeRolePolicy": json.dumps(trust)})

    return change


@EVERY_HOSTING
def test_b_4_a_pods_role_trusts_one_cluster_and_one_namespace(stack: str) -> None:
    assert trust_faults(captured("platform", stack)) == []


@EVERY_HOSTING
def test_graph_19_pod_identity_trust_has_tagsession(stack: str) -> None:
    trusts = list(pod_trusts(captured("platform", stack)))
    assert len(trusts) == len(ClusterIdentity)
    assert all("sts:TagSession" in statement["Action"] for _, statement in trusts)


@pytest.mark.parametrize("hole", TRUST_HOLES)
def test_b_4_each_hole_in_a_trust_is_found(hole: str) -> None:
    planted = with_hole(captured("platform", "prod"), "aws:iam/role:Role", hole_in_trust(TRUST_HOLES[hole]))
    assert trust_faults(planted)


WEIGHTS = "arn:aws:s3:::llm-pipelines-prod-models-333344445555"


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:GetObject", f"{WEIGHTS}/small/1/model.safetensors", True),
        ("s3:PutObject", f"{WEIGHTS}/small/1/model.safetensors", False),
        ("s3:DeleteObject", f"{WEIGHTS}/small/1/model.safetensors", False),
        ("s3:GetObject", "arn:aws:s3:::llm-pipelines-prod-content-333344445555/x", False),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:333344445555:secret:x", False),
    ],
)
def test_b_4_model_servers_read_weights_and_nothing_else(action: str, resource: str, allowed: bool) -> None:
    ours = policies("prod")
    role = next(one for one in ours.resources if one.name == "model-server-role")
    decided = ours.decide(str(role.outputs["arn"]), action, resource, {"aws:PrincipalAccount": ours.account})
    assert decided.allowed is allowed


# --- nodes --------------------------------------------------------------------------------------------


def template_faults(deployment: engine.Deployment) -> list[str]:
    """Everything about launch templates that hands out credentials or leaves a disk readable."""
    faults = []
    for template in deployment.of_type(TEMPLATE):
        inputs = template.inputs
        metadata = inputs.get("metadataOptions") or {}
        if (metadata.get("httpTokens"), metadata.get("httpPutResponseHopLimit")) != ("required", 1):
            faults.append(f"{template.name}: instance metadata")
        disks = [mapping.get("ebs", {}) for mapping in inputs.get("blockDeviceMappings", ())]
        for disk in disks or [{}]:
            if disk.get("encrypted") != "true" or not str(disk.get("kmsKeyId", "")).startswith("arn:aws:kms:"):
                faults.append(f"{template.name}: disk is not encrypted with our key")
            if disk.get("volumeType") != "gp3":
                faults.append(f"{template.name}: disk is {disk.get('volumeType')}")
        tagged = {
            spec["resourceType"] for spec in inputs.get("tagSpecifications", ()) if spec.get("tags", {}).get("env")
        }
        if not {"instance", "volume", "network-interface"} <= tagged:
            faults.append(f"{template.name}: only {sorted(tagged)} say their environment")
        if {"iamInstanceProfile", "keyName", "userData"} & set(inputs):
            faults.append(f"{template.name}: profile, SSH key or user data")
    return faults if deployment.of_type(TEMPLATE) else ["no launch template"]


TEMPLATE_HOLES = {
    "version 1 of metadata": setting(metadataOptions__httpTokens="optional"),
    "pods reach metadata": setting(metadataOptions__httpPutResponseHopLimit=2),
    "metadata left out": setting(metadataOptions=None),
    "plain disk": setting(blockDeviceMappings__0__ebs__encrypted="false"),
    "Amazon's key": setting(blockDeviceMappings__0__ebs__kmsKeyId="alias/aws/ebs"),
    "no disk named": setting(blockDeviceMappings=[]),
    "old disk": setting(blockDeviceMappings__0__ebs__volumeType="gp2"),
    "untagged": setting(tagSpecifications=[]),
    "SSH": setting(keyName="mine"),
}


@EVERY_HOSTING
def test_b_5_nodes_hand_out_no_credentials_and_encrypt_their_disks(stack: str) -> None:
    assert template_faults(captured("platform", stack)) == []


@EVERY_HOSTING
def test_graph_20_lt_imdsv2_gp3_cmk_tagspecs(stack: str) -> None:
    assert template_faults(captured("platform", stack)) == []


@pytest.mark.parametrize("hole", TEMPLATE_HOLES)
def test_b_5_each_hole_in_a_launch_template_is_found(hole: str) -> None:
    assert template_faults(with_hole(captured("platform", "prod"), TEMPLATE, TEMPLATE_HOLES[hole]))


@pytest.mark.parametrize(("for_a_resource", "allowed"), [(True, True), (False, False)])
def test_b_5_auto_scaling_may_use_the_disks_key_for_instances_alone(for_a_resource: bool, allowed: bool) -> None:
    """Without this right nodes start and end at once, and nothing says why."""
    ours = policies("prod")
    scaling = (
        f"arn:aws:iam::{ours.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    )
    context: dict[str, str | bool] = {
        "kms:CallerAccount": ours.account,
        "kms:GrantIsForAWSResource": for_a_resource,
        "aws:PrincipalArn": scaling,
        "aws:PrincipalAccount": ours.account,
    }
    decided = ours.decide(scaling, "kms:CreateGrant", ours.key("ebs"), context, identity=[])
    assert decided.allowed is allowed


def gpu_groups(deployment: engine.Deployment) -> list[engine.Resource]:
    """By what they run on, not by what they are called."""
    found = []
    for group in deployment.of_type(NODE_GROUP):
        [template] = [
            one for one in deployment.of_type(TEMPLATE) if one.urn in group.property_dependencies["launchTemplate"]
        ]
        kind = (group.inputs.get("instanceTypes") or [template.inputs.get("instanceType")])[0]
        if INSTANCE_TYPES[kind].gpus:
            found.append(group)
    return found


def gpu_faults(deployment: engine.Deployment) -> list[str]:
    subnets = {subnet.id for subnet in of_type(deployment, "Subnet") if subnet.inputs["tags"].get("tier") == "model"}
    faults = []
    for group in gpu_groups(deployment):
        inputs = group.inputs
        if inputs.get("amiType") not in NVIDIA:
            faults.append(f"image {inputs.get('amiType')}")
        if not any(taint["effect"] == "NO_SCHEDULE" for taint in inputs.get("taints") or ()):
            faults.append("not tainted")
        if not (inputs.get("nodeRepairConfig") or {}).get("enabled"):
            faults.append("not repaired")
        if not inputs["subnetIds"] or not set(inputs["subnetIds"]) <= subnets:
            faults.append("outside the model tier")
        if group.ignore_changes != ("scalingConfig.desiredSize",):
            faults.append("an update takes nodes from the autoscaler")
        faults += block_faults(deployment, group)
    return faults if gpu_groups(deployment) else ["no GPU node group"]


def block_faults(deployment: engine.Deployment, group: engine.Resource) -> list[str]:
    """A capacity block is three settings together, in one zone, and empty before it begins."""
    [template] = [
        one for one in deployment.of_type(TEMPLATE) if one.urn in group.property_dependencies["launchTemplate"]
    ]
    market = (template.inputs.get("instanceMarketOptions") or {}).get("marketType")
    target = (template.inputs.get("capacityReservationSpecification") or {}).get("capacityReservationTarget") or {}
    named = str(target.get("capacityReservationId", "")).startswith("cr-")
    block = group.inputs.get("capacityType") == "CAPACITY_BLOCK"
    if not block:
        return ["half a capacity block"] if market == "capacity-block" else []
    wanted = {
        "market": market == "capacity-block",
        "reservation": named,
        "instance type": bool(template.inputs.get("instanceType")) and not group.inputs.get("instanceTypes"),
        "one zone": len(group.inputs["subnetIds"]) == 1,
        "empty": group.inputs["scalingConfig"]["desiredSize"] == 0,
    }
    return [f"capacity block without {what}" for what, holds in wanted.items() if not holds]


GPU_HOLES = {
    "no driver": setting(amiType="AL2023_x86_64_STANDARD"),
    "no taint": setting(taints=[]),
    "soft taint": setting(taints=[{"key": "nvidia.com/gpu", "value": "true", "effect": "PREFER_NO_SCHEDULE"}]),
    "no repair": setting(nodeRepairConfig={"enabled": False}),
    "another tier": setting(subnetIds=["subnet-elsewhere"]),
    "no subnet": setting(subnetIds=[]),
    "half a block": setting(capacityType="CAPACITY_BLOCK"),
    "fights the autoscaler": lambda group: replace(group, ignore_changes=()),
}


@EVERY_HOSTING
def test_b_6_gpu_nodes_are_tainted_repaired_and_private(stack: str) -> None:
    assert gpu_faults(captured("platform", stack)) == []


@pytest.mark.parametrize("hole", GPU_HOLES)
def test_b_6_each_hole_in_a_gpu_node_group_is_found(hole: str) -> None:
    assert gpu_faults(with_hole(captured("platform", "prod"), NODE_GROUP, GPU_HOLES[hole]))


@EVERY_HOSTING
def test_graph_21_gpu_ami_type_and_taint_match_workload(stack: str) -> None:
    """What nodes are marked with is what model servers ask for, word for word in the other API's spelling."""
    wanted = toleration()
    for group in gpu_groups(captured("platform", stack)):
        [taint] = group.inputs["taints"]
        assert (taint["key"], taint["value"]) == (wanted["key"], wanted["value"])
        assert taint["effect"].replace("_", "").lower() == wanted["effect"].lower()
        assert gpu_node_selector(group.inputs["nodeGroupName"]).items() <= group.inputs["labels"].items()
        assert group.inputs["amiType"] in NVIDIA


@EVERY_HOSTING
def test_graph_21_system_nodes_carry_neither_taint_nor_gpu_label(stack: str) -> None:
    deployment = captured("platform", stack)
    others = [group for group in deployment.of_type(NODE_GROUP) if group not in gpu_groups(deployment)]
    assert others
    for group in others:
        assert not group.inputs.get("taints")
        assert not gpu_node_selector().items() <= group.inputs["labels"].items()


# --- add-ons and order --------------------------------------------------------------------------------


def policy_enforcement(deployment: engine.Deployment) -> dict[str, Any]:
    [cni] = [addon for addon in deployment.of_type(ADDON) if addon.inputs["addonName"] == "vpc-cni"]
    settings: dict[str, Any] = json.loads(cni.inputs.get("configurationValues") or "{}")
    return settings


@EVERY_HOSTING
def test_b_7_network_policies_are_enforced_from_a_pods_first_packet(stack: str) -> None:
    settings = policy_enforcement(captured("platform", stack))
    assert settings["enableNetworkPolicy"] == "true"  # the text: the add-on's schema refuses a boolean
    assert settings["env"] == {"NETWORK_POLICY_ENFORCING_MODE": "strict"}


@EVERY_HOSTING
def test_b_7_every_add_on_is_pinned(stack: str) -> None:
    addons = captured("platform", stack).of_type(ADDON)
    assert {addon.inputs["addonName"]: addon.inputs["addonVersion"] for addon in addons} == {
        addon.value: PINNED.addons[addon]
        for addon in Addon
        if addon.value in {one.inputs["addonName"] for one in addons}
    }


def order_faults(deployment: engine.Deployment) -> list[str]:
    """Nodes without the add-ons they need to join; a cluster or nodes that outlive their permissions."""
    addons = {addon.inputs["addonName"]: addon.urn for addon in deployment.of_type(ADDON)}
    attached = {found.inputs["role"]: found.urn for found in of_type(deployment, "RolePolicyAttachment")}
    faults = []
    for group in deployment.of_type(NODE_GROUP):
        first = before(deployment, group)
        wanted = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
        faults += [f"{group.name} before {name}" for name in wanted if addons.get(name) not in first]
        role = group.inputs["nodeRoleArn"].rpartition("/")[2]
        if attached.get(role) not in first:
            faults.append(f"{group.name} outlives its permissions")
    cluster = one(deployment, CLUSTER)
    if attached.get(cluster.inputs["roleArn"].rpartition("/")[2]) not in before(deployment, cluster):
        faults.append("the cluster outlives its permissions")
    return faults


def pod_addon_faults(platform: engine.Deployment, inside: engine.Deployment) -> list[str]:
    """Add-ons on the pod network that start before their namespace's policies, or beside the nodes."""
    walls = {found.urn for found in of_type(inside, "NetworkPolicy") if "kube-system" in json.dumps(found.inputs)}
    faults = [f"{found.name} is made beside the nodes" for found in platform.of_type(ADDON) if on_pod_network(found)]
    made = [found for found in inside.of_type(ADDON) if on_pod_network(found)]
    faults += [f"{found.name} before its policies" for found in made if not walls or not walls <= before(inside, found)]
    names = {found.inputs["addonName"]: found.urn for found in made}
    for found in made:
        if found.inputs["addonName"] != "coredns" and names.get("coredns") not in before(inside, found):
            faults.append(f"{found.name} before names can be looked up")
    return faults if "coredns" in names else [*faults, "no CoreDNS"]


def on_pod_network(addon: engine.Resource) -> bool:
    return addon.inputs["addonName"] in {one.value for one in POD_ADDONS}


@EVERY_HOSTING
def test_graph_17_cni_before_nodes_coredns_after(stack: str) -> None:
    """CoreDNS runs on the pod network: the cluster program makes it, after nodes and after its policies."""
    platform, inside = captured("platform", stack), captured("cluster", stack)
    assert order_faults(platform) == []
    assert pod_addon_faults(platform, inside) == []
    assert {found.inputs["addonName"] for found in (*platform.of_type(ADDON), *inside.of_type(ADDON))} == set(Addon)


def test_graph_17_coredns_beside_the_nodes_or_before_its_policies_is_found() -> None:
    platform, inside = captured("platform", "prod"), captured("cluster", "prod")
    beside = added(platform, ADDON, "coredns-addon", {"addonName": "coredns"})
    assert pod_addon_faults(beside, inside) == ["coredns-addon is made beside the nodes"]

    def eager(addon: engine.Resource) -> engine.Resource:
        return replace(addon, dependencies=(), property_dependencies={})

    assert "coredns-addon before its policies" in pod_addon_faults(platform, with_hole(inside, ADDON, eager))


def test_graph_17_a_node_that_waits_for_nothing_is_found() -> None:
    def eager(group: engine.Resource) -> engine.Resource:
        return replace(group, dependencies=(), property_dependencies={})

    planted = with_hole(captured("platform", "prod"), NODE_GROUP, eager)
    assert {fault.partition(" ")[2] for fault in order_faults(planted)} == {
        "before vpc-cni",
        "before kube-proxy",
        "before eks-pod-identity-agent",
        "outlives its permissions",
    }
    planted = with_hole(
        captured("platform", "prod"),
        CLUSTER,
        lambda cluster: replace(cluster, dependencies=(), property_dependencies={}),
    )
    assert "the cluster outlives its permissions" in order_faults(planted)


def left_behind(deployment: engine.Deployment) -> list[str]:
    """What lives inside the cluster, and would be deleted one by one from a cluster that is gone."""
    cluster = one(deployment, CLUSTER).urn
    inside = [found for token in (ADDON, ENTRY, ACCESS, ASSOCIATION) for found in deployment.of_type(token)]
    return [found.name for found in inside if found.deleted_with != cluster]


@EVERY_HOSTING
def test_b_1_what_is_inside_the_cluster_ends_with_it(stack: str) -> None:
    deployment = captured("platform", stack)
    assert left_behind(deployment) == []
    assert left_behind(with_hole(deployment, ADDON, lambda addon: replace(addon, deleted_with="")))


# --- the way in -----------------------------------------------------------------------------------------


def listener_faults(deployment: engine.Deployment) -> list[str]:
    """Listeners that admit older TLS, or end TLS where the VPC must stay encrypted end to end."""
    balancers = {balancer.urn: balancer for balancer in deployment.of_type(BALANCER)}
    faults = [f"{found.name} is public" for found in balancers.values() if found.inputs.get("internal") is not True]
    for listener in deployment.of_type(LISTENER):
        [balancer] = [balancers[urn] for urn in listener.property_dependencies["loadBalancerArn"] if urn in balancers]
        passes = balancer.inputs.get("loadBalancerType") == "network"
        protocol = listener.inputs["protocol"]
        if passes and protocol != "TCP":
            faults.append(f"{listener.name}: {protocol} on a network load balancer")
        if not passes and (protocol != "HTTPS" or listener.inputs.get("sslPolicy") not in TLS_1_3_ONLY):
            faults.append(f"{listener.name}: {protocol} {listener.inputs.get('sslPolicy')}")
    return faults if len(balancers) > 1 else [*faults, "a load balancer is missing"]


LISTENER_HOLES = {
    "TLS ended in the network": (LISTENER, setting(protocol="TLS")),
    "TLS 1.2": (LISTENER, setting(sslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")),
    "left out": (LISTENER, setting(sslPolicy=None)),
    "plain": (LISTENER, setting(protocol="HTTP")),
    "public": (BALANCER, setting(internal=False)),
}


@EVERY_HOSTING
def test_b_16_listeners_speak_tls_1_3_only_or_pass_it_through(stack: str) -> None:
    assert listener_faults(captured("platform", stack)) == []


@pytest.mark.parametrize("hole", LISTENER_HOLES)
def test_b_16_each_weak_listener_is_found(hole: str) -> None:
    token, change = LISTENER_HOLES[hole]
    assert listener_faults(with_hole(captured("platform", "prod"), token, change))


@EVERY_HOSTING
def test_b_16_every_node_group_is_behind_the_models_name(stack: str) -> None:
    """The name that the gateway calls leads to a port that nodes open, and every group's instances are targets."""
    deployment = captured("platform", stack)
    targets = only(deployment, "TargetGroup", "model-targets")
    assert targets.inputs["port"] == NODE_PORT == MODEL_NODE_PORT
    attached = of_type(deployment, "Attachment")
    assert len(attached) == len(deployment.of_type(NODE_GROUP))
    assert {found.inputs["lbTargetGroupArn"] for found in attached} == {targets.outputs["arn"]}
    host = environment_values(stack)["self_hosting"]["host_name"]
    assert only(deployment, "Record", "model-record").inputs["name"] == host
    assert only(deployment, "Zone", "model-zone").inputs["name"] == host


def authority_faults(deployment: engine.Deployment) -> list[str]:
    [authority] = of_type(deployment, "CertificateAuthority")
    [granted] = [
        statement
        for role, statement in statements(deployment)
        if "acm-pca:IssueCertificate" in statement["Action"] and "Principal" not in statement
    ]
    wanted = {
        "short-lived": authority.inputs.get("usageMode") == "SHORT_LIVED_CERTIFICATE",
        "one authority": granted["Resource"] == authority.outputs["arn"],
        "server certificates": granted.get("Condition", {})
        .get("StringEquals", {})
        .get("acm-pca:TemplateArn", "")
        .endswith(":template/EndEntityServerAuthCertificate/V1"),
    }
    return [what for what, holds in wanted.items() if not holds]


@EVERY_HOSTING
def test_b_18_the_private_authority_signs_short_lived_server_certificates_only(stack: str) -> None:
    deployment = captured("platform", stack)
    assert authority_faults(deployment) == []
    authority = "aws:acmpca/certificateAuthority:CertificateAuthority"
    assert authority_faults(with_hole(deployment, authority, setting(usageMode="GENERAL_PURPOSE"))) == ["short-lived"]


# --- configuration ----------------------------------------------------------------------------------------


def dev_with(instance_type: str, capacity: str) -> dict[str, Any]:
    """dev with staging's cluster under its own names."""
    hosting = json.loads(json.dumps(environment_values("staging")["self_hosting"]).replace("staging", "dev"))
    group = {**hosting["gpu_nodes"][0], "instance_type": instance_type, "capacity": capacity}
    if capacity != "on_demand":
        group |= {"reservation_id": "cr-0123456789abcdef0", "zone": environment_values("dev")["network"]["zones"][0]}
    return changed(environment_values("dev"), {"self_hosting": {**hosting, "gpu_nodes": [group]}})


def test_d_13_dev_may_rent_a_small_gpu_by_the_hour() -> None:
    hosting = Environment.load(dev_with("g6.xlarge", "on_demand")).self_hosting
    assert hosting is not None
    assert hosting.gpu_nodes[0].instance_type == "g6.xlarge"


@pytest.mark.parametrize(
    ("instance_type", "capacity"),
    [
        ("p5.48xlarge", "on_demand"),
        ("p4d.24xlarge", "on_demand"),
        ("g6e.xlarge", "on_demand"),
        ("g6.xlarge", "capacity_block"),
    ],
)
def test_d_13_dev_rents_no_expensive_gpu_and_no_capacity_block(instance_type: str, capacity: str) -> None:
    with pytest.raises(ConfigurationError, match=r"in dev must be of family g4dn, g5, g6, and no capacity block"):
        Environment.load(dev_with(instance_type, capacity))


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_graph_33_quota_preflight_table_covers_used_instance_types(stack: str) -> None:
    hosting = Environment.load(environment_values(stack)).self_hosting
    groups = (hosting.system_nodes, *hosting.gpu_nodes) if hosting else ()
    assert [group.instance_type for group in groups if group.instance_type not in INSTANCE_TYPES] == []


def test_graph_33_gpu_types_count_against_gpu_quotas() -> None:
    """These are zero in a new account: counted against the wrong quota they would look available."""
    for kind in INSTANCE_TYPES.values():
        accelerated = kind.quota is not VcpuQuota.STANDARD
        assert accelerated is bool(kind.gpus), kind
        assert (kind.quota is VcpuQuota.P) is kind.name.startswith("p"), kind
