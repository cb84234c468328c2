"""A key of ours on everything that models leave behind: prompts, agents, memories, training output, captures.

Each table says where a type takes its key. What stands in a block that may be left out asks for a key only
where the block is given: without it nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.rules.sagemaker import has_local_disk
from policy_packs.tristate import Truth, any_of
from policy_packs.view import View


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a key is given: `path` below every element of `block`; an empty block is the resource itself.

    `machine` leads to an instance type: SageMaker refuses a key of ours for local disks. Elements without the part
    `only_with` store nothing.
    """

    path: str
    block: str = ""
    machine: str = ""
    only_with: str = ""


def _always(*paths: str) -> tuple[KeyPlace, ...]:
    return tuple(KeyPlace(path) for path in paths)


def _volume(machine: str, block: str = "") -> KeyPlace:
    return KeyPlace(f"{machine}.volumeKmsKeyId", block, machine)


_BEDROCK: Final[Mapping[str, tuple[KeyPlace, ...]]] = {
    "aws:bedrock/guardrail:Guardrail": _always("kmsKeyArn"),
    "aws:bedrock/agentAgent:AgentAgent": _always("customerEncryptionKeyArn"),
    "aws:bedrock/agentFlow:AgentFlow": _always("customerEncryptionKeyArn"),
    "aws:bedrock/agentPrompt:AgentPrompt": _always("customerEncryptionKeyArn"),
    "aws:bedrock/agentDataSource:AgentDataSource": _always("serverSideEncryptionConfiguration.kmsKeyArn"),
    "aws:bedrock/agentKnowledgeBase:AgentKnowledgeBase": (
        KeyPlace(
            "serverSideEncryptionConfiguration.kmsKeyArn",
            "knowledgeBaseConfiguration.managedKnowledgeBaseConfiguration",
        ),
    ),
    "aws:bedrock/customModel:CustomModel": _always("customModelKmsKeyId"),
    "aws:bedrock/evaluationJob:EvaluationJob": _always("customerEncryptionKeyId"),
    "aws:bedrockmodel/invocationJob:InvocationJob": _always("outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId"),
}
_AGENTCORE: Final[Mapping[str, tuple[KeyPlace, ...]]] = {
    "aws:bedrock/agentcoreMemory:AgentcoreMemory": _always("encryptionKeyArn"),
    "aws:bedrock/agentcoreGateway:AgentcoreGateway": _always("kmsKeyArn"),
    "aws:bedrock/agentcorePolicyEngine:AgentcorePolicyEngine": _always("encryptionKeyArn"),
    "aws:bedrock/agentcoreEvaluator:AgentcoreEvaluator": _always("kmsKeyArn"),
    "aws:bedrock/agentcoreTokenVaultCmk:AgentcoreTokenVaultCmk": _always("kmsConfiguration.kmsKeyArn"),
}
_MONITORING: Final = "monitoringScheduleConfig.monitoringJobDefinition"
_SAGEMAKER: Final[Mapping[str, tuple[KeyPlace, ...]]] = {
    "aws:sagemaker/notebookInstance:NotebookInstance": _always("kmsKeyId"),
    "aws:sagemaker/domain:Domain": _always("kmsKeyId"),
    "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition": (
        KeyPlace("dataQualityJobOutputConfig.kmsKeyId"),
        _volume("jobResources.clusterConfig"),
    ),
    "aws:sagemaker/monitoringSchedule:MonitoringSchedule": (
        KeyPlace("monitoringOutputConfig.kmsKeyId", _MONITORING),
        _volume("monitoringResources.clusterConfig", _MONITORING),
    ),
    "aws:sagemaker/flowDefinition:FlowDefinition": _always("outputConfig.kmsKeyId"),
    "aws:sagemaker/labelingJob:LabelingJob": _always("outputConfig.kmsKeyId"),
    "aws:sagemaker/trainingJob:TrainingJob": (
        KeyPlace("outputDataConfig.kmsKeyId"),
        _volume("resourceConfig"),
    ),
    "aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob": (
        KeyPlace("outputDataConfig.kmsKeyId", "trainingJobDefinition"),
        KeyPlace("outputDataConfig.kmsKeyId", "trainingJobDefinitions"),
    ),
    "aws:sagemaker/featureGroup:FeatureGroup": (
        KeyPlace("s3StorageConfig.kmsKeyId", "offlineStoreConfig"),
        KeyPlace("securityConfig.kmsKeyId", "onlineStoreConfig"),
    ),
    "aws:sagemaker/modelCard:ModelCard": _always("securityConfig.kmsKeyId"),
    "aws:sagemaker/deviceFleet:DeviceFleet": _always("outputConfig.kmsKeyId"),
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": (
        KeyPlace("outputConfig.kmsKeyId", "asyncInferenceConfig"),
        KeyPlace("coreDumpConfig.kmsKeyId", "productionVariants", only_with="coreDumpConfig"),
        KeyPlace("coreDumpConfig.kmsKeyId", "shadowProductionVariants", only_with="coreDumpConfig"),
    ),
}


