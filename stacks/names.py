"""Names that are known before the resource exists, so that policies can be written, read and tested early.

An account holds one environment, but the environment is in every name: what is copied from a log says where
it came from.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

PROJECT = "llm-pipelines"
# Buckets that AWS writes to under its own key only, and that hand everything on to evidence.
REPLICATED_LOGS = ("load-balancer-logs", "access-logs")
# Buckets of prompts and answers, and so of what may have to be erased.
CONTENT = ("content", "captures")
# The way of data sets downward: quarantine and release in production, what arrived in staging.
QUARANTINE, RELEASE, DATA_SETS = "redaction", "release", "datasets"
# A role's name is the endpoint's with "-endpoint" behind it, and holds 64.
ENDPOINT_NAME_CHARS_MAX = 55


@dataclass(frozen=True, slots=True)
class Names:
    """Names and ARNs of one environment."""

    environment: str
    account_id: str
    region: str

    @property
    def prefix(self) -> str:
        return f"{PROJECT}-{self.environment}"

    def named(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def alias(self, purpose: str) -> str:
        return f"alias/{self.prefix}-{purpose}"

    def role_arn(self, role: str) -> str:
        return f"arn:aws:iam::{self.account_id}:role/{role}"

    @property
    def boundary_policy(self) -> str:
        """The permissions boundary of every role that these programs make."""
        return self.named("boundary")

    def bucket(self, name: str) -> str:
        """Bucket names are global: the account makes them unique."""
        return f"{self.prefix}-{name}-{self.account_id}"

    def bucket_arn(self, name: str) -> str:
        return self.arn_of_bucket(self.bucket(name))

    def arn_of_bucket(self, bucket: str) -> str:
        return f"arn:aws:s3:::{bucket}"

    def documents_bucket(self, workload: str) -> str:
        return self.bucket(f"docs-{workload}")

    def documents_queue(self, workload: str) -> str:
        return self.named(f"docs-{workload}")

    def queue_arn(self, queue: str) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account_id}:{queue}"

    def log_group(self, name: str) -> str:
        return f"/{PROJECT}/{self.environment}/{name}"

    @property
    def database_log_group(self) -> str:
        """RDS chooses this name from the cluster's."""
        return f"/aws/rds/cluster/{self.named('database')}/postgresql"

    @property
    def serve_role(self) -> str:
        return self.named("gateway")

    @property
    def ingest_role(self) -> str:
        return self.named("gateway-ingest")

    @property
    def audit_writers(self) -> list[str]:
        """The roles whose processes keep an audit chain and seal it."""
        return [self.serve_role, self.ingest_role]

    @property
    def migrate_role(self) -> str:
        return self.named("gateway-migrate")

    @property
    def intake_role(self) -> str:
        """The only role that brings model weights in."""
        return self.named("model-intake")

    def managed_model(self, model_id: str) -> str:
        """A SageMaker endpoint: letters, digits and single hyphens, 63 at most; model ids hold dots as well."""
        wanted = self.named(model_id)
        name = re.sub(r"[^0-9A-Za-z]+", "-", wanted).strip("-")
        if name == wanted and len(name) <= ENDPOINT_NAME_CHARS_MAX:
            return name
        digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
        return f"{name[: ENDPOINT_NAME_CHARS_MAX - 9].strip('-')}-{digest}"

    @property
    def redact_role(self) -> str:
        """The only role that makes tokens for redacted values."""
        return self.named("redact-dataset")

    @property
    def import_role(self) -> str:
        """The only role of a lower environment that reads released data sets."""
        return self.named("import-dataset")

    @property
    def release_pattern(self) -> str:
        """ARN of production's release bucket for those who may not know production's account."""
        return self.arn_of_bucket(f"{PROJECT}-prod-{RELEASE}-*")

    @property
    def trail(self) -> str:
        """Bucket and key policies name the trail before it exists."""
        return self.named("trail")

    @property
    def evidence_alarms(self) -> str:
        """The topic, and the first part of the name of each rule that publishes to it."""
        return self.named("evidence-alarms")

    def replication_role(self, bucket: str) -> str:
        """The only role that copies this bucket's new objects into evidence."""
        return self.named(f"replicate-{bucket}")

    @property
    def log_groups(self) -> tuple[str, ...]:
        """Every log group under the logs key."""
        tasks = ("gateway", "gateway-ingest", "gateway-migrate", "redact-dataset", "trail")
        return (*(self.log_group(task) for task in tasks), self.database_log_group, self.model_cluster_log_group)

    @property
    def model_cluster(self) -> str:
        """The Kubernetes cluster of our own model servers."""
        return self.named("models")

    @property
    def model_cluster_log_group(self) -> str:
        """EKS chooses this name from the cluster's."""
        return f"/aws/eks/{self.model_cluster}/cluster"

    @property
    def model_server_role(self) -> str:
        """The only role of the cluster that reads weights."""
        return self.named("model-server")
