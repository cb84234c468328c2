"""ECS: containers run as nobody, write nothing into their image, and are exactly the image that was tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand, forbid
from policy_packs.tristate import all_of, negate
from policy_packs.view import MISSING, View, plain

TASK_DEFINITION: Final = "aws:ecs/taskDefinition:TaskDefinition"
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
    checkov=("CKV_AWS_336",),
    resource_types=(TASK_DEFINITION,),
    check=_hardened,
    obeys={"hardened": _task(), "a user and a group": _task(user="10001:10001")},
    breaks={
        "a writable root": _task(readonlyRootFilesystem=False),
        "no user: the image decides": _task(user=""),
        "root by number": _task(user="0:0"),
        "root by name": _task(user="root"),
        "an image by tag": _task(image="registry/gateway:latest"),
        "privileged": _task(privileged=True),
        "no containers": Resource.example(TASK_DEFINITION, {"containerDefinitions": "[]"}),
        "no JSON": Resource.example(TASK_DEFINITION, {"containerDefinitions": "["}),
    },
)
