"""Networks, instances and volumes, as the rules ask for them."""

from __future__ import annotations

import pulumi_aws as aws

KEY = "arn:aws:kms:eu-central-1:111122223333:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"
VPC, SUBNET = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0"


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    _instance()
    _offered_service()
    _firewall()


def _instance() -> None:
    aws.ec2.Instance(
        "runner",
        ami="ami-0123456789abcdef0",
        instance_type="m7i.large",
        subnet_id=SUBNET,
        vpc_security_group_ids=["sg-0123456789abcdef0"],
        associate_public_ip_address=False,
        iam_instance_profile="runner",
        metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1},
        root_block_device={"encrypted": True, "kms_key_id": KEY},
        user_data="#!/bin/sh\nexport TOKEN=$(fetch-token)\nsystemctl start runner\n",
        ebs_optimized=True,
        monitoring=True,
        disable_api_termination=True,
    )
    aws.ebs.Volume("builds", availability_zone="eu-central-1a", size=100, encrypted=True, kms_key_id=KEY)


def _offered_service() -> None:
    aws.ec2.VpcEndpointService(
        "answers",
        acceptance_required=True,
        network_load_balancer_arns=[
            "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/net/answers/0123456789abcdef"
        ],
    )


def _firewall() -> None:
    encryption: aws.networkfirewall.FirewallEncryptionConfigurationArgsDict = {"type": "CUSTOMER_KMS", "key_id": KEY}
    policy = aws.networkfirewall.FirewallPolicy(
        "hosts",
        firewall_policy={
            "stateless_default_actions": ["aws:forward_to_sfe"],
            "stateless_fragment_default_actions": ["aws:drop"],
            "stateful_engine_options": {"rule_order": "STRICT_ORDER"},
            "stateful_default_actions": ["aws:drop_established"],
        },
        encryption_configuration=encryption,
    )
    firewall = aws.networkfirewall.Firewall(
        "edge",
        vpc_id=VPC,
        firewall_policy_arn=policy.arn,
        subnet_mappings=[{"subnet_id": SUBNET}],
        delete_protection=True,
        subnet_change_protection=True,
        firewall_policy_change_protection=True,
        encryption_configuration=encryption,
    )
    aws.networkfirewall.LoggingConfiguration(
        "edge",
        firewall_arn=firewall.arn,
        logging_configuration={
            "log_destination_configs": [
                {
                    "log_type": "ALERT",
                    "log_destination_type": "S3",
                    "log_destination": {"bucketName": "firewall-records"},
                }
            ]
        },
    )