def _encrypted(resource: Resource, places: Mapping[str, tuple[KeyPlace, ...]]) -> Iterator[Outcome]:
    found = [(holder, place) for place in places[resource.type] for holder in _holders(resource, place)]
    if not found:
        yield NotApplicable("nothing is stored")
        return
    for holder, place in found:
        key = holder.at(place.path)
        yield from demand(any_of(is_customer_key(key), _takes_none(holder, place)), "no customer managed key", key)


def _takes_none(holder: View, place: KeyPlace) -> Truth:
    return has_local_disk(holder.at(place.machine)) if place.machine else Truth.NO


def _holders(resource: Resource, place: KeyPlace) -> Sequence[View]:
    """The resource itself, or each element of a block that is given and has the part."""
    if not place.block:
        return (resource.props,)
    part = place.only_with
    return [one for one in resource.at(place.block).items() if not part or one.at(part).is_given() is not Truth.NO]


def _example(kind: str, props: Mapping[str, object]) -> tuple[str, Resource]:
    """Named by its type: aws:bedrock/agentAgent:AgentAgent is "AgentAgent"."""
    return kind.rpartition(":")[2], Resource.example(kind, props)


def _with_key(content: Any, key: str | None) -> Any:  # Any: properties of an example
    """The same content with another key, or with none, at every place that has one."""
    if isinstance(content, Mapping):
        return {name: _with_key(inner, key) for name, inner in content.items()}
    if isinstance(content, list):
        return [_with_key(inner, key) for inner in content]
    return key if content == OWN_KEY else content


def _breaking(obeying: Mapping[str, Mapping[str, object]]) -> dict[str, Resource]:
    examples = [_example(kind, props) for kind, props in obeying.items()]
    return {
        **{f"{name} without a key": _changed(one, None) for name, one in examples},
        **{f"{name} under the key that AWS manages": _changed(one, _MANAGED) for name, one in examples},
    }


def _changed(resource: Resource, key: str | None) -> Resource:
    return Resource.example(resource.type, _with_key(resource.props.value, key))


