"""What customer managed keys are for: one key for each purpose, and only where something needs it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from components.data_key import KeyUse
from stacks.environment import Environment, EnvironmentName


class Purpose(StrEnum):
    """What a key is for; also its name."""

    LOGS = "logs"
    EVIDENCE = "evidence"
    CONTENT = "content"
    DATABASE = "database"
    CACHE = "cache"
    SECRETS = "secrets"
    REGISTRY = "registry"
    GUARDRAIL = "guardrail"
    REGISTRATION = "registration"
    NOTIFICATIONS = "notifications"
    AUDIT_SIGNING = "audit-signing"
    AUDIT_MAC = "audit-mac"
    EBS = "ebs"
    CLUSTER_SECRETS = "cluster-secrets"
    MODELS = "models"
    WEIGHTS_SIGNING = "weights-signing"
    SAGEMAKER = "sagemaker"
    EGRESS = "egress"
    REDACTION = "redaction"
    REDACTION_MAC = "redaction-mac"


DESCRIPTIONS = {
    Purpose.LOGS: "Log groups of the platform",
    Purpose.EVIDENCE: "Evidence in the log archive",
    Purpose.CONTENT: "Prompts and answers in the model invocation log",
    Purpose.DATABASE: "Vector store, ledger and audit chain",
    Purpose.CACHE: "Cache of limits",
    Purpose.SECRETS: "Secret of the database owner",
    Purpose.REGISTRY: "Images of the gateway",
    Purpose.GUARDRAIL: "Bedrock guardrail",
    Purpose.REGISTRATION: "Signatures and storage of workload registrations",
    Purpose.NOTIFICATIONS: "Alarms to people: topics and the queues behind them",
    Purpose.AUDIT_SIGNING: "Signs heads of the audit chain",
    Purpose.AUDIT_MAC: "Keyed hashes of prompts in audit records",
    Purpose.EBS: "Volumes of cluster nodes, and of whatever else starts in the account",
    Purpose.CLUSTER_SECRETS: "Secrets inside the Kubernetes cluster",
    Purpose.MODELS: "Model weights and their signed manifests",
    Purpose.WEIGHTS_SIGNING: "Signs manifests of model weights",
    Purpose.SAGEMAKER: "Volumes of SageMaker endpoints",
    Purpose.EGRESS: "Network firewall on the way to public models",
    Purpose.REDACTION: "Redacted data sets on their way down",
    Purpose.REDACTION_MAC: "Tokens that stand for redacted values",
}
USES = {
    Purpose.AUDIT_SIGNING: KeyUse.SIGN,
    Purpose.WEIGHTS_SIGNING: KeyUse.SIGN,
    Purpose.AUDIT_MAC: KeyUse.MAC,
    Purpose.REDACTION_MAC: KeyUse.MAC,
}


def _self_hosted(environment: Environment) -> bool:
    return environment.self_hosting is not None


def _sagemaker(environment: Environment) -> bool:
    return bool(environment.sagemaker_models)


def _own_weights(environment: Environment) -> bool:
    return _self_hosted(environment) or _sagemaker(environment)


# A purpose that is not listed is needed everywhere.
CONDITIONS: dict[Purpose, Callable[[Environment], bool]] = {
    # Also the account's default for volumes, whoever makes one.
    Purpose.EBS: lambda environment: _self_hosted(environment) or environment.account_singletons == "managed",
    Purpose.CLUSTER_SECRETS: _self_hosted,
    Purpose.MODELS: _own_weights,
    Purpose.WEIGHTS_SIGNING: _own_weights,
    Purpose.SAGEMAKER: _sagemaker,
    Purpose.EGRESS: lambda environment: bool(environment.egress_domains),
    Purpose.REDACTION: lambda environment: environment.name in (EnvironmentName.STAGING, EnvironmentName.PROD),
    # A token can be computed again only by whoever holds this key: it never exists below production.
    Purpose.REDACTION_MAC: lambda environment: environment.name is EnvironmentName.PROD,
}


def purposes(environment: Environment) -> tuple[Purpose, ...]:
    """The purposes that this environment has a key for."""
    return tuple(purpose for purpose in Purpose if purpose not in CONDITIONS or CONDITIONS[purpose](environment))
