"""One customer managed key for each purpose, and who may use it for what."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from components.data_key import DataKey, KeyUse
from components.key_policy import (
    Place,
    administration,
    use_by_delivery,
    use_by_log_groups,
    use_by_roles,
    use_through_service,
)
from components.policy_document import Statement, document
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement


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
    AUDIT_SIGNING = "audit-signing"
    AUDIT_MAC = "audit-mac"


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
    Purpose.AUDIT_SIGNING: "Signs heads of the audit chain",
    Purpose.AUDIT_MAC: "Keyed hashes of prompts in audit records",
}
USES = {Purpose.AUDIT_SIGNING: KeyUse.SIGN, Purpose.AUDIT_MAC: KeyUse.MAC}


def deploy_keys(environment: Environment, names: Names, placement: Placement) -> dict[Purpose, DataKey]:
    """Every key with its policy. All names in the policies are known in advance."""
    policies = key_policies(environment, names)
    return {
        purpose: DataKey(
            purpose.value,
            {
                "purpose": DESCRIPTIONS[purpose],
                "alias": names.alias(purpose.value),
                "use": USES.get(purpose, KeyUse.ENCRYPT),
                "policy": policies[purpose],
            },
            placement.lasting(),
        )
        for purpose in Purpose
    }


def key_policies(environment: Environment, names: Names) -> dict[Purpose, str]:
    """The policy document of every key."""
    place = Place(environment.account_id, environment.region)
    administered = administration(place, environment.break_glass_role)
    uses = {**_storage(place), **_of_logs(place, names), **_of_models(environment, place, names)}
    uses |= {**_of_registrations(environment, place, names), **_of_audit(place, names)}
    return {purpose: document(*administered, *statements) for purpose, statements in uses.items()}


def _storage(place: Place) -> Mapping[Purpose, tuple[Statement, ...]]:
    return {
        Purpose.DATABASE: use_through_service("Database", place, "rds"),
        Purpose.CACHE: use_through_service("Cache", place, "elasticache"),
        Purpose.SECRETS: use_through_service("Secrets", place, "secretsmanager"),
        Purpose.REGISTRY: use_through_service("Registry", place, "ecr"),
    }


def _of_logs(place: Place, names: Names) -> Mapping[Purpose, tuple[Statement, ...]]:
    logs = f"arn:aws:logs:{place.region}:{place.account_id}:*"
    return {
        Purpose.LOGS: (use_by_log_groups(place, names.log_groups),),
        Purpose.EVIDENCE: (
            use_by_delivery("DeliverLogs", place, "delivery.logs.amazonaws.com", logs),
            use_by_roles("AuditHeads", place, names.audit_writers, ["kms:Decrypt", "kms:GenerateDataKey"], via=["s3"]),
        ),
    }


def _of_models(environment: Environment, place: Place, names: Names) -> Mapping[Purpose, tuple[Statement, ...]]:
    bedrock = f"arn:aws:bedrock:{place.region}:{place.account_id}:*"
    return {
        Purpose.CONTENT: (
            use_by_log_groups(place, [names.log_group("model-invocations")]),
            use_by_delivery("DeliverInvocations", place, "bedrock.amazonaws.com", bedrock),
            use_by_roles("Investigate", place, [environment.break_glass_role], ["kms:Decrypt"], via=["s3"]),
        ),
        Purpose.GUARDRAIL: (
            *use_through_service("Guardrail", place, "bedrock"),
            use_by_roles("ApplyGuardrail", place, [names.serve_role], ["kms:Decrypt"], via=["bedrock"]),
        ),
    }


def _of_registrations(environment: Environment, place: Place, names: Names) -> Mapping[Purpose, tuple[Statement, ...]]:
    """A workload's deployer signs for its own workload only; the gateway's tasks verify."""
    readers = [names.serve_role, names.ingest_role]
    signed = {"purpose": "registration", "environment": environment.name.value}
    deployers = sorted(set(environment.workload_deployers.values()))
    signers = tuple(
        use_by_roles(f"Sign{number}", place, [deployer], ["kms:Encrypt"], context={**signed, "workload": workload})
        for number, (workload, deployer) in enumerate(sorted(environment.workload_deployers.items()), 1)
    )
    stored = {"aws:s3:arn": names.bucket_arn("registrations")}
    return {
        Purpose.REGISTRATION: (
            *signers,
            use_by_roles("Verify", place, readers, ["kms:Decrypt"], context=signed),
            use_by_roles("Store", place, deployers, ["kms:Decrypt", "kms:GenerateDataKey"], via=["s3"], context=stored),
            use_by_roles("Load", place, readers, ["kms:Decrypt"], via=["s3"], context=stored),
        )
    }


def _of_audit(place: Place, names: Names) -> Mapping[Purpose, tuple[Statement, ...]]:
    serve, writers = [names.serve_role], names.audit_writers
    return {
        Purpose.AUDIT_SIGNING: (
            use_by_roles("SignHeads", place, writers, ["kms:Sign"], equals={"kms:SigningAlgorithm": "ECDSA_SHA_384"}),
            use_by_roles("ReadPublicKey", place, writers, ["kms:GetPublicKey", "kms:Verify"]),
        ),
        Purpose.AUDIT_MAC: (
            use_by_roles("HashPrompts", place, serve, ["kms:GenerateMac"], equals={"kms:MacAlgorithm": "HMAC_SHA_256"}),
        ),
    }
