"""What runs in the model cluster: walls, pods, images, model servers, certificates and scaling.

Every promise is checked over the manifests that the program registers, and each has a twin: the same check
over a manifest with one hole finds it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from components import model_server_arguments as vllm
from components.cluster_identities import SERVICE_ACCOUNTS
from components.cluster_layout import OWN_ROOMS, PRIVILEGED_ROOMS, Room
from components.image_admission import image_pattern
from components.kubernetes_versions import PINNED, Addon
from components.model_autoscaling import AutoscalingError, ForecastHours, Scaling, triggers
from components.model_server import MANIFEST_ANNOTATION, VERSION_LABEL
from components.model_server_versions import (
    FLOOR,
    VLLM_VERSION,
    VLLM_VERSION_MIN,
    WITHOUT_FIX,
    open_holes,
    release,
)
from components.model_serving import DRAIN_S
from components.network_allowance import Peer, require_narrow
from tests.contracts.programs import CLUSTERS, captured, of_type
from tests.criteria.kubernetes_schemas import problems
from tests.criteria.manifests import (
    Manifest,
    containers,
    manifests,
    model_servers,
    named,
    of_kind,
    pods,
    the,
    variables,
)
from tests.criteria.pod_security import breaches
from tests.stacks.configurations import cluster_values

# One worker captures each graph once; pulumi_aws warns about names of its own while it is imported.
pytestmark = [
    pytest.mark.xdist_group("programs"),
    pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning"),
]
EVERY_CLUSTER = pytest.mark.parametrize("stack", CLUSTERS)


def broken(manifest: Manifest, *path: str | int, to: Any) -> Manifest:  # Any: JSON
    """The same object with one value changed."""
    changed = copy.deepcopy(manifest)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return changed


# --- the whole: what an API server would accept ------------------------------------------------------


@EVERY_CLUSTER
def test_every_object_obeys_the_schema_of_its_kind(stack: str) -> None:
    found = manifests(stack)

    assert len(found) > 90
    assert [(one["kind"], one["metadata"]["name"], why) for one in found if (why := problems(one))] == []


def test_a_misspelt_field_is_found_by_the_schemas() -> None:
    deployment, scaled = model_servers("prod")[0], of_kind("prod", "ScaledObject")[0]
    certificate, issuer = of_kind("prod", "Certificate")[0], of_kind("prod", "AWSPCAClusterIssuer")[0]

    assert problems(broken(deployment, "spec", "template", "spec", "tolerationz", to=[])) != []
    assert problems(broken(scaled, "spec", "maxReplicas", to=3)) == ["spec.maxReplicas: unknown field"]
    assert problems(broken(scaled, "spec", "maxReplicaCount", to="many")) != []
    assert problems(broken(certificate, "spec", "issuer", to="x")) == ["spec.issuer: unknown field"]
    assert problems(broken(issuer, "spec", "authority", to="x")) != []


# --- B-7: policies that nobody enforces --------------------------------------------------------------


def enforced(configuration: str) -> bool:
    """Whether the network add-on judges policies at all, from the first packet of a pod on."""
    settings = json.loads(configuration or "{}")
    strict = settings.get("env", {}).get("NETWORK_POLICY_ENFORCING_MODE") == "strict"
    return bool(settings.get("enableNetworkPolicy") == "true" and strict)


@EVERY_CLUSTER
def test_b_7_wherever_a_network_policy_exists_the_pod_network_enforces_it_strictly(stack: str) -> None:
    policies = of_kind(stack, "NetworkPolicy")
    addons = {one.inputs["addonName"]: one for one in of_type(captured("platform", stack), "Addon")}

    assert policies
    assert enforced(addons[Addon.VPC_CNI.value].inputs["configurationValues"])


@pytest.mark.parametrize(
    "configuration",
    ["", "{}", '{"enableNetworkPolicy": true}', '{"enableNetworkPolicy": "true"}'],
    ids=["absent", "empty", "a boolean", "not strict"],
)
def test_b_7_settings_under_which_policies_do_nothing_are_seen(configuration: str) -> None:
    assert not enforced(configuration)


@EVERY_CLUSTER
def test_b_7_add_ons_start_only_after_the_policies_of_their_namespaces(stack: str) -> None:
    """Otherwise a strict cluster never gets DNS."""
    deployment = captured("cluster", stack)
    policies = {one.urn for one in of_type(deployment, "NetworkPolicy")}
    addons = of_type(deployment, "Addon")

    assert {one.inputs["addonName"] for one in addons} >= {"coredns", "cert-manager"}
    assert all(policies <= set(one.dependencies) for one in addons)


# --- B-8: walls --------------------------------------------------------------------------------------


def policies_of(stack: str, room: str) -> list[Manifest]:
    return [one for one in of_kind(stack, "NetworkPolicy") if one["metadata"]["namespace"] == room]


def denies_everything(policy: Manifest) -> bool:
    spec = policy["spec"]
    both = sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    return both and spec["podSelector"] == {} and not spec.get("ingress") and not spec.get("egress")


def rules(policy: Manifest) -> Iterator[tuple[str, Manifest]]:
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(side, []):
            yield peers, rule


def openings(policy: Manifest) -> list[str]:
    """Every way in which a policy allows more than a named peer on a named port."""
    found = []
    for peers, rule in rules(policy):
        if not rule.get(peers) or not rule.get("ports"):
            found.append("a rule without peers or ports allows all of them")
        for peer in rule.get(peers, []):
            found += _too_wide(peer)
    return found


def _too_wide(peer: Manifest) -> list[str]:
    block = peer.get("ipBlock")
    if block is None:
        return [] if peer.get("namespaceSelector", {}).get("matchLabels") else ["a peer without a namespace"]
    try:
        require_narrow(block["cidr"])
    except ValueError as error:
        return [str(error)]
    return ["exceptions are not used"] if "except" in block else []


def reaches_pod_identity(policy: Manifest) -> bool:
    cidrs = [peer["ipBlock"]["cidr"] for _, rule in rules(policy) for peer in rule.get("to", []) if "ipBlock" in peer]
    return "169.254.170.23/32" in cidrs


@EVERY_CLUSTER
@pytest.mark.parametrize("room", [room.value for room in Room])
def test_b_8_every_namespace_denies_both_ways_by_default(stack: str, room: str) -> None:
    assert [one["metadata"]["name"] for one in policies_of(stack, room) if denies_everything(one)] == ["deny-all"]


@EVERY_CLUSTER
def test_b_8_no_policy_opens_the_internet_or_the_metadata_service(stack: str) -> None:
    assert [(one["metadata"], why) for one in of_kind(stack, "NetworkPolicy") if (why := openings(one))] == []


@pytest.mark.parametrize(
    "egress",
    [
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]},
        {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80}]},
        {"to": [{"ipBlock": {"cidr": "169.254.0.0/16"}}], "ports": [{"port": 80}]},
        {"to": [{"podSelector": {}}], "ports": [{"port": 443}]},
        {"to": [{"namespaceSelector": {}}], "ports": [{"port": 443}]},
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/16"}}]},
        {"ports": [{"port": 443}]},
        {},
    ],
)
def test_b_8_a_planted_hole_is_found(egress: Manifest) -> None:
    policy = the("prod", "NetworkPolicy", "to-aws", "models")

    assert openings(policy) == []
    assert openings(broken(policy, "spec", "egress", to=[egress])) != []


@EVERY_CLUSTER
def test_b_8_credentials_are_reachable_exactly_where_a_service_account_holds_a_role(stack: str) -> None:
    # Associations of the platform, and those that an add-on brings.
    associated = {one.inputs["namespace"] for one in of_type(captured("platform", stack), "PodIdentityAssociation")}
    addons = of_type(captured("cluster", stack), "Addon")
    accounts = {one["serviceAccount"] for addon in addons for one in addon.inputs.get("podIdentityAssociations") or []}
    associated |= {account.namespace for account in SERVICE_ACCOUNTS.values() if account.name in accounts}
    reaching = {one["metadata"]["namespace"] for one in of_kind(stack, "NetworkPolicy") if reaches_pod_identity(one)}

    assert reaching == associated
    assert reaching


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "169.254.169.254/32", "169.254.0.0/16", "8.0.0.0/7"])
def test_b_8_a_wide_network_cannot_even_be_written(cidr: str) -> None:
    with pytest.raises(ValueError, match="must name a network of /8 or smaller without"):
        Peer(cidrs=(cidr,))


def test_b_8_everything_cannot_be_written_as_a_peer() -> None:
    with pytest.raises(ValueError, match="either pods of a room or networks"):
        Peer()


@EVERY_CLUSTER
def test_b_8_only_prometheus_and_the_load_balancer_reach_a_model_server(stack: str) -> None:
    arriving = {
        one["metadata"]["name"]: [port["port"] for _, rule in rules(one) for port in rule["ports"]]
        for one in policies_of(stack, "models")
        if "Ingress" in one["spec"]["policyTypes"] and not denies_everything(one)
    }

    assert arriving == {"from-load-balancer": [8443], "from-prometheus": [8081]}


@EVERY_CLUSTER
def test_b_8_every_connection_between_pods_is_allowed_at_both_ends(stack: str) -> None:
    """A row that stands once is a connection that never works, found here and not in the cluster."""
    leaving = {end for one in of_kind(stack, "NetworkPolicy") for end in ends(one, "to")}
    arriving = {end for one in of_kind(stack, "NetworkPolicy") for end in ends(one, "from")}

    assert len(leaving) > 10
    assert leaving == arriving


@EVERY_CLUSTER
def test_b_8_ports_of_network_policies_are_open_in_the_security_groups_too(stack: str) -> None:
    """Pods share the groups of their nodes: a port that only one of both layers opens is a connection that hangs."""
    rules_by_flow: dict[str, set[int]] = {}
    for one in of_type(captured("platform", stack), "SecurityGroupIngressRule"):
        flow = re.sub(r"-\d+(-udp)?-ingress$", "", one.name)
        rules_by_flow.setdefault(flow, set()).add(one.inputs["fromPort"])
    policies = of_kind(stack, "NetworkPolicy")
    between_pods = {end[2] for one in policies for end in ends(one, "to")}
    from_the_api = {
        port["port"]
        for one in policies
        if one["metadata"]["name"].endswith("from-kubernetes-api")
        for _, rule in rules(one)
        for port in rule["ports"]
    }

    assert between_pods - rules_by_flow["model-server-to-model-server"] == set()
    assert from_the_api - rules_by_flow["cluster-api-to-model-server"] == set()
    assert 8443 in rules_by_flow["model-server-to-model-server"]


def ends(policy: Manifest, side: str) -> Iterator[tuple[str, str, int]]:
    """Namespace it comes from, namespace it goes to, port; connections to addresses are left out."""
    own = policy["metadata"]["namespace"]
    for peers, rule in rules(policy):
        for peer in rule.get(peers, []) if peers == side else []:
            if "namespaceSelector" in peer:
                other = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
                for port in rule["ports"]:
                    yield (own, other, port["port"]) if side == "to" else (other, own, port["port"])


# --- B-9: namespaces and pods ------------------------------------------------------------------------


@EVERY_CLUSTER
def test_b_9_namespaces_are_restricted_at_a_pinned_version_and_exceptions_are_listed(stack: str) -> None:
    prefix = "pod-security.kubernetes.io"
    found = {one["metadata"]["name"]: one["metadata"]["labels"] for one in of_kind(stack, "Namespace")}

    assert set(found) == {room.value for room in OWN_ROOMS}
    assert {name for name, labels in found.items() if labels[f"{prefix}/enforce"] == "privileged"} == {"gpu-devices"}
    assert {room.value for room in PRIVILEGED_ROOMS} == {"gpu-devices"}
    for labels in found.values():
        levels = {labels[f"{prefix}/{mode}"] for mode in ("enforce", "audit", "warn")}
        versions = {labels[f"{prefix}/{mode}-version"] for mode in ("enforce", "audit", "warn")}
        assert levels in ({"restricted"}, {"privileged"})
        assert versions == {f"v{PINNED.version}"}


@EVERY_CLUSTER
def test_b_9_every_pod_outside_the_listed_namespaces_passes_the_restricted_standard(stack: str) -> None:
    judged = [(room, pod) for room, pod in pods(stack) if room not in {one.value for one in PRIVILEGED_ROOMS}]

    assert len(judged) >= 3
    assert [(room, why) for room, pod in judged if (why := breaches(pod))] == []


SERVER = ("containers", 0)
HOLES: list[tuple[tuple[str | int, ...], Any]] = [  # Any: JSON
    (("hostNetwork",), True),
    (("hostPID",), True),
    (("hostIPC",), True),
    (("volumes",), [{"name": "host", "hostPath": {"path": "/"}}]),
    (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
    (("securityContext", "runAsUser"), 0),
    ((*SERVER, "securityContext", "privileged"), True),
    ((*SERVER, "securityContext", "allowPrivilegeEscalation"), True),
    ((*SERVER, "securityContext", "runAsNonRoot"), False),
    ((*SERVER, "securityContext", "runAsUser"), 0),
    ((*SERVER, "securityContext", "seccompProfile"), {"type": "Unconfined"}),
    ((*SERVER, "securityContext", "capabilities"), {"drop": ["NET_RAW"]}),
    ((*SERVER, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    ((*SERVER, "securityContext", "procMount"), "Unmasked"),
    ((*SERVER, "securityContext", "seLinuxOptions"), {"type": "spc_t"}),
    ((*SERVER, "securityContext", "appArmorProfile"), {"type": "Unconfined"}),
    ((*SERVER, "securityContext", "windowsOptions"), {"hostProcess": True}),
    ((*SERVER, "ports"), [{"containerPort": 8000, "hostPort": 8000}]),
    ((*SERVER, "readinessProbe", "httpGet", "host"), "169.254.169.254"),
    (("initContainers", 0, "securityContext"), {}),
]


@pytest.mark.parametrize(("path", "value"), HOLES, ids=[".".join(map(str, path)) for path, _ in HOLES])
def test_b_9_each_control_of_the_standard_bites(path: tuple[str | int, ...], value: Any) -> None:
    pod = model_servers("prod")[0]["spec"]["template"]["spec"]

    assert breaches(pod) == []
    assert breaches(broken(pod, *path, to=value)) != []


@EVERY_CLUSTER
def test_b_9_no_pod_holds_a_token_of_the_kubernetes_api_but_those_that_ask_it(stack: str) -> None:
    asking = {room for room, pod in pods(stack) if pod["automountServiceAccountToken"]}

    assert asking == {"cluster-autoscaler", "monitoring"}
    assert all(one["automountServiceAccountToken"] is False for one in of_kind(stack, "ServiceAccount"))


@EVERY_CLUSTER
def test_b_9_every_container_has_bounds_and_a_root_that_nobody_writes(stack: str) -> None:
    for _, pod in pods(stack):
        for container in containers(pod):
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


@EVERY_CLUSTER
def test_b_9_gpus_and_load_balancers_are_for_nobody_else(stack: str) -> None:
    hard = {one["metadata"]["namespace"]: one["spec"]["hard"] for one in of_kind(stack, "ResourceQuota")}

    assert set(hard) == {room.value for room in OWN_ROOMS}
    assert {room for room, bounds in hard.items() if bounds.get("requests.nvidia.com/gpu") != "0"} == {"models"}
    assert {bounds["services.loadbalancers"] for bounds in hard.values()} == {"0"}


# --- B-10: images ------------------------------------------------------------------------------------


def pulled(pod: Manifest) -> list[str]:
    volumes = [volume["image"]["reference"] for volume in pod.get("volumes", []) if "image" in volume]
    return [*(one["image"] for one in containers(pod)), *volumes]


def own(image: str, account_id: str, region: str) -> bool:
    host = re.escape(f"{account_id}.dkr.ecr.{region}.amazonaws.com")
    return re.fullmatch(rf"{host}/[a-z0-9][a-z0-9._/-]*@sha256:[0-9a-f]{{64}}", image) is not None


@EVERY_CLUSTER
def test_b_10_every_image_is_ours_and_named_by_digest(stack: str) -> None:
    values = cluster_values(stack)
    images = [image for _, pod in pods(stack) for image in pulled(pod)]

    assert len(images) >= 9
    assert [image for image in images if not own(image, values["account_id"], values["region"])] == []


@EVERY_CLUSTER
def test_b_10_every_image_comes_from_a_repository_that_the_platform_made(stack: str) -> None:
    repositories = {one.inputs["name"] for one in of_type(captured("platform", stack), "Repository")}
    used = {image.partition("/")[2].partition("@")[0] for _, pod in pods(stack) for image in pulled(pod)}

    assert used - repositories == set()
    assert len(used) >= 7


@EVERY_CLUSTER
def test_b_10_images_of_a_chart_are_ours_and_named_by_digest(stack: str) -> None:
    values = cluster_values(stack)
    (chart,) = of_type(captured("cluster", stack), "Release")
    registry = f"{values['account_id']}.dkr.ecr.{values['region']}.amazonaws.com"
    given = chart.inputs["values"]["image"]

    repositories = {one.inputs["name"] for one in of_type(captured("platform", stack), "Repository")}
    assert chart.inputs["chart"].removeprefix(f"oci://{registry}/") in repositories
    assert set(given) == {"keda", "metricsApiServer", "webhooks"}
    for image in given.values():
        assert image["registry"] == registry
        assert re.fullmatch(r"\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", image["tag"])


@pytest.mark.parametrize(
    ("image", "admitted"),
    [
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com/vllm@sha256:" + "a" * 64, True),
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com/keda:2.20.2@sha256:" + "a" * 64, True),
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com/vllm:latest", False),
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com/vllm@sha256:" + "a" * 63, False),
        ("444455556666.dkr.ecr.us-east-1.amazonaws.com/vllm@sha256:" + "a" * 64, False),
        ("111122223333xdkr.ecr.us-east-1.amazonaws.com/vllm@sha256:" + "a" * 64, False),
        ("docker.io/vllm/vllm-openai@sha256:" + "a" * 64, False),
    ],
)
def test_b_10_the_api_server_admits_our_images_by_digest_and_no_other(image: str, *, admitted: bool) -> None:
    """CEL's `matches` is RE2; this pattern means the same to Python."""
    pattern = image_pattern("111122223333.dkr.ecr.us-east-1.amazonaws.com")

    assert bool(re.search(pattern, image)) is admitted


