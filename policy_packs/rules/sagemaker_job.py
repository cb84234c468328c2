"""Jobs of SageMaker, training and monitoring alike: encrypted between their machines, cut off from everybody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth
from policy_packs.view import View

DATA_QUALITY: Final = "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition"
MONITORING: Final = "aws:sagemaker/monitoringSchedule:MonitoringSchedule"
TRAINING: Final = "aws:sagemaker/trainingJob:TrainingJob"
TUNING: Final = "aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob"
# Where a type's switches stand; empty: in the resource itself.
_SWITCHES: Final[Mapping[str, tuple[str, ...]]] = {
    DATA_QUALITY: ("networkConfig",),
    MONITORING: ("monitoringScheduleConfig.monitoringJobDefinition.networkConfig",),
    TRAINING: ("",),
    TUNING: ("trainingJobDefinition", "trainingJobDefinitions"),
}
_DEFINITION_ELSEWHERE: Final = "monitoringScheduleConfig.monitoringJobDefinitionName"


def _switches(job: Resource) -> tuple[View, ...]:
    """A schedule may name a definition made elsewhere, which is judged where it is made."""
    elsewhere = job.at(_DEFINITION_ELSEWHERE)
    if job.type == MONITORING and elsewhere.is_given() is not Truth.NO:
        return (elsewhere,) if elsewhere.is_unknown else ()
    if job.type == TUNING:
        return tuple(one for path in _SWITCHES[TUNING] for one in job.at(path).items())
    return tuple(job.at(path) if path else job.props for path in _SWITCHES[job.type])


def _encrypted_traffic(job: Resource) -> Iterator[Outcome]:
    for switch in _named(job, "enableInterContainerTrafficEncryption"):
        yield from demand(switch.equals(True), "its machines talk in clear", switch)


def _isolated(job: Resource) -> Iterator[Outcome]:
    for switch in _named(job, "enableNetworkIsolation"):
        yield from demand(switch.equals(True), "the container may call anybody", switch)


def _named(job: Resource, name: str) -> tuple[View, ...]:
    return tuple(holder.at(name, absent=False) for holder in _switches(job))


_ALL: Final = {"enableInterContainerTrafficEncryption": True, "enableNetworkIsolation": True}


def _jobs(**changes: object) -> dict[str, Resource]:
    switches = {**_ALL, **changes}
    definition = {"monitoringJobDefinition": {"networkConfig": switches}}
    return {
        "a monitoring job": Resource.example(DATA_QUALITY, {"networkConfig": switches}),
        "a schedule with its job": Resource.example(MONITORING, {"monitoringScheduleConfig": definition}),
        "a training job": Resource.example(TRAINING, switches),
        "a tuning job": Resource.example(TUNING, {"trainingJobDefinition": switches}),
        "a tuning job of several": Resource.example(TUNING, {"trainingJobDefinitions": [_ALL, switches]}),
    }


def _breaking(name: str) -> dict[str, Resource]:
    left_out = {f"{kind}, left out": one for kind, one in _jobs(**{name: None}).items()}
    return {**left_out, **{f"{kind}, turned off": one for kind, one in _jobs(**{name: False}).items()}}


_NEIGHBOURS = {
    "a schedule of a job defined elsewhere": Resource.example(
        MONITORING, {"monitoringScheduleConfig": {"monitoringJobDefinitionName": "drift"}}
    ),
    "a pipeline only starts jobs": Resource.example("aws:sagemaker/pipeline:Pipeline"),
}

TRAFFIC_ENCRYPTED = Rule(
    name="sagemaker-job-require-encrypted-traffic",
    description="The machines of a job talk to each other under encryption.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.24", "A.8.20"),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set enable_inter_container_traffic_encryption=True.",
    checkov=("CKV_AWS_369",),
    resource_types=tuple(_SWITCHES),
    check=_encrypted_traffic,
    obeys=_jobs(),
    breaks=_breaking("enableInterContainerTrafficEncryption"),
    neighbours=_NEIGHBOURS,
)

ISOLATED = Rule(
    name="sagemaker-job-require-network-isolation",
    description="The container of a job makes no network call of its own: training data leaves only as its output.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.12", "A.8.22"),
        nist_800_53_r5=("SC-7(5)", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM04:2026"),
        atlas=("AML.T0025",),
    ),
    remediation="Set enable_network_isolation=True.",
    resource_types=tuple(_SWITCHES),
    check=_isolated,
    obeys=_jobs(),
    breaks=_breaking("enableNetworkIsolation"),
    neighbours=_NEIGHBOURS,
)
