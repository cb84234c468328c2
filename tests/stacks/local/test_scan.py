"""Scanners see the graph in Terraform's shape, and no finding is set aside without a reason."""

from __future__ import annotations

import pytest

from stacks.local.scan.__main__ import Finding, review, unneeded
from stacks.local.scan.reviewed import REVIEWED
from stacks.local.scan.terraform_shape import plan, shaped, snake, terraform_type
from tests.contracts.programs import captured


@pytest.mark.parametrize(
    ("token", "terraform"),
    [
        ("aws:s3/bucketPolicy:BucketPolicy", "aws_s3_bucket_policy"),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", "aws_vpc_endpoint"),
        ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "aws_vpc_security_group_egress_rule"),
        ("aws:ec2transitgateway/vpcAttachment:VpcAttachment", "aws_ec2_transit_gateway_vpc_attachment"),
        ("aws:lb/loadBalancer:LoadBalancer", "aws_lb"),
        ("aws:kms/key:Key", "aws_kms_key"),
    ],
)
def test_types_have_the_names_that_scanners_know(token: str, terraform: str) -> None:
    assert terraform_type(token) == terraform


def test_blocks_are_lists_and_maps_stay_maps() -> None:
    written = {"vpcConfig": {"subnetIds": ["a"]}, "tags": {"costCenter": "x"}, "defaultActions": [{"type": "forward"}]}

    assert shaped(written) == {
        "vpc_config": [{"subnet_ids": ["a"]}],
        "tags": {"costCenter": "x"},
        "default_action": [{"type": "forward"}],
    }
    assert snake("kmsKeyId") == "kms_key_id"


def test_every_resource_of_aws_is_in_the_plan_once_and_its_references_exist() -> None:
    document = plan([captured("platform", "prod")])

    addresses = [one["address"] for one in document["planned_values"]["root_module"]["resources"]]
    referred = {
        reference
        for one in document["configuration"]["root_module"]["resources"]
        for expression in one["expressions"].values()
        for reference in expression["references"]
    }
    assert len(addresses) == len(set(addresses)) > 300
    assert referred
    assert {one.removesuffix(".id") for one in referred} <= set(addresses)


def test_a_finding_without_a_reason_stays_open_and_a_reason_without_a_finding_is_named() -> None:
    known = Finding("prod", "CKV2_AWS_38", "aws_route53_zone.gateway-zone", "DNSSEC")

    assert review(known) is not None
    assert review(Finding("prod", "CKV_AWS_260", "aws_security_group.open", "open to all")) is None
    assert len(unneeded([known])) == len(REVIEWED) - 1


def test_every_reason_is_a_sentence_and_stands_once() -> None:
    assert all(len(one.why.split()) > 4 for one in REVIEWED)
    assert len({(one.check, one.resources) for one in REVIEWED}) == len(REVIEWED)