@EVERY_CLUSTER
def test_b_10_admission_holds_in_every_namespace_that_runs_our_images_and_fails_closed(stack: str) -> None:
    policy = the(stack, "ValidatingAdmissionPolicy", "own-images-by-digest")["spec"]
    binding = the(stack, "ValidatingAdmissionPolicyBinding", "own-images-by-digest")["spec"]
    label = binding["matchResources"]["namespaceSelector"]["matchLabels"]
    bound = {
        one["metadata"]["name"]
        for one in of_kind(stack, "Namespace")
        if label.items() <= one["metadata"]["labels"].items()
    }

    assert policy["failurePolicy"] == "Fail"
    assert binding["validationActions"] == ["Deny"]
    # The two others hold add-ons of EKS, whose images come from AWS.
    assert bound == {room.value for room in OWN_ROOMS} - {"cert-manager", "aws-privateca-issuer"}


# --- B-11: vLLM --------------------------------------------------------------------------------------

REQUIRED_ARGUMENTS = (
    "--max-model-len",
    "--max-num-seqs",
    "--load-format=safetensors",
    "--allowed-media-domains",
    "--shutdown-timeout",
    "--disable-fastapi-docs",
)
REQUIRED_VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_MAX_N_SEQUENCES": "64",
}


def unsafe(server: Manifest) -> list[str]:
    """What is forbidden and there, or required and missing."""
    arguments, given = server["args"], variables(server)
    flags = {argument.partition("=")[0] for argument in arguments}
    found = [flag for flag in vllm.FORBIDDEN_ARGUMENTS if flag in flags]
    found += [name for name in vllm.FORBIDDEN_VARIABLES if name in given]
    found += [flag for flag in REQUIRED_ARGUMENTS if not any(one.startswith(flag) for one in arguments)]
    return found + [name for name, value in REQUIRED_VARIABLES.items() if given.get(name) != value]


