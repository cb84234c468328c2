"""cfn-lint's IAM rules over our documents: the grammar of each kind of policy, and which resources fit which action.

cfn-lint reads templates, so each document is put into the smallest template that holds its kind. Every other
rule is left out: there is no template of ours to judge.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.criteria.rendered_documents import Document

RULES = {"E3510", "E3512", "E3513", "E3514", "E3530", "I3510", "W3037"}
# Our resource type → the template's type and the property that holds the document.
HOLDERS: dict[str, tuple[str, str, dict[str, object]]] = {
    "BucketPolicy": ("AWS::S3::BucketPolicy", "PolicyDocument", {"Bucket": "bucket"}),
    "Key": ("AWS::KMS::Key", "KeyPolicy", {}),
    "Policy": ("AWS::IAM::ManagedPolicy", "PolicyDocument", {}),
    "PodIdentityAssociation": ("AWS::IAM::ManagedPolicy", "PolicyDocument", {}),
    "QueuePolicy": ("AWS::SQS::QueuePolicy", "PolicyDocument", {"Queues": ["queue"]}),
    "RepositoryPolicy": ("AWS::ECR::Repository", "RepositoryPolicyText", {}),
    "Role": ("AWS::IAM::Role", "AssumeRolePolicyDocument", {}),
    "RolePolicy": ("AWS::IAM::RolePolicy", "PolicyDocument", {"PolicyName": "policy", "RoleName": "role"}),
    "TopicPolicy": ("AWS::SNS::TopicPolicy", "PolicyDocument", {"Topics": ["topic"]}),
    "VpcEndpoint": ("AWS::EC2::VPCEndpoint", "PolicyDocument", {"VpcId": "vpc-0", "ServiceName": "service"}),
}


def findings(documents: Sequence[Document]) -> list[str]:
    """One sentence for each thing that a rule says about a document."""
    from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]  # half a second; ships no types

    resources: dict[str, object] = {}
    where: dict[str, Document] = {}
    for number, document in enumerate(documents):
        kind, key, others = HOLDERS[document.kind]
        resources[f"Policy{number}"] = {"Type": kind, "Properties": {**others, key: document.content}}
        where[f"Policy{number}"] = document
    template = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})
    matches = lint(template, config=ManualArgs(regions=["us-east-1"], include_checks=["I"]))
    return [_sentence(match, where) for match in matches if match.rule.id in RULES]


def _sentence(match: Any, where: dict[str, Document]) -> str:  # Any: cfn-lint ships no types
    path = [str(step) for step in match.path]
    return f"{where[path[1]]}: {'.'.join(path[4:])}: {match.rule.id} {match.message}"
