"""What every workload promises, asked of its folder: the tests of each fork are made of these."""

from __future__ import annotations

import functools
import json
from decimal import Decimal
from pathlib import Path

from services.gateway.adapters.registration_document import read as read_registration
from services.gateway.exchange import Registration
from stacks.classification import TREATMENTS, Boundary, DataClass
from stacks.configuration import ConfigurationError
from stacks.local import engine
from stacks.local.captured_platform import configured
from stacks.local.cost.estimate import estimate
from stacks.local.cost.prices import noted
from stacks.local.engine_project import load_project
from stacks.local.policy_runs import PACK_FOLDERS
from stacks.local.reachability.__main__ import declared_by
from stacks.local.reachability.promises import EXPECTED_TIERS, breaches
from stacks.local.reachability.reading import read as read_network
from stacks.workloads.workload import Workload
from tests.contracts.programs import captured, of_type, only
from tests.stacks.configurations import REPOSITORY

# A workload brings its key, its documents and its registration; nothing that changes a network.
SERVICES = ("kms", "s3", "sqs")


def folder_of(workload: str | Path) -> Path:
    return workload if isinstance(workload, Path) else REPOSITORY / "stacks" / "workloads" / workload


def stacks(workload: str | Path) -> list[str]:
    """The environments in which it can be deployed."""
    files = sorted(folder_of(workload).glob("Pulumi.*.yaml"))
    return [file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files]


@functools.cache
def deployed(workload: str | Path, stack: str) -> engine.Deployment:
    """Its graph on top of the platform of that environment, judged by both packs."""
    platform = captured("platform", stack)
    packs = [engine.Pack(folder, in_process=True) for folder in PACK_FOLDERS.values()]
    references = {f"organization/{platform.project}/{stack}": platform.outputs}
    return engine.run(folder_of(workload), stack, packs=packs, references=references)


def registered(workload: str | Path, stack: str) -> Registration:
    """Its registration as the gateway reads it; raises what the gateway refuses."""
    deployment = deployed(workload, stack)
    objects = {one.inputs["key"]: one.inputs["content"] for one in of_type(deployment, "BucketObject")}
    text = json.loads(only(deployment, "BucketObject", "registration-document").inputs["content"])["document"]
    return read_registration(text.encode(), _configured(workload, stack).name, stack, lambda key: objects[key].encode())


def violations(workload: str | Path, stack: str) -> list[str]:
    return [f"{finding.policy}: {finding.message}" for finding in deployed(workload, stack).findings]


def ways_opened(workload: str | Path, stack: str) -> list[str]:
    """Whatever of it touches a network, and every promise of reachability that breaks with it in place."""
    own = deployed(workload, stack).resources
    services = {one.type: one.type.partition(":")[2].partition("/")[0] for one in own if one.type.startswith("aws:")}
    foreign = [f"{kind} is none of a workload's" for kind, name in services.items() if name not in SERVICES]
    network = read_network((*captured("platform", stack).resources, *own), expected=EXPECTED_TIERS)
    return [*foreign, *(str(breach) for breach in breaches(network, declared_by(configured(stack))))]


def cost(workload: str | Path, stack: str) -> tuple[Decimal, list[str]]:
    """Dollars a month while idle, and what has no price."""
    own = estimate(configured(stack), (deployed(workload, stack),), noted())
    return own.total, [f"{entry.type}: {entry.why}" for entry in own.unpriced]


def forbidden_boundaries(workload: str | Path, stack: str) -> list[tuple[str, str]]:
    """Each boundary that its data class forbids, with the refusal."""
    values = _values(workload, stack)
    allowed = TREATMENTS[DataClass(str(values["data_class"]))].boundaries
    return [(one.value, _refusal({**values, "boundary": one.value})) for one in Boundary if one not in allowed]


def unsound(workload: str | Path, stack: str) -> list[str]:
    """Resources without an explicit provider, with a hole in a policy, or without protection where it is due."""
    return [
        f"{one.name}: {fault}"
        for one in deployed(workload, stack).resources
        for fault in _faults(one, protected=_configured(workload, stack).deletion_protection)
    ]


def _faults(resource: engine.Resource, *, protected: bool) -> list[str]:
    faults = []
    if resource.custom and resource.type.startswith("aws:") and "::default" in resource.provider:
        faults.append("uses the default provider")
    if "None" in str(resource.inputs.get("policy", "")):
        faults.append("has a None in its policy")
    if protected and resource.type.rpartition(":")[2] in ("Key", "Bucket", "Queue") and not resource.protect:
        faults.append("is not protected")
    return faults


def _configured(workload: str | Path, stack: str) -> Workload:
    return Workload.load(_values(workload, stack))


def _values(workload: str | Path, stack: str) -> dict[str, object]:
    project = load_project(folder_of(workload), stack, {})
    values: dict[str, object] = json.loads(project.config[f"{project.name}:workload"])
    return values


def _refusal(values: dict[str, object]) -> str:
    try:
        Workload.load(values)
    except ConfigurationError as refusal:
        return str(refusal)
    return "not refused"
