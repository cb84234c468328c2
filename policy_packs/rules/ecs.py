"""ECS: containers run as nobody, write nothing into their image, and are exactly the image that was tested.

Tasks share nothing with their host, services have no public address, and sessions in containers leave a trace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, View, plain

TASK_DEFINITION: Final = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE: Final = "aws:ecs/service:Service"
TASK_SET: Final = "aws:ecs/taskSet:TaskSet"
CLUSTER: Final = "aws:ecs/cluster:Cluster"
_ROOT: Final = r"(root|0+)(:.*)?"


def containers(task: Resource) -> View:
    """The list in the JSON text; MISSING when it is no list that can be read."""
    definitions = task.at("containerDefinitions")
    if not isinstance(definitions.value, str):
        return definitions
    try:
        parsed = plain(json.loads(definitions.value))
    except json.JSONDecodeError:
        parsed = MISSING
    return View(parsed if isinstance(parsed, list) and parsed else MISSING, definitions.path)


def _hardened(task: Resource) -> Iterator[Outcome]:
    listed = containers(task)
    yield from demand(listed.is_given(), "holds no container that can be read", listed)
    for container in () if listed.is_unknown else listed.items():
        read_only, privileged = (
            container.at("readonlyRootFilesystem", absent=False),
            container.at("privileged", absent=False),
        )
        yield from demand(read_only.equals(True), "the root file system can be written", read_only)
        yield from forbid(privileged.equals(True), "the container is privileged", privileged)
        user, image = container.at("user"), container.at("image")
        yield from demand(all_of(user.is_given(), negate(user.matches(_ROOT))), "the container may run as root", user)
        yield from demand(image.matches(r".+@sha256:[0-9a-f]{64}"), "the image is not named by its digest", image)


_GOOD = {
    "name": "gateway",
    "image": "registry/gateway@sha256:" + "0" * 64,
    "user": "10001",
    "readonlyRootFilesystem": True,
}


def _task(**changes: object) -> Resource:
    return Resource.example(TASK_DEFINITION, {"containerDefinitions": json.dumps([{**_GOOD, **changes}])})


HARDENED_CONTAINERS = Rule(
    name="ecs-task-definition-require-hardened-containers",
    description="Containers run as a user that is not root, on a read-only file system, from an image named by digest.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.8", "CC8.1"),
        iso27001_2022=("A.8.9", "A.8.19", "A.5.21"),
        nist_800_53_r5=("CM-7", "AC-6", "SI-7", "SR-11"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0010.001", "AML.M0014"),
    ),
    remediation="Set user, readonlyRootFilesystem and an image of the form repository@sha256:… in every container.",
    checkov=("CKV_AWS_334", "CKV_AWS_336"),
    resource_types=(TASK_DEFINITION,),
    check=_hardened,
    obeys={"hardened": _task(), "a user and a group": _task(user="10001:10001")},
    breaks={
        "a writable root": _task(readonlyRootFilesystem=False),
        "a root that nobody made read-only": _task(readonlyRootFilesystem=None),
        "no user: the image decides": _task(user=""),
        "root by number": _task(user="0:0"),
        "root by name": _task(user="root"),
        "an image by tag": _task(image="registry/gateway:latest"),
        "privileged": _task(privileged=True),
        "no containers": Resource.example(TASK_DEFINITION, {"containerDefinitions": "[]"}),
        "no JSON": Resource.example(TASK_DEFINITION, {"containerDefinitions": "["}),
    },
    neighbours={
        "a set of tasks names a definition": Resource.example(TASK_SET, {"taskDefinition": "gateway"}),
    },
)


def _shares_nothing(task: Resource) -> Iterator[Outcome]:
    for name, sentence in _SHARED.items():
        yield from forbid(task.at(name).equals("host"), sentence, task.at(name))


_SHARED: Final = {
    "pidMode": "the task sees and signals the processes of its host",
    "ipcMode": "the task reads the shared memory of its host",
    "networkMode": "the task has the addresses of its host, and reaches its credentials",
}

NO_HOST_NAMESPACES = Rule(
    name="ecs-task-definition-disallow-host-namespaces",
    description="A task shares neither processes nor memory nor addresses with its host.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.8"),
        iso27001_2022=("A.8.9", "A.8.22"),
        nist_800_53_r5=("AC-6", "CM-7", "SC-39"),
        owasp_llm=("LLM03:2026",),
    ),
    remediation='Leave pid_mode and ipc_mode out, and set network_mode="awsvpc".',
    checkov=("CKV_AWS_335",),
    resource_types=(TASK_DEFINITION,),
    check=_shares_nothing,
    obeys={
        "addresses of its own": Resource.example(TASK_DEFINITION, {"networkMode": "awsvpc"}),
        "processes shared by its own containers": Resource.example(
            TASK_DEFINITION, {"pidMode": "task", "ipcMode": "none"}
        ),
    },
    breaks={
        "processes": Resource.example(TASK_DEFINITION, {"pidMode": "host"}),
        "memory": Resource.example(TASK_DEFINITION, {"ipcMode": "host"}),
        "addresses": Resource.example(TASK_DEFINITION, {"networkMode": "host"}),
    },
    neighbours={"AWS's default is a bridge": Resource.example(TASK_DEFINITION, {})},
)


def _separate_roles(task: Resource) -> Iterator[Outcome]:
    execution, own = task.at("executionRoleArn"), task.at("taskRoleArn")
    truth = any_of(*(negate(one.is_given()) for one in (execution, own)), _differ(execution, own))
    yield from demand(truth, "the containers have the rights that start them: secrets, images, logs", own)


def _differ(one: View, other: View) -> Truth:
    return Truth.UNKNOWN if one.is_unknown else negate(other.equals(one.value))


def _roles(execution: object, own: object) -> Resource:
    return Resource.example(TASK_DEFINITION, {"executionRoleArn": execution, "taskRoleArn": own})


SEPARATE_ROLES = Rule(
    name="ecs-task-definition-require-separate-roles",
    description="What starts a task and what runs in it have different roles.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.3",),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-5", "AC-6"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012",),
    ),
    remediation="Give task_role_arn a role of its own, without the rights of execution_role_arn.",
    checkov=("CKV_AWS_249",),
    resource_types=(TASK_DEFINITION,),
    check=_separate_roles,
    obeys={"two roles": _roles("arn:aws:iam::111122223333:role/start", "arn:aws:iam::111122223333:role/run")},
    breaks={"one role": _roles("arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role/app")},
    neighbours={
        "nothing runs with a role": _roles("arn:aws:iam::111122223333:role/start", None),
        "nothing starts with one": _roles(None, "arn:aws:iam::111122223333:role/run"),
        "neither": Resource.example(TASK_DEFINITION, {}),
    },
)


def _efs_encrypted(task: Resource) -> Iterator[Outcome]:
    for volume in (one.at("efsVolumeConfiguration") for one in task.at("volumes").items()):
        encrypted = volume.at("transitEncryption")
        truth = any_of(negate(volume.is_given()), encrypted.equals("ENABLED"))
        yield from demand(truth, "files travel in clear", encrypted)


def _volumes(*volumes: object) -> Resource:
    return Resource.example(TASK_DEFINITION, {"volumes": volumes})


_EFS = {"fileSystemId": "fs-0a1", "transitEncryption": "ENABLED"}

EFS_ENCRYPTED = Rule(
    name="ecs-task-definition-require-encrypted-efs-mounts",
    description="Files of a shared file system reach a task by TLS.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation="Set transit_encryption=ENABLED in efs_volume_configuration of every volume.",
    checkov=("CKV_AWS_97",),
    resource_types=(TASK_DEFINITION,),
    check=_efs_encrypted,
    obeys={
        "by TLS": _volumes({"name": "models", "efsVolumeConfiguration": _EFS}),
        "beside a scratch volume": _volumes({"name": "tmp"}, {"name": "models", "efsVolumeConfiguration": _EFS}),
    },
    breaks={
        "left out, and AWS's default is no": _volumes({"efsVolumeConfiguration": {"fileSystemId": "fs-0a1"}}),
        "turned off": _volumes({"efsVolumeConfiguration": {**_EFS, "transitEncryption": "DISABLED"}}),
        "one of two": _volumes(
            {"efsVolumeConfiguration": _EFS}, {"efsVolumeConfiguration": {"fileSystemId": "fs-0b2"}}
        ),
    },
    neighbours={
        "a scratch volume": _volumes({"name": "tmp"}),
        "no volume": Resource.example(TASK_DEFINITION, {}),
    },
)


def _no_public_address(service: Resource) -> Iterator[Outcome]:
    public = service.at("networkConfiguration.assignPublicIp")
    yield from demand(public.equals(False), "each task has a public address", public)


def _service(**props: object) -> Resource:
    return Resource.example(SERVICE, props)


NO_PUBLIC_ADDRESS = Rule(
    name="ecs-service-disallow-public-address",
    description="The tasks of a service have no address that the internet can reach.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049",),
    ),
    remediation="Leave assign_public_ip out of network_configuration, or set it to False.",
    checkov=("CKV_AWS_333",),
    resource_types=(SERVICE, TASK_SET),
    check=_no_public_address,
    obeys={
        "said so": _service(networkConfiguration={"assignPublicIp": False}),
        "a set of its tasks": Resource.example(TASK_SET, {"networkConfiguration": {"subnets": ["subnet-0a1"]}}),
        "left out: the provider asks for none": _service(networkConfiguration={"subnets": ["subnet-0a1"]}),
    },
    breaks={
        "public": _service(networkConfiguration={"assignPublicIp": True}),
        "neither yes nor no": _service(networkConfiguration={"assignPublicIp": "ENABLED"}),
        "a set of its tasks": Resource.example(TASK_SET, {"networkConfiguration": {"assignPublicIp": True}}),
    },
    neighbours={"a service on the network of its hosts": _service(launchType="EC2")},
)


def _current_platform(service: Resource) -> Iterator[Outcome]:
    on_fargate = any_of(
        service.at("launchType").equals("FARGATE"),
        service.at("capacityProviderStrategies").any(lambda one: one.at("capacityProvider").matches("FARGATE.*")),
    )
    if on_fargate is Truth.NO:
        yield NotApplicable("its hosts are not AWS's to patch")
        return
    version, current = service.at("platformVersion"), View(service.settings["platform_versions"])
    truth = any_of(negate(on_fargate), version.equals(*(one.value for one in current.items())))
    yield from demand(truth, "a version of the platform that gets no fixes", version)


CURRENT_PLATFORM = Rule(
    name="ecs-service-require-current-platform",
    description="A service on Fargate runs on the platform version that AWS patches.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("CC7.1",), iso27001_2022=("A.8.8",), nist_800_53_r5=("SI-2", "RA-5")),
    remediation="Leave platform_version out, or name one of the setting platform_versions.",
    settings={"platform_versions": ("LATEST", "1.4.0")},
    checkov=("CKV_AWS_332",),
    resource_types=(SERVICE, TASK_SET),
    check=_current_platform,
    obeys={
        "whichever is the latest": _service(launchType="FARGATE", platformVersion="LATEST"),
        "the latest by number": _service(launchType="FARGATE", platformVersion="1.4.0"),
        "left out, and AWS's default is the latest": _service(launchType="FARGATE"),
        "by capacity provider": _service(
            capacityProviderStrategies=[{"capacityProvider": "FARGATE"}], platformVersion="1.4.0"
        ),
    },
    breaks={
        "an old one": _service(launchType="FARGATE", platformVersion="1.3.0"),
        "a set of its tasks": Resource.example(TASK_SET, {"launchType": "FARGATE", "platformVersion": "1.3.0"}),
        "an old one on spare capacity": _service(
            capacityProviderStrategies=[{"capacityProvider": "FARGATE_SPOT"}], platformVersion="1.3.0"
        ),
    },
    neighbours={
        "instances of ours have no platform version": _service(launchType="EC2", platformVersion="1.3.0"),
        "nor has a group of instances": _service(
            capacityProviderStrategies=[{"capacityProvider": "gpu-hosts"}], platformVersion="1.3.0"
        ),
        "nor AWS's default": _service(),
    },
)


def _watched(cluster: Resource) -> Iterator[Outcome]:
    settings = cluster.at("settings")
    yield from demand(settings.any(_is_insights), "nobody sees what its containers use, or that they die", settings)


def _is_insights(setting: View) -> Truth:
    return all_of(setting.at("name").equals("containerInsights"), setting.at("value").equals("enabled", "enhanced"))


def _insights(value: str, name: str = "containerInsights") -> Resource:
    return Resource.example(CLUSTER, {"settings": [{"name": name, "value": value}]})


CONTAINER_INSIGHTS = Rule(
    name="ecs-cluster-require-container-insights",
    description="A cluster reports what its containers use, and when they fail.",
    severity=Severity.LOW,
    controls=Controls(soc2=("CC7.2", "A1.1"), iso27001_2022=("A.8.16", "A.8.6"), nist_800_53_r5=("SI-4", "AU-12")),
    remediation='Set settings=[{"name": "containerInsights", "value": "enabled"}].',
    checkov=("CKV_AWS_65",),
    resource_types=(CLUSTER,),
    check=_watched,
    obeys={"enabled": _insights("enabled"), "enhanced": _insights("enhanced")},
    breaks={
        "left out, and the account decides": Resource.example(CLUSTER, {}),
        "disabled": _insights("disabled"),
        "another setting": _insights("enabled", "guardDuty"),
    },
    neighbours={"a service reports through its cluster": _service()},
)


def _sessions_logged(cluster: Resource) -> Iterator[Outcome]:
    logging = cluster.at("configuration.executeCommandConfiguration.logging")
    yield from forbid(logging.equals("NONE"), "what is typed into a container leaves no trace", logging)


def _sessions(**configuration: object) -> Resource:
    return Resource.example(CLUSTER, {"configuration": {"executeCommandConfiguration": configuration}})


_SESSION_LOG = {"cloudWatchEncryptionEnabled": True, "cloudWatchLogGroupName": "sessions"}
_OVERRIDE = {"logging": "OVERRIDE", "kmsKeyId": OWN_KEY, "logConfiguration": _SESSION_LOG}

SESSIONS_LOGGED = Rule(
    name="ecs-cluster-require-session-log",
    description="What is typed into a container by ECS Exec is logged.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2", "CC6.3"),
        iso27001_2022=("A.8.15", "A.8.2"),
        nist_800_53_r5=("AU-2", "AU-12", "AC-17"),
        atlas=("AML.M0024",),
    ),
    remediation='Set logging to OVERRIDE in execute_command_configuration, or leave it out; never "NONE".',
    checkov=("CKV_AWS_223",),
    resource_types=(CLUSTER,),
    check=_sessions_logged,
    obeys={"a log of its own": _sessions(**_OVERRIDE), "to the log of the task": _sessions(logging="DEFAULT")},
    breaks={"none": _sessions(logging="NONE")},
    neighbours={"nothing said: AWS's default is the log of the task": Resource.example(CLUSTER, {})},
)


def _sessions_encrypted(cluster: Resource) -> Iterator[Outcome]:
    sessions = cluster.at("configuration.executeCommandConfiguration")
    if sessions.is_given() is Truth.NO:
        yield NotApplicable("nothing is said of sessions")
        return
    key, log = sessions.at("kmsKeyId"), sessions.at("logConfiguration")
    is_silent = sessions.at("logging").equals("NONE")
    encrypted = any_of(*(log.at(name).equals(True) for name in _ENCRYPTED_LOGS), is_silent)
    yield from demand(is_customer_key(key), "what is typed passes under no key of ours", key)
    yield from demand(encrypted, "the log of sessions may be plain", log)


_ENCRYPTED_LOGS: Final = ("cloudWatchEncryptionEnabled", "s3BucketEncryptionEnabled")

SESSIONS_ENCRYPTED = Rule(
    name="ecs-cluster-require-encrypted-sessions",
    description="Sessions in containers are encrypted under a customer managed key, and the log of them is encrypted.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1", "CC6.7"),
        iso27001_2022=("A.8.24", "A.8.15"),
        nist_800_53_r5=("SC-8(1)", "SC-28(1)", "AU-9"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set kms_key_id in execute_command_configuration, and encryption of the log that it names.",
    checkov=("CKV_AWS_224",),
    resource_types=(CLUSTER,),
    check=_sessions_encrypted,
    obeys={
        "to CloudWatch": _sessions(**_OVERRIDE),
        "to a bucket": _sessions(**{**_OVERRIDE, "logConfiguration": {"s3BucketEncryptionEnabled": True}}),
        "no log: another rule's matter": _sessions(logging="NONE", kmsKeyId=OWN_KEY),
    },
    breaks={
        "no key": _sessions(logging="OVERRIDE", logConfiguration=_SESSION_LOG),
        "AWS's key": _sessions(**{**_OVERRIDE, "kmsKeyId": "alias/aws/ecs"}),
        "a log that may be plain": _sessions(logging="OVERRIDE", kmsKeyId=OWN_KEY),
        "a bucket that may be plain": _sessions(
            **{**_OVERRIDE, "logConfiguration": {"s3BucketEncryptionEnabled": False}}
        ),
    },
    neighbours={"nothing said of sessions": Resource.example(CLUSTER, {"name": "gateway"})},
)
