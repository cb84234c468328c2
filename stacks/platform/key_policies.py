"""Who may use which key for what: the policy of every key of the platform, from names known beforehand."""

from __future__ import annotations

from collections.abc import Mapping

from components.key_policy import (
    Place,
    administration,
    use_by_delivery,
    use_by_log_groups,
    use_by_notifications,
    use_by_roles,
    use_by_scaling,
    use_by_trail,
    use_for_cluster_secrets,
    use_in_bucket,
    use_through_service,
)
from components.policy_document import Statement, document
from stacks.environment import Environment, EnvironmentName
from stacks.names import CONTENT, DATA_SETS, QUARANTINE, RELEASE, REPLICATED_LOGS, Names
from stacks.platform.purposes import Purpose, purposes

SIGNATURE = "ECDSA_SHA_384"
COPY = ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey")
WRITE = ("kms:Decrypt", "kms:GenerateDataKey")

Uses = Mapping[Purpose, tuple[Statement, ...]]


def key_policies(environment: Environment, names: Names) -> dict[Purpose, str]:
    """The policy document of every key that this environment has."""
    place = Place(environment.account_id, environment.region)
    administered = administration(place, environment.break_glass_role)
    uses = {**_storage(place), **_of_logs(environment, place, names), **_of_models(environment, place, names)}
    uses |= {**_of_registrations(environment, place, names), **_of_audit(place, names)}
    uses |= {**_of_own_models(environment, place, names), **_of_redaction(environment, place, names)}
    return {purpose: document(*administered, *uses[purpose]) for purpose in purposes(environment)}


def _storage(place: Place) -> Uses:
    return {
        Purpose.DATABASE: use_through_service("Database", place, "rds"),
        Purpose.CACHE: use_through_service("Cache", place, "elasticache"),
        Purpose.SECRETS: use_through_service("Secrets", place, "secretsmanager"),
        Purpose.REGISTRY: use_through_service("Registry", place, "ecr"),
        Purpose.EGRESS: use_through_service("Egress", place, "network-firewall"),
    }


def _of_logs(environment: Environment, place: Place, names: Names) -> Uses:
    logs = f"arn:aws:logs:{place.region}:{place.account_id}:*"
    writers, copiers = names.audit_writers, [names.replication_role(bucket) for bucket in REPLICATED_LOGS]
    return {
        Purpose.LOGS: (use_by_log_groups(place, names.log_groups),),
        Purpose.EVIDENCE: (
            use_by_delivery("DeliverLogs", place, "delivery.logs.amazonaws.com", logs),
            *use_by_trail(place, names.trail),
            use_by_roles("AuditHeads", place, writers, ["kms:Decrypt", "kms:GenerateDataKey"], via=["s3"]),
            use_by_roles("Replicate", place, copiers, ["kms:Encrypt", "kms:GenerateDataKey"], via=["s3"]),
            use_by_roles("Investigate", place, [environment.break_glass_role], ["kms:Decrypt"], via=["s3"]),
        ),
        Purpose.NOTIFICATIONS: (use_by_notifications(place),),
    }


def _of_models(environment: Environment, place: Place, names: Names) -> Uses:
    bedrock = f"arn:aws:bedrock:{place.region}:{place.account_id}:*"
    return {
        Purpose.CONTENT: (
            use_by_log_groups(place, [names.log_group("model-invocations")]),
            use_by_delivery("DeliverInvocations", place, "bedrock.amazonaws.com", bedrock),
            use_by_roles("Replicate", place, [names.replication_role(one) for one in CONTENT], COPY, via=["s3"]),
            *_redacted(environment, place, names),
            use_by_roles("Investigate", place, [environment.break_glass_role], ["kms:Decrypt"], via=["s3"]),
        ),
        Purpose.GUARDRAIL: (
            *use_through_service("Guardrail", place, "bedrock"),
            use_by_roles("ApplyGuardrail", place, [names.serve_role], ["kms:Decrypt"], via=["bedrock"]),
        ),
    }


