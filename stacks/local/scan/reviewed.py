"""What Checkov says of our resources and we do not follow: each finding with the reason, read by a person.

A finding that is not listed fails the scan, and so does an entry that no finding needs any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A check, the resources for which it is set aside (a pattern over their addresses), and why."""

    check: str
    resources: str
    why: str

    def covers(self, check: str, resource: str) -> bool:
        return check == self.check and re.search(self.resources, resource) is not None


_BOUNDARY = "a permissions boundary grants nothing: it is the most that a role's own policy may reach, with denies"

REVIEWED = (
    *(
        Reviewed(check, "boundary-policy$", _BOUNDARY)
        for check in (
            "CKV_AWS_286",
            "CKV_AWS_290",
            "CKV_AWS_288",
            "CKV_AWS_62",
            "CKV_AWS_289",
            "CKV_AWS_287",
            "CKV_AWS_63",
            "CKV_AWS_355",
            "CKV2_AWS_40",
        )
    ),
    Reviewed(
        "CKV_AWS_338",
        "log-group$",
        "groups that can hold prompts are kept as short as the data class demands, and outside prod logs are kept a "
        "month; evidence is kept in the archive, locked",
    ),
    Reviewed(
        "CKV_AWS_231",
        "(app|model)-network-acl$",
        "a stateless list must admit the answers of S3's gateway endpoint, whose addresses are public, on 1024 to "
        "65535; security groups admit nothing from outside",
    ),
    Reviewed(
        "CKV_AWS_91",
        "model-load-balancer$",
        "a network load balancer writes access logs only for TLS listeners; this one passes TCP through, and flow "
        "logs and the model proxy record every connection",
    ),
    Reviewed(
        "CKV_AWS_339",
        "eks_cluster",
        "the scanner's list of versions ends before ours; a test holds the version against EKS's support dates",
    ),
    Reviewed(
        "CKV_AWS_118",
        "database-instance",
        "enhanced monitoring writes to RDSOSMetrics, one log group of the account that no own key encrypts; "
        "Performance Insights is on, under our key",
    ),
    Reviewed(
        "CKV_AWS_98",
        "sagemaker_endpoint_configuration",
        "instances with local NVMe disks refuse or ignore an own key; AWS encrypts those disks in hardware",
    ),
    Reviewed("CKV_AWS_332", "ecs_service", "platform 1.4.0 is pinned: LATEST would change without a deployment"),
    Reviewed("CKV2_AWS_62", "s3_bucket", "a notification is wanted where somebody waits for it: documents only"),
    Reviewed(
        "CKV2_AWS_8",
        "database-cluster",
        "continuous backup of Aurora itself, up to 35 days; AWS Backup would add a second writer of snapshots",
    ),
    Reviewed(
        "CKV_AWS_18",
        "s3_bucket",
        "the trail records every read and write of these buckets as data events, locked in evidence; server access "
        "logs are best-effort and unlocked",
    ),
    Reviewed(
        "CKV2_AWS_61",
        "(models|registrations|evidence|release|documents|datasets)-bucket$",
        "what is kept until somebody removes it has nothing to expire: weights, registrations, documents, data sets; "
        "evidence outlives its lock",
    ),
    Reviewed("CKV2_AWS_27", "database-cluster", "a log of every query would hold prompts and documents"),
    Reviewed(
        "CKV2_AWS_5",
        "(cluster-deployer|managed-model|model-server|cluster-api|model-load-balancer)$",
        "attached to a SageMaker model, to nodes, or to the runner of the cluster program, which the scanner does "
        "not know",
    ),
    Reviewed("CKV2_AWS_39", "route53_zone", "private zones: the resolver's own query log records every query"),
    Reviewed("CKV2_AWS_38", "route53_zone", "private zones cannot be signed"),
    Reviewed("CKV2_AWS_15", "autoscaling_attachment", "EKS manages these groups and replaces nodes by its own checks"),
    Reviewed(
        "CKV_AWS_144",
        "s3_bucket",
        "data stays in its region; logs that cannot be locked where they land are replicated into evidence",
    ),
    Reviewed("CKV_AWS_145", "(access-logs|load-balancer-logs)-bucket$", "AWS delivers these logs to SSE-S3 only"),
    *(
        Reviewed(check, resources, "environments that are taken down again; prod is refused without protection")
        for check, resources in (("CKV_AWS_139", "database-cluster"), ("CKV_AWS_150", "load-balancer$"))
    ),
    *(
        Reviewed(
            check,
            "^DaemonSet.gpu-devices",
            "these two reach the devices of the node: a privileged namespace of their own, listed by name, without "
            "an AWS identity and closed by network policies",
        )
        for check in ("CKV_K8S_23", "CKV_K8S_29", "CKV_K8S_40")
    ),
    *(
        Reviewed(check, "gpu-devices|cluster-autoscaler", "agents that nobody sends requests to")
        for check in ("CKV_K8S_8", "CKV_K8S_9")
    ),
    Reviewed(
        "CKV_K8S_38",
        "cluster-autoscaler|prometheus",
        "these two ask the Kubernetes API what to scale and what to scrape, with a role for exactly that",
    ),
)