@EVERY_CLUSTER
def test_b_11_vllm_is_told_what_it_must_and_nothing_that_it_must_not(stack: str) -> None:
    servers = [named(containers(one["spec"]["template"]["spec"]), "server") for one in model_servers(stack)]

    assert servers
    assert [unsafe(server) for server in servers] == [[] for _ in servers]


@pytest.mark.parametrize("flag", [*vllm.FORBIDDEN_ARGUMENTS, "--trust-remote-code=true"])
def test_b_11_a_forbidden_argument_is_found(flag: str) -> None:
    server = named(containers(model_servers("prod")[0]["spec"]["template"]["spec"]), "server")

    assert unsafe({**server, "args": [*server["args"], flag]}) == [flag.partition("=")[0]]


@pytest.mark.parametrize("name", vllm.FORBIDDEN_VARIABLES)
def test_b_11_a_forbidden_variable_is_found(name: str) -> None:
    server = named(containers(model_servers("prod")[0]["spec"]["template"]["spec"]), "server")

    assert unsafe({**server, "env": [*server["env"], {"name": name, "value": "1"}]}) == [name]


@pytest.mark.parametrize("name", REQUIRED_VARIABLES)
def test_b_11_a_missing_variable_is_found(name: str) -> None:
    server = named(containers(model_servers("prod")[0]["spec"]["template"]["spec"]), "server")

    assert unsafe({**server, "env": [one for one in server["env"] if one["name"] != name]}) == [name]


