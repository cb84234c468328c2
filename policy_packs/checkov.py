"""Which of Checkov's ids for our services these packs ask for, and why not the others.

Checkov reads files of other tools and never a Pulumi program; its ids are the field's common list of demands. An id
is matched when a rule names it; where the rule asks for less, or for it elsewhere, a remark says so. Each other id is
deliberately different or not applicable, with the reason. Ids that nobody accounts for are open, and a test finds
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policy_packs import coverage
from policy_packs.rule import AnyRule


class State(StrEnum):
    MATCHED = "matched"
    DIFFERENT = "deliberately different"
    NOT_APPLICABLE = "not applicable"
    OPEN = "open"


@dataclass(frozen=True)
class Covered:
    """One id, what it is about, and how the packs stand to it."""

    checkov_id: str
    subject: str
    state: State
    rules: tuple[str, ...]
    reason: str  # why it is not matched, or in what the match is partial


# Checkov 3.3, by what the id is about.
TO_COVER: Final[Mapping[str, str]] = {
    "VPC": "CKV2_AWS_11 CKV2_AWS_12",
    "subnet": "CKV_AWS_130",
    "security group": "CKV_AWS_23 CKV_AWS_24 CKV_AWS_25 CKV_AWS_260 CKV_AWS_277 CKV_AWS_382",
    "network ACL": "CKV_AWS_231 CKV_AWS_232 CKV_AWS_352",
    "route": "CKV2_AWS_35 CKV2_AWS_44",
    "VPC endpoint service": "CKV_AWS_123",
    "EC2 instance": "CKV_AWS_8 CKV_AWS_46 CKV_AWS_79 CKV_AWS_88 CKV2_AWS_41",
    "launch template": "CKV_AWS_79 CKV_AWS_88 CKV_AWS_341",
    "EBS volume": "CKV_AWS_3 CKV_AWS_189",
    "KMS key": "CKV_AWS_7 CKV_AWS_33 CKV_AWS_227 CKV2_AWS_64",
    "S3 bucket": """
        CKV_AWS_18 CKV_AWS_19 CKV_AWS_20 CKV_AWS_21 CKV_AWS_53 CKV_AWS_54 CKV_AWS_55 CKV_AWS_56 CKV_AWS_57
        CKV_AWS_70 CKV_AWS_93 CKV_AWS_143 CKV_AWS_145 CKV_AWS_300 CKV_AWS_375 CKV_AWS_379 CKV_AWS_392 CKV2_AWS_6
        CKV2_AWS_43 CKV2_AWS_61 CKV2_AWS_65
    """,
    "log group": "CKV_AWS_66 CKV_AWS_158 CKV_AWS_338",
    "EKS cluster": "CKV_AWS_37 CKV_AWS_38 CKV_AWS_39 CKV_AWS_58 CKV_AWS_339",
    "EKS node group": "CKV_AWS_100",
    "IAM role": "CKV_AWS_60 CKV_AWS_61 CKV_AWS_274 CKV_AWS_393",
    "IAM policy": """
        CKV_AWS_62 CKV_AWS_63 CKV_AWS_286 CKV_AWS_287 CKV_AWS_288 CKV_AWS_289 CKV_AWS_290 CKV_AWS_355
        CKV2_AWS_40 CKV2_AWS_56 CKV_AWS_1 CKV_AWS_49 CKV_AWS_107 CKV_AWS_108 CKV_AWS_109 CKV_AWS_110 CKV_AWS_111
        CKV_AWS_283 CKV_AWS_356 CKV_AWS_358
    """,
    "RDS cluster": """
        CKV_AWS_17 CKV_AWS_96 CKV_AWS_133 CKV_AWS_139 CKV_AWS_162 CKV_AWS_226 CKV_AWS_313 CKV_AWS_324
        CKV_AWS_327 CKV_AWS_353 CKV_AWS_354 CKV2_AWS_27
    """,
    "ElastiCache": "CKV_AWS_29 CKV_AWS_30 CKV_AWS_31 CKV_AWS_191 CKV2_AWS_50",
    "load balancer": "CKV_AWS_91 CKV_AWS_131 CKV_AWS_150 CKV_AWS_328 CKV2_AWS_28",
    "listener and target group": "CKV_AWS_2 CKV_AWS_103 CKV_AWS_378 CKV2_AWS_20 CKV2_AWS_74 CKV_AWS_261",
    "ECR repository": "CKV_AWS_32 CKV_AWS_51 CKV_AWS_136 CKV_AWS_163",
    "Secrets Manager secret": "CKV_AWS_149 CKV_AWS_304 CKV2_AWS_57",
    "SSM parameter": "CKV_AWS_337 CKV2_AWS_34",
    "SQS queue": "CKV_AWS_27 CKV_AWS_72 CKV_AWS_168 CKV_AWS_387 CKV2_AWS_73",
    "SNS topic": "CKV_AWS_26 CKV_AWS_169 CKV_AWS_385",
    "Bedrock agent": "CKV_AWS_373 CKV_AWS_383",
    "SageMaker": """
        CKV_AWS_22 CKV_AWS_98 CKV_AWS_122 CKV_AWS_187 CKV_AWS_306 CKV_AWS_307 CKV_AWS_367 CKV_AWS_368
        CKV_AWS_369 CKV_AWS_370 CKV_AWS_371 CKV_AWS_372 CKV2_AWS_68
    """,
    "OpenSearch domain": """
        CKV_AWS_5 CKV_AWS_6 CKV_AWS_83 CKV_AWS_84 CKV_AWS_137 CKV_AWS_228 CKV_AWS_247 CKV_AWS_317 CKV2_AWS_52
    """,
    "CloudTrail trail": "CKV_AWS_35 CKV_AWS_36 CKV_AWS_67 CKV_AWS_251 CKV_AWS_252 CKV2_AWS_10",
    "WAFv2 web ACL": "CKV_AWS_175 CKV_AWS_192 CKV_AWS_342 CKV2_AWS_31",
    "API Gateway": """
        CKV_AWS_59 CKV_AWS_76 CKV_AWS_206 CKV_AWS_276 CKV_AWS_309 CKV2_AWS_4 CKV2_AWS_29 CKV2_AWS_51 CKV2_AWS_53
        CKV2_AWS_70
    """,
    "Lambda function": "CKV_AWS_45 CKV_AWS_117 CKV_AWS_173 CKV_AWS_272 CKV_AWS_363",
    "GuardDuty, Config and Network Firewall": """
        CKV_AWS_238 CKV2_AWS_45 CKV_AWS_344 CKV_AWS_345 CKV_AWS_346 CKV2_AWS_63
    """,
    "Kubernetes workload": """
        CKV_K8S_8 CKV_K8S_9 CKV_K8S_10 CKV_K8S_11 CKV_K8S_12 CKV_K8S_13 CKV_K8S_14 CKV_K8S_15 CKV_K8S_16
        CKV_K8S_17 CKV_K8S_18 CKV_K8S_19 CKV_K8S_20 CKV_K8S_21 CKV_K8S_22 CKV_K8S_23 CKV_K8S_25 CKV_K8S_26
        CKV_K8S_27 CKV_K8S_28 CKV_K8S_29 CKV_K8S_30 CKV_K8S_31 CKV_K8S_35 CKV_K8S_37 CKV_K8S_38 CKV_K8S_39
        CKV_K8S_40 CKV_K8S_43 CKV2_K8S_6
    """,
    "Kubernetes access and ingress": """
        CKV_K8S_41 CKV_K8S_42 CKV_K8S_49 CKV_K8S_153 CKV_K8S_155 CKV_K8S_156 CKV_K8S_157 CKV_K8S_158 CKV2_K8S_1
        CKV2_K8S_2 CKV2_K8S_3 CKV2_K8S_4 CKV2_K8S_5
    """,
}

# id → why no rule asks for it in Checkov's form.
DIFFERENT: Final[Mapping[str, str]] = {
    "CKV_AWS_252": "alarms hear the trail through EventBridge and its log group; a topic would tell of each log file",
    "CKV_AWS_338": "logs of prompts end as their data class demands; the setting retention_days_min can ask for a year",
    "CKV_K8S_15": "images are named by digest, so pulling them always again would prove nothing",
}

# id → why there is nothing to ask.
NOT_APPLICABLE: Final[Mapping[str, str]] = {}

# id → where the rules that match it ask for less than Checkov, and why.
PARTLY: Final[Mapping[str, str]] = {
    "CKV_AWS_18": "of buckets that keep model content; elsewhere CloudTrail's data events record access",
    "CKV2_AWS_27": "durations of statements are not logged: their text may hold prompts",
    "CKV2_AWS_61": "of buckets that keep model content: it has an end; weights, evidence and documents have none",
    "CKV_K8S_8": "of containers that declare a port",
    "CKV_K8S_9": "of containers that declare a port",
    "CKV_K8S_29": "setting by setting, each by a rule of its own",
    "CKV_K8S_30": "setting by setting, each by a rule of its own",
    "CKV_K8S_155": "of roles for the whole cluster: what it is about belongs to no namespace",
    "CKV_K8S_156": "of roles for the whole cluster: what it is about belongs to no namespace",
}


def covered(rules: Iterable[AnyRule]) -> Iterator[Covered]:
    """Every id once, under the first subject that names it."""
    by_id = coverage.rules_by_checkov_id(rules)
    for checkov_id, subject in _subjects().items():
        yield _covered(checkov_id, subject, by_id.get(checkov_id, ()))


def _subjects() -> dict[str, str]:
    found: dict[str, str] = {}
    for subject, ids in TO_COVER.items():
        for one in ids.split():
            found.setdefault(one, subject)
    return found


def _covered(checkov_id: str, subject: str, rules: tuple[str, ...]) -> Covered:
    if rules:
        return Covered(checkov_id, subject, State.MATCHED, rules, PARTLY.get(checkov_id, ""))
    for state, reasons in ((State.DIFFERENT, DIFFERENT), (State.NOT_APPLICABLE, NOT_APPLICABLE)):
        if checkov_id in reasons:
            return Covered(checkov_id, subject, state, (), reasons[checkov_id])
    return Covered(checkov_id, subject, State.OPEN, (), "")