def _redacted(environment: Environment, place: Place, names: Names) -> tuple[Statement, ...]:
    """In production a job makes data sets of content; nowhere else does anybody but an investigator open it."""
    if environment.name is not EnvironmentName.PROD:
        return ()
    return (use_by_roles("Redact", place, [names.redact_role], ["kms:Decrypt"], via=["s3"]),)


def _of_own_models(environment: Environment, place: Place, names: Names) -> Uses:
    """Nodes, cluster and endpoints that run models of our own, and the weights they load."""
    intake = [names.intake_role]
    weights = use_in_bucket("Weights", place, names.bucket_arn("models"), ["kms:Decrypt", "kms:GenerateDataKey"])
    return {
        Purpose.EBS: (*use_through_service("Volumes", place, "ec2"), *use_by_scaling(place)),
        Purpose.CLUSTER_SECRETS: use_for_cluster_secrets(place, environment.deployer_role),
        Purpose.MODELS: (weights,),
        Purpose.WEIGHTS_SIGNING: (
            use_by_roles("SignManifests", place, intake, ["kms:Sign"], equals={"kms:SigningAlgorithm": SIGNATURE}),
            use_by_roles("ReadPublicKey", place, [*intake, environment.deployer_role], ["kms:GetPublicKey"]),
        ),
        Purpose.SAGEMAKER: (
            *use_through_service("Endpoints", place, "sagemaker"),
            use_in_bucket("Captures", place, names.bucket_arn("captures"), ["kms:Decrypt", "kms:GenerateDataKey"]),
            use_by_log_groups(place, [f"/aws/sagemaker/Endpoints/{names.prefix}-*"]),
        ),
    }


def _of_registrations(environment: Environment, place: Place, names: Names) -> Uses:
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


def _of_audit(place: Place, names: Names) -> Uses:
    serve, writers = [names.serve_role], names.audit_writers
    return {
        Purpose.AUDIT_SIGNING: (
            use_by_roles("SignHeads", place, writers, ["kms:Sign"], equals={"kms:SigningAlgorithm": SIGNATURE}),
            use_by_roles("ReadPublicKey", place, writers, ["kms:GetPublicKey", "kms:Verify"]),
        ),
        Purpose.AUDIT_MAC: (
            use_by_roles("HashPrompts", place, serve, ["kms:GenerateMac"], equals={"kms:MacAlgorithm": "HMAC_SHA_256"}),
        ),
    }


def _of_redaction(environment: Environment, place: Place, names: Names) -> Uses:
    """Production redacts and releases, staging receives: each its own key, and tokens are made above only."""
    mac = {"kms:MacAlgorithm": "HMAC_SHA_256"}
    data_sets = (
        _released(environment, place, names) if environment.name is EnvironmentName.PROD else _taken_in(place, names)
    )
    return {
        Purpose.REDACTION: data_sets,
        Purpose.REDACTION_MAC: (
            use_by_roles("MakeTokens", place, [names.redact_role], ["kms:GenerateMac"], equals=mac),
        ),
    }


def _released(environment: Environment, place: Place, names: Names) -> tuple[Statement, ...]:
    """The job opens quarantine only, and staging's reader, the one principal of another account, release only."""
    quarantine, release = names.bucket_arn(QUARANTINE), names.bucket_arn(RELEASE)
    approver = [str(environment.redaction_approver_role)]
    staging = EnvironmentName.STAGING
    below = Names(staging.value, environment.accounts[staging], environment.region)
    reader = Place(below.account_id, place.region)
    return (
        use_in_bucket("WriteQuarantine", place, quarantine, WRITE, [names.redact_role]),
        use_in_bucket("Review", place, quarantine, ["kms:Decrypt"], approver),
        use_in_bucket("Release", place, release, WRITE, approver),
        use_in_bucket("ReadReleased", reader, release, ["kms:Decrypt"], [below.import_role]),
    )


def _taken_in(place: Place, names: Names) -> tuple[Statement, ...]:
    data_sets = names.bucket_arn(DATA_SETS)
    return (
        use_in_bucket("StoreDataSets", place, data_sets, WRITE, [names.import_role]),
        use_in_bucket("ReadDataSets", place, data_sets, ["kms:Decrypt"]),
    )