_MANAGED = "arn:aws:kms:eu-central-1:111122223333:alias/aws/service"
_BEDROCK_OBEYING: Final[Mapping[str, Mapping[str, object]]] = {
    "aws:bedrock/guardrail:Guardrail": {"kmsKeyArn": OWN_KEY},
    "aws:bedrock/agentAgent:AgentAgent": {"customerEncryptionKeyArn": OWN_KEY},
    "aws:bedrock/agentFlow:AgentFlow": {"customerEncryptionKeyArn": OWN_KEY},
    "aws:bedrock/agentPrompt:AgentPrompt": {"customerEncryptionKeyArn": OWN_KEY},
    "aws:bedrock/agentDataSource:AgentDataSource": {"serverSideEncryptionConfiguration": {"kmsKeyArn": OWN_KEY}},
    "aws:bedrock/agentKnowledgeBase:AgentKnowledgeBase": {
        "knowledgeBaseConfiguration": {
            "type": "MANAGED",
            "managedKnowledgeBaseConfiguration": {"serverSideEncryptionConfiguration": {"kmsKeyArn": OWN_KEY}},
        }
    },
    "aws:bedrock/customModel:CustomModel": {"customModelKmsKeyId": OWN_KEY},
    "aws:bedrock/evaluationJob:EvaluationJob": {"customerEncryptionKeyId": OWN_KEY},
    "aws:bedrockmodel/invocationJob:InvocationJob": {
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://batch/", "s3EncryptionKeyId": OWN_KEY}}
    },
}
_CONTROLS = Controls(
    soc2=("CC6.1", "C1.1"),
    iso27001_2022=("A.8.24",),
    nist_800_53_r5=("SC-28(1)", "SC-12"),
    owasp_llm=("LLM02:2026",),
    atlas=("AML.M0012",),
)