def test_b_11_the_pinned_version_is_above_every_listed_fix() -> None:
    assert release(VLLM_VERSION) >= release(VLLM_VERSION_MIN) >= (0, 30, 0)
    assert open_holes(VLLM_VERSION) == []
    assert open_holes(VLLM_VERSION_MIN) == []
    assert {hole.cve for hole in FLOOR}.isdisjoint(WITHOUT_FIX)


@pytest.mark.parametrize(
    ("version", "cve"),
    [
        ("0.29.0", "CVE-2026-94622"),
        ("0.23.9", "CVE-2026-54234"),
        ("0.14.0", "CVE-2026-22778"),
        ("0.9.2", "CVE-2026-22807"),
    ],
)
def test_b_11_an_older_version_is_told_its_holes(version: str, cve: str) -> None:
    assert cve in {hole.cve for hole in open_holes(version)}


@EVERY_CLUSTER
def test_b_11_the_key_of_a_model_server_is_in_no_manifest(stack: str) -> None:
    """It is made in the pod: neither state nor API server ever hold it."""
    for one in model_servers(stack):
        pod = one["spec"]["template"]["spec"]
        by_name = {volume["name"]: volume for volume in pod["volumes"]}
        assert by_name["key"]["emptyDir"]["medium"] == "Memory"
    assert of_kind(stack, "Secret") == []
    assert all(one.secrets == () for one in captured("cluster", stack).resources)


