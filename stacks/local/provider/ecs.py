"""ECS: clusters, task definitions and services. A service's task is a local process where the parts run."""

from __future__ import annotations

import json

from stacks.local.engine_graph import Json
from stacks.local.provider import containers
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list


def _tags(inputs: Inputs) -> list[dict[str, str]]:
    return tag_list(inputs, "key", "value")


def _create_cluster(aws: Aws, inputs: Inputs) -> Made:
    made = aws.client("ecs").create_cluster(
        clusterName=inputs["name"], **given(settings=inputs.get("settings"), tags=_tags(inputs))
    )
    return Made(made["cluster"]["clusterArn"])


def _read_cluster(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("ecs").describe_clusters(clusters=[identifier], include=["SETTINGS"])["clusters"]
    if not found or found[0]["status"] == "INACTIVE":
        return None
    return given(arn=found[0]["clusterArn"], name=found[0]["clusterName"], settings=found[0].get("settings"))


def _delete_cluster(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ecs").delete_cluster(cluster=identifier)


def _create_definition(aws: Aws, inputs: Inputs) -> Made:
    definitions = inputs["containerDefinitions"]
    made = aws.client("ecs").register_task_definition(
        family=inputs["family"],
        containerDefinitions=json.loads(definitions) if isinstance(definitions, str) else definitions,
        **given(
            taskRoleArn=inputs.get("taskRoleArn"),
            executionRoleArn=inputs.get("executionRoleArn"),
            networkMode=inputs.get("networkMode"),
            requiresCompatibilities=inputs.get("requiresCompatibilities"),
            cpu=inputs.get("cpu"),
            memory=inputs.get("memory"),
            volumes=inputs.get("volumes"),
            runtimePlatform=_platform(inputs.get("runtimePlatform")),
            tags=_tags(inputs),
        ),
    )
    return Made(made["taskDefinition"]["taskDefinitionArn"])


def _platform(platform: Inputs | None) -> dict[str, Json] | None:
    return dict(platform) if platform else None


def _read_definition(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("ecs").describe_task_definition(taskDefinition=identifier)["taskDefinition"]
    if found["status"] != "ACTIVE":
        return None
    return given(
        arn=found["taskDefinitionArn"],
        arnWithoutRevision=found["taskDefinitionArn"].rpartition(":")[0],
        family=found["family"],
        revision=found["revision"],
        containerDefinitions=json.dumps(found["containerDefinitions"]),
        taskRoleArn=found.get("taskRoleArn"),
        executionRoleArn=found.get("executionRoleArn"),
        networkMode=found.get("networkMode"),
        cpu=found.get("cpu"),
        memory=found.get("memory"),
    )


def _delete_definition(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ecs").deregister_task_definition(taskDefinition=identifier)


def _create_service(aws: Aws, inputs: Inputs) -> Made:
    network = inputs.get("networkConfiguration")
    made = aws.client("ecs").create_service(
        serviceName=inputs["name"],
        taskDefinition=inputs["taskDefinition"],
        desiredCount=inputs.get("desiredCount", 1),
        **given(
            cluster=inputs.get("cluster"),
            launchType=inputs.get("launchType"),
            platformVersion=inputs.get("platformVersion"),
            loadBalancers=inputs.get("loadBalancers"),
            networkConfiguration={"awsvpcConfiguration": _network(network)} if network else None,
            propagateTags=inputs.get("propagateTags"),
            tags=_tags(inputs),
        ),
    )
    if aws.starts_services:
        containers.start_service(aws, inputs["name"], inputs["taskDefinition"])
    return Made(made["service"]["serviceArn"])


def _network(network: Inputs) -> dict[str, Json]:
    return given(
        subnets=network.get("subnets"),
        securityGroups=network.get("securityGroups"),
        assignPublicIp="ENABLED" if network.get("assignPublicIp") else "DISABLED",
    )


def _read_service(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    cluster = inputs.get("cluster") or identifier.split("/")[-2]
    found = aws.client("ecs").describe_services(cluster=cluster, services=[identifier])["services"]
    if not found or found[0]["status"] != "ACTIVE":
        return None
    service = found[0]
    return given(
        arn=service["serviceArn"],
        name=service["serviceName"],
        cluster=service["clusterArn"],
        taskDefinition=service["taskDefinition"],
        desiredCount=service["desiredCount"],
        launchType=service.get("launchType"),
    )


def _delete_service(aws: Aws, identifier: str, inputs: Inputs) -> None:
    if aws.parts is not None:
        containers.stop_service(aws, inputs["name"])
    aws.client("ecs").delete_service(cluster=inputs["cluster"], service=identifier, force=True)


KINDS = {
    "aws:ecs/cluster:Cluster": Kind(_create_cluster, _read_cluster, _delete_cluster),
    "aws:ecs/taskDefinition:TaskDefinition": Kind(_create_definition, _read_definition, _delete_definition),
    "aws:ecs/service:Service": Kind(_create_service, _read_service, _delete_service),
}
