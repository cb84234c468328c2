"""The cluster program as a whole: where it runs, where it refuses, and what it waits for."""

from __future__ import annotations

import json

import pytest

from stacks.local import engine
from stacks.local.engine_graph import EngineError
from stacks.local.policy_runs import PACK_FOLDERS
from tests.contracts.programs import CLUSTERS, captured, of_type
from tests.stacks.configurations import CLUSTER, REPOSITORY, cluster_values

# One worker captures each graph once; pulumi_aws warns about names of its own while it is imported.
pytestmark = [
    pytest.mark.xdist_group("programs"),
    pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning"),
]
EVERY_CLUSTER = pytest.mark.parametrize("stack", CLUSTERS)


@EVERY_CLUSTER
def test_a_preview_shows_what_is_deployed(stack: str) -> None:
    previewed = [(one.type, one.name) for one in captured("cluster", stack, preview=True).resources]

    assert sorted(previewed) == sorted((one.type, one.name) for one in captured("cluster", stack).resources)


@EVERY_CLUSTER
def test_the_program_runs_without_a_word_of_warning(stack: str) -> None:
    assert captured("cluster", stack).messages == ()


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_where_the_platform_hosts_no_models_the_program_refuses_with_the_reason(stack: str) -> None:
    settings = {**cluster_values("staging"), "environment": stack}
    promised = {key: value for key, value in captured("platform", "staging").outputs.items() if key == "platform"}

    with pytest.raises(EngineError, match=f"llm-pipelines/{stack} does not promise modelCluster: deploy the platform"):
        engine.run(
            CLUSTER,
            stack,
            config={"cluster": json.dumps(settings)},
            references={f"organization/llm-pipelines/{stack}": promised},
        )


def test_settings_of_another_environment_are_refused_before_anything_exists() -> None:
    with pytest.raises(EngineError, match="environment must be the stack's name prod"):
        engine.run(CLUSTER, "prod", config={"cluster": json.dumps(cluster_values("staging"))})


def test_the_platform_of_another_account_is_refused() -> None:
    settings = {**cluster_values("staging"), "account_id": "999999999999"}
    references = {"organization/llm-pipelines/staging": captured("platform", "staging").outputs}

    with pytest.raises(EngineError, match="account_id must be the platform's 222233334444"):
        engine.run(CLUSTER, "staging", config={"cluster": json.dumps(settings)}, references=references)


@EVERY_CLUSTER
@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_d_12_both_packs_run_over_the_cluster_and_find_nothing(stack: str, *, preview: bool) -> None:
    judged = engine.run(
        CLUSTER,
        stack,
        preview=preview,
        packs=[engine.Pack(folder, in_process=True) for folder in PACK_FOLDERS.values()],
        references={f"organization/llm-pipelines/{stack}": captured("platform", stack).outputs},
    )

    assert [(one.policy, one.urn, one.message) for one in judged.findings if one.level == "mandatory"] == []


def behind(deployment: engine.Deployment, urn: str) -> set[str]:
    """Everything that exists before this resource and goes after it."""
    by_urn = {one.urn: one for one in deployment.resources}
    found: set[str] = set()
    waiting = [urn]
    while waiting:
        for dependency in by_urn[waiting.pop()].dependencies:
            if dependency not in found:
                found.add(dependency)
                waiting.append(dependency)
    return found


@EVERY_CLUSTER
def test_model_servers_wait_for_what_they_need_and_go_before_it(stack: str) -> None:
    """Devices, names, certificates and walls come first; a `destroy` leaves them until the last."""
    deployment = captured("cluster", stack)
    server = next(one for one in of_type(deployment, "Deployment") if one.name.startswith("assistant-"))
    kinds = {urn.rpartition("::")[0].rpartition(":")[2] for urn in behind(deployment, server.urn)}

    assert kinds >= {"Namespace", "NetworkPolicy", "Addon", "DaemonSet", "ServiceAccount", "Certificate", "Release"}


@EVERY_CLUSTER
def test_the_autoscaler_alone_says_how_many_replicas_run(stack: str) -> None:
    servers = [one for one in of_type(captured("cluster", stack), "Deployment") if one.name.startswith("assistant-")]

    assert servers
    assert all(one.ignore_changes == ("spec.replicas",) for one in servers)


@pytest.mark.parametrize(("stack", "gpus"), [("staging", "2"), ("prod", "8")])
def test_model_servers_may_take_the_gpus_that_node_groups_may_have(stack: str, gpus: str) -> None:
    [quota] = [one for one in of_type(captured("cluster", stack), "ResourceQuota") if one.name == "models-quota"]

    assert quota.inputs["spec"]["hard"]["requests.nvidia.com/gpu"] == gpus


LISTED = REPOSITORY / "tests" / "contracts" / "graphs" / "cluster.txt"


def listed() -> str:
    """Type and name of every resource: a new name is a replacement, and shows in review."""
    found: dict[tuple[str, str], list[str]] = {}
    for stack in CLUSTERS:
        for resource in captured("cluster", stack).resources:
            if not resource.type.startswith("pulumi:pulumi:"):
                found.setdefault((resource.type, resource.name), []).append(stack)
    some = {key: "" if len(stacks) == len(CLUSTERS) else f"  [{', '.join(stacks)}]" for key, stacks in found.items()}
    return "".join(f"{kind} {name}{some[kind, name]}\n" for kind, name in sorted(found))


def test_the_program_deploys_exactly_what_is_listed() -> None:
    assert listed() == LISTED.read_text(encoding="utf-8")


if __name__ == "__main__":
    LISTED.write_text(listed(), encoding="utf-8")