# --- B-13: weights -----------------------------------------------------------------------------------


@EVERY_CLUSTER
def test_b_13_the_annotation_is_the_configured_manifest_and_the_verifier_demands_it(stack: str) -> None:
    wanted = {version["manifest_sha256"] for version in cluster_values(stack)["model"]["versions"]}
    for one in model_servers(stack):
        template = one["spec"]["template"]
        digest = template["metadata"]["annotations"][MANIFEST_ANNOTATION]
        verifier = named(template["spec"]["initContainers"], "verify-weights")
        assert one["metadata"]["annotations"][MANIFEST_ANNOTATION] == digest
        assert f"--manifest-sha256={digest}" in verifier["args"]
        wanted.remove(digest)
    assert wanted == set()


@EVERY_CLUSTER
def test_b_13_weights_are_verified_after_the_last_who_writes_them_and_before_the_first_who_serves_them(
    stack: str,
) -> None:
    for one in model_servers(stack):
        pod = one["spec"]["template"]["spec"]
        order = [container["name"] for container in containers(pod)]
        writing = [
            container["name"]
            for container in containers(pod)
            for mount in container["volumeMounts"]
            if mount["name"] == "weights" and not mount.get("readOnly")
        ]
        assert writing == ["fetch-weights"]
        assert order.index("fetch-weights") < order.index("verify-weights") < order.index("server")


