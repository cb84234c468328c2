"""Weights: the one bucket that models of our own are loaded from, on GPU nodes and on SageMaker alike.

Weights decide what a model says, so they come in one way only: the intake role writes them, with their signed
manifest, and nobody replaces or deletes a version while it is locked.
"""

from __future__ import annotations

from components.bucket_policy import encrypted_with, protection, written_by
from components.policy_document import document
from components.private_bucket import BucketClass, ObjectLock, PrivateBucket
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose

BUCKET = "models"
LOCK_DAYS_MAX = 30


def deploy_weights(environment: Environment, foundation: Foundation, placement: Placement) -> PrivateBucket | None:
    """The bucket, where this environment runs a model of its own."""
    if environment.self_hosting is None and not environment.sagemaker_models:
        return None
    key_arn = foundation.key_arn(Purpose.MODELS)
    return PrivateBucket(
        "models",
        {
            "bucket_name": foundation.names.bucket(BUCKET),
            "bucket_class": BucketClass.MODELS,
            "key_arn": key_arn,
            # Governed, not compliance: a model that turns out harmful must be removable, by break-glass.
            "object_lock": ObjectLock.GOVERNANCE,
            "retention_days": min(LOCK_DAYS_MAX, environment.retention.evidence_days),
            "policy": key_arn.apply(lambda arn: weights_policy(environment, foundation.names, arn)),
        },
        placement.lasting(),
    )


def weights_policy(environment: Environment, names: Names, key_arn: str) -> str:
    """Read by whoever has the right, written by the intake alone."""
    bucket = names.bucket_arn(BUCKET)
    return document(
        *protection(
            bucket,
            environment.account_id,
            deployer_role=environment.deployer_role,
            break_glass_role=environment.break_glass_role,
        ),
        *encrypted_with(bucket, key_arn),
        written_by("OnlyIntakeWrites", [f"{bucket}/*"], environment.account_id, [names.intake_role]),
    )