BEDROCK_KEY = Rule(
    name="bedrock-artifact-require-customer-key",
    description="Guardrails, agents, flows, prompts, sources, custom models and job output of Bedrock have our key.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Name a customer managed key: kms_key_arn, customer_encryption_key_arn, custom_model_kms_key_id, ….",
    checkov=("CKV_AWS_373",),
    resource_types=tuple(_BEDROCK),
    check=partial(_encrypted, places=_BEDROCK),
    obeys=dict(_example(kind, props) for kind, props in _BEDROCK_OBEYING.items()),
    breaks=_breaking(_BEDROCK_OBEYING),
    neighbours={
        "a knowledge base over a store of ours is encrypted there": Resource.example(
            "aws:bedrock/agentKnowledgeBase:AgentKnowledgeBase",
            {"knowledgeBaseConfiguration": {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": {}}},
        ),
        "an application inference profile stores nothing": Resource.example(
            "aws:bedrock/inferenceProfile:InferenceProfile"
        ),
    },
)

_AGENTCORE_OBEYING: Final[Mapping[str, Mapping[str, object]]] = {
    "aws:bedrock/agentcoreMemory:AgentcoreMemory": {"encryptionKeyArn": OWN_KEY},
    "aws:bedrock/agentcoreGateway:AgentcoreGateway": {"kmsKeyArn": OWN_KEY},
    "aws:bedrock/agentcorePolicyEngine:AgentcorePolicyEngine": {"encryptionKeyArn": OWN_KEY},
    "aws:bedrock/agentcoreEvaluator:AgentcoreEvaluator": {"kmsKeyArn": OWN_KEY},
    "aws:bedrock/agentcoreTokenVaultCmk:AgentcoreTokenVaultCmk": {
        "kmsConfiguration": {"keyType": "CustomerManagedKey", "kmsKeyArn": OWN_KEY}
    },
}

AGENTCORE_KEY = Rule(
    name="agentcore-artifact-require-customer-key",
    description="What agents remember, their gateways, policies, evaluators and token vault have our key.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Name a customer managed key: encryption_key_arn, kms_key_arn or kms_configuration.",
    resource_types=tuple(_AGENTCORE),
    check=partial(_encrypted, places=_AGENTCORE),
    obeys=dict(_example(kind, props) for kind, props in _AGENTCORE_OBEYING.items()),
    breaks=_breaking(_AGENTCORE_OBEYING),
    neighbours={"a workload identity stores nothing": Resource.example("aws:bedrock/agentcoreWorkloadIdentity:Any")},
)

_VOLUME = {"instanceType": "ml.m5.large", "volumeKmsKeyId": OWN_KEY}
_SAGEMAKER_OBEYING: Final[Mapping[str, Mapping[str, object]]] = {
    "aws:sagemaker/notebookInstance:NotebookInstance": {"kmsKeyId": OWN_KEY},
    "aws:sagemaker/domain:Domain": {"kmsKeyId": OWN_KEY},
    "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition": {
        "dataQualityJobOutputConfig": {"kmsKeyId": OWN_KEY},
        "jobResources": {"clusterConfig": _VOLUME},
    },
    "aws:sagemaker/monitoringSchedule:MonitoringSchedule": {
        "monitoringScheduleConfig": {
            "monitoringJobDefinition": {
                "monitoringOutputConfig": {"kmsKeyId": OWN_KEY},
                "monitoringResources": {"clusterConfig": _VOLUME},
            }
        }
    },
    "aws:sagemaker/flowDefinition:FlowDefinition": {"outputConfig": {"kmsKeyId": OWN_KEY}},
    "aws:sagemaker/labelingJob:LabelingJob": {"outputConfig": {"kmsKeyId": OWN_KEY}},
    "aws:sagemaker/trainingJob:TrainingJob": {
        "outputDataConfig": {"kmsKeyId": OWN_KEY},
        "resourceConfig": _VOLUME,
    },
    "aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob": {
        "trainingJobDefinition": {"outputDataConfig": {"kmsKeyId": OWN_KEY}},
        "trainingJobDefinitions": [{"outputDataConfig": {"kmsKeyId": OWN_KEY}}],
    },
    "aws:sagemaker/featureGroup:FeatureGroup": {
        "offlineStoreConfig": {"s3StorageConfig": {"kmsKeyId": OWN_KEY}},
        "onlineStoreConfig": {"securityConfig": {"kmsKeyId": OWN_KEY}},
    },
    "aws:sagemaker/modelCard:ModelCard": {"securityConfig": {"kmsKeyId": OWN_KEY}},
    "aws:sagemaker/deviceFleet:DeviceFleet": {"outputConfig": {"kmsKeyId": OWN_KEY}},
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": {
        "asyncInferenceConfig": {"outputConfig": {"kmsKeyId": OWN_KEY}},
        "productionVariants": [{"coreDumpConfig": {"kmsKeyId": OWN_KEY}}, {}],
        "shadowProductionVariants": [{"coreDumpConfig": {"kmsKeyId": OWN_KEY}}],
    },
}
_TRAINING_JOB: Final = "aws:sagemaker/trainingJob:TrainingJob"
_LOCAL_DISK = {"outputDataConfig": {"kmsKeyId": OWN_KEY}, "resourceConfig": {"instanceType": "ml.g6.2xlarge"}}

SAGEMAKER_KEY = Rule(
    name="sagemaker-artifact-require-customer-key",
    description="What SageMaker stores of notebooks, domains, jobs, features, reviews and cards has our key.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Name our key: kms_key_id of the resource or its output, volume_kms_key_id of its disks.",
    checkov=("CKV_AWS_22", "CKV_AWS_187", "CKV_AWS_367", "CKV_AWS_368", "CKV_AWS_372"),
    resource_types=tuple(_SAGEMAKER),
    check=partial(_encrypted, places=_SAGEMAKER),
    obeys={
        **dict(_example(kind, props) for kind, props in _SAGEMAKER_OBEYING.items()),
        "local disks take no key": Resource.example(_TRAINING_JOB, _LOCAL_DISK),
    },
    breaks={
        **_breaking(_SAGEMAKER_OBEYING),
        "output without a key beside local disks": Resource.example(
            _TRAINING_JOB, {"resourceConfig": {"instanceType": "ml.g6.2xlarge"}}
        ),
        "a volume without a key beside its output's": Resource.example(
            _TRAINING_JOB,
            {"outputDataConfig": {"kmsKeyId": OWN_KEY}, "resourceConfig": {"instanceType": "ml.m5.large"}},
        ),
    },
    neighbours={
        "an endpoint that neither answers later nor dumps memory": Resource.example(
            "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
            {"productionVariants": [{"instanceType": "ml.m5.large"}]},
        ),
        "a feature group without a store of ours": Resource.example("aws:sagemaker/featureGroup:FeatureGroup"),
    },
)