# --- B-14: times -------------------------------------------------------------------------------------


def seconds_given(server: Manifest) -> int:
    (given,) = [one for one in server["args"] if one.startswith("--shutdown-timeout=")]
    return int(given.partition("=")[2])


def times_fit(pod: Manifest) -> bool:
    server = named(containers(pod), "server")
    leaving = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    return bool(pod["terminationGracePeriodSeconds"] > leaving + seconds_given(server))


def startup_budget(server: Manifest) -> int:
    probe = server["startupProbe"]
    return int(probe["periodSeconds"] * probe["failureThreshold"])


@EVERY_CLUSTER
def test_b_14_grace_outlasts_leaving_and_draining_and_the_load_balancer_waits_as_long(stack: str) -> None:
    (targets,) = [
        one
        for one in of_type(captured("platform", stack), "TargetGroup")
        if one.inputs["port"] == the(stack, "Service", "models", "models")["spec"]["ports"][0]["nodePort"]
    ]
    for one in model_servers(stack):
        pod = one["spec"]["template"]["spec"]
        assert times_fit(pod)
        assert int(targets.inputs["deregistrationDelay"]) >= seconds_given(named(containers(pod), "server"))
    assert int(targets.inputs["deregistrationDelay"]) == DRAIN_S


@EVERY_CLUSTER
def test_b_14_the_startup_budget_covers_the_configured_load_time(stack: str) -> None:
    by_version = {one["version"]: one for one in cluster_values(stack)["model"]["versions"]}
    for one in model_servers(stack):
        version = by_version[one["metadata"]["labels"]["llm-pipelines.io/model-version"]]
        server = named(containers(one["spec"]["template"]["spec"]), "server")
        assert startup_budget(server) >= version["startup_s"]
        assert one["spec"]["progressDeadlineSeconds"] > version["startup_s"]


def test_b_14_a_grace_that_is_too_short_is_found() -> None:
    pod = model_servers("prod")[0]["spec"]["template"]["spec"]

    assert not times_fit(broken(pod, "terminationGracePeriodSeconds", to=315))


# --- B-18: certificates ------------------------------------------------------------------------------


def hours(duration: str) -> int:
    return int(duration.partition("h")[0])


@EVERY_CLUSTER
def test_b_18_the_proxy_shows_a_certificate_of_a_day_from_the_private_authority(stack: str) -> None:
    promised = captured("platform", stack).outputs["modelCluster"]
    certificate = the(stack, "Certificate", "model-proxy", "models")["spec"]
    issuer = the(stack, "AWSPCAClusterIssuer", certificate["issuerRef"]["name"])
    mounted = {
        volume["secret"]["secretName"]
        for one in model_servers(stack)
        for volume in one["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    }

    assert hours(certificate["duration"]) <= 24
    assert hours(certificate["renewBefore"]) < hours(certificate["duration"])
    assert certificate["dnsNames"] == [promised["hostName"]]
    # The issuer picks the template by the usages; its role may use the one for servers alone.
    assert certificate["usages"] == ["server auth"]
    assert issuer["spec"]["arn"] == promised["privateCaArn"]
    assert mounted == {certificate["secretName"]}


@EVERY_CLUSTER
def test_b_18_the_load_balancer_leads_to_the_proxy_and_never_past_it(stack: str) -> None:
    services = [one for one in of_kind(stack, "Service") if one["metadata"]["namespace"] == "models"]
    (port,) = services[0]["spec"]["ports"]
    pod = model_servers(stack)[0]["spec"]["template"]["spec"]

    assert len(services) == 1
    assert port["nodePort"] == captured("platform", stack).outputs["modelCluster"]["nodePort"]
    assert {"name": "https", "containerPort": port["targetPort"]} in named(pod["initContainers"], "proxy")["ports"]
    # The server itself is on the loopback of its pod, where only the proxy is.
    assert "--host=127.0.0.1" in named(containers(pod), "server")["args"]
    assert all(one["spec"]["type"] in ("NodePort", "ClusterIP") for one in of_kind(stack, "Service"))


# --- B-19: scaling -----------------------------------------------------------------------------------


def wakes_by_itself(spec: Manifest) -> bool:
    """At zero replicas a model server has no metrics: something else must ask for the first one."""
    others = [one for one in spec["triggers"] if "vllm:" not in json.dumps(one["metadata"])]
    return spec["minReplicaCount"] > 0 or bool(others)


@EVERY_CLUSTER
def test_b_19_queue_latency_and_forecast_decide_within_bounds(stack: str) -> None:
    nodes = captured("platform", stack).outputs["modelCluster"]["gpuNodes"]
    values = cluster_values(stack)
    gpus = {group: most * values["gpus_per_node"][group] for group, most in nodes.items()}
    for version, one in zip(values["model"]["versions"], of_kind(stack, "ScaledObject"), strict=True):
        spec = one["spec"]
        found = {trigger["name"].partition("-")[0]: trigger for trigger in spec["triggers"]}
        assert set(found) == {"queue", "latency", "forecast"}
        assert "vllm:num_requests_waiting" in found["queue"]["metadata"]["query"]
        assert "vllm:e2e_request_latency_seconds_bucket" in found["latency"]["metadata"]["query"]
        assert found["forecast"]["type"] == "cron"
        assert 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
        assert spec["maxReplicaCount"] * version["gpus"] <= gpus[version["gpu_group"]]
        assert wakes_by_itself(spec)


@EVERY_CLUSTER
def test_b_19_replicas_go_slowly_and_come_at_once(stack: str) -> None:
    for one in of_kind(stack, "ScaledObject"):
        behavior = one["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0


@EVERY_CLUSTER
def test_b_19_a_scaled_object_names_a_deployment_that_exists(stack: str) -> None:
    targets = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(stack, "ScaledObject")}

    assert targets == {one["metadata"]["name"] for one in model_servers(stack)}


@EVERY_CLUSTER
def test_b_19_the_metrics_that_triggers_ask_for_are_collected_under_the_labels_they_name(stack: str) -> None:
    """A label spelt differently at both ends is an empty answer, and a model that never scales."""
    written = the(stack, "ConfigMap", "prometheus", "monitoring")["data"]["prometheus.yml"]
    job = next(one for one in json.loads(written)["scrape_configs"] if one["job_name"] == "model-servers")
    service = the(stack, "Service", "prometheus", "monitoring")
    label = "__meta_kubernetes_pod_label_" + re.sub(r"[^A-Za-z0-9]", "_", VERSION_LABEL)
    labelled = {one["target_label"]: one["source_labels"] for one in job["relabel_configs"] if "target_label" in one}
    kept = next(one["regex"] for one in job["relabel_configs"] if one.get("action") == "keep")

    assert labelled["version"] == [label]
    assert job["metrics_path"] == "/model-metrics"
    assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == ["models"]
    for one in model_servers(stack):
        proxy = named(one["spec"]["template"]["spec"]["initContainers"], "proxy")
        assert int(kept) in [port["containerPort"] for port in proxy["ports"]]
        assert one["spec"]["template"]["metadata"]["labels"][VERSION_LABEL]
    for one in of_kind(stack, "ScaledObject"):
        asked = [trigger["metadata"] for trigger in one["spec"]["triggers"] if trigger["type"] == "prometheus"]
        address = f"http://{service['metadata']['name']}.monitoring.svc:{service['spec']['ports'][0]['port']}"
        assert {metadata["serverAddress"] for metadata in asked} == {address}
        assert all('version="v1"' in metadata["query"] for metadata in asked)


def scaling(**changes: Any) -> Scaling:
    usual: dict[str, Any] = {
        "replicas_min": 1,
        "replicas_max": 4,
        "gpus_per_replica": 2,
        "gpus_max": 8,
        "waiting_per_replica": 8,
        "p95_s": 20.0,
        "forecast": (ForecastHours("0 8 * * *", "0 18 * * *", 3),),
    }
    return Scaling(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"replicas_max": 5}, "must not exceed the 8 GPUs of the node group"),
        ({"replicas_min": 5}, "replicas_min must not exceed replicas_max"),
        ({"replicas_min": 0, "forecast": ()}, "nothing would wake the model"),
        ({"forecast": (ForecastHours("0 8 * * *", "0 18 * * *", 5),)}, "forecast replicas must not exceed"),
    ],
)
def test_b_19_bounds_that_contradict_each_other_are_refused(changes: Mapping[str, Any], sentence: str) -> None:
    assert scaling()
    with pytest.raises(AutoscalingError, match=sentence):
        scaling(**changes)


def test_b_19_a_model_that_only_its_own_metrics_could_wake_is_seen() -> None:
    reactive = [one for one in triggers("m", "v1", scaling()) if one["type"] == "prometheus"]

    assert wakes_by_itself({"minReplicaCount": 0, "triggers": triggers("m", "v1", scaling(replicas_min=0))})
    assert not wakes_by_itself({"minReplicaCount": 0, "triggers": reactive})


# --- B-23: no young API ------------------------------------------------------------------------------


def unstable(types: list[str]) -> list[str]:
    """Kinds of the inference extension other than the stable pool."""
    found = [one for one in types if "inference" in one.lower() or "llm-d" in one]
    return [one for one in found if one != "kubernetes:inference.networking.k8s.io/v1:InferencePool"]


@EVERY_CLUSTER
def test_b_23_nothing_of_the_inference_api_but_the_stable_pool(stack: str) -> None:
    types = [one.type for one in captured("cluster", stack).resources]

    assert len(types) > 100
    assert unstable(types) == []


@pytest.mark.parametrize(
    "token",
    [
        "kubernetes:inference.networking.x-k8s.io/v1alpha2:InferenceModel",
        "kubernetes:inference.networking.x-k8s.io/v1alpha2:InferenceObjective",
        "kubernetes:inference.networking.x-k8s.io/v1alpha2:InferencePool",
        "kubernetes:llm-d.ai/v1alpha2:InferenceObjective",
    ],
)
def test_b_23_a_young_kind_is_found(token: str) -> None:
    assert unstable([token, "kubernetes:inference.networking.k8s.io/v1:InferencePool"]) == [token]


# --- graph -------------------------------------------------------------------------------------------


@EVERY_CLUSTER
def test_graph_21_gpu_taint_and_labels_match_the_model_servers(stack: str) -> None:
    groups = {
        one.inputs["labels"]["llm-pipelines.io/node-group"]: one.inputs
        for one in captured("platform", stack).of_type("aws:eks/nodeGroup:NodeGroup")
    }
    for one in model_servers(stack):
        pod = one["spec"]["template"]["spec"]
        group = groups[pod["nodeSelector"]["llm-pipelines.io/node-group"]]
        (taint,) = group["taints"]
        (toleration,) = pod["tolerations"]
        assert pod["nodeSelector"].items() <= group["labels"].items()
        assert (taint["key"], taint["value"]) == (toleration["key"], toleration["value"])
        assert (taint["effect"], toleration["effect"]) == ("NO_SCHEDULE", "NoSchedule")
        assert "nvidia.com/gpu" in named(containers(pod), "server")["resources"]["limits"]


@EVERY_CLUSTER
def test_graph_1_every_kubernetes_object_has_the_explicit_provider(stack: str) -> None:
    deployment = captured("cluster", stack)
    (provider,) = [one for one in deployment.resources if one.type == "pulumi:providers:kubernetes"]
    objects = [one for one in deployment.resources if one.type.startswith("kubernetes:")]

    assert all(one.provider.startswith(provider.urn) for one in objects)
