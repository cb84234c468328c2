"""Which checks of a running account ask for part of what a rule asks: AWS Security Hub's controls, Prowler's checks.

An auditor meets the same demand twice: here before a resource exists, there after. These ids lead from one to the
other. They stand in one place and not beside each check, unlike the controls in `Controls`: what a rule is for is
known to whoever writes it, but these are names of other products, which are renamed and renumbered together and are
compared with their lists in one sitting. Whoever wants all seven frameworks of a rule in one line reads
docs/frameworks.csv, which is generated.

A rule whose tuple is empty has no twin there. A twin asks for at least part of the same; that it passes proves no
more. Prowler's names without a service of AWS in them (`core_…`, `rbac_…`) are those for a running cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Twins:
    """Ids of one rule's twins: controls of AWS Security Hub, checks of Prowler."""

    security_hub: tuple[str, ...]
    prowler: tuple[str, ...]

    def tags(self) -> tuple[str, ...]:
        return (*(f"securityhub:{one}" for one in self.security_hub), *(f"prowler:{one}" for one in self.prowler))


NONE: Final = Twins((), ())

# Name of the rule → its twins, in the order of the packs. Prowler 5; Security Hub's Foundational Security Best
# Practices 1.0.0 and AI Security Best Practices 1.0.0.
TWINS: Final[Mapping[str, Twins]] = {
    "s3-bucket-require-public-access-block": Twins(("S3.8",), ("s3_bucket_level_public_access_block",)),
    "s3-bucket-require-policy": Twins((), ()),
    "s3-bucket-policy-require-tls": Twins(("S3.5",), ("s3_bucket_secure_transport_policy",)),
    "s3-bucket-policy-disallow-public": Twins(
        ("S3.2", "S3.3"), ("s3_bucket_public_access", "s3_bucket_policy_public_write_access")
    ),
    "s3-bucket-policy-disallow-lockout": Twins((), ()),
    "s3-bucket-disallow-public-acl": Twins(
        ("S3.2", "S3.3"), ("s3_bucket_public_list_acl", "s3_bucket_public_write_acl")
    ),
    "s3-bucket-require-acls-off": Twins(("S3.12",), ("s3_bucket_acl_prohibited",)),
    "s3-access-point-require-public-access-block": Twins(("S3.19",), ("s3_access_point_public_access_block",)),
    "s3-bucket-require-customer-key": Twins(("S3.17",), ("s3_bucket_kms_encryption",)),
    "s3-bucket-require-versioning": Twins(("S3.14",), ("s3_bucket_object_versioning",)),
    "s3-lifecycle-require-abort-of-uploads": Twins((), ()),
    "kms-key-require-rotation": Twins(("KMS.4",), ("kms_cmk_rotation_enabled",)),
    "kms-key-disallow-disabled": Twins((), ("kms_cmk_are_used",)),
    "kms-key-require-own-policy": Twins((), ()),
    "kms-key-policy-disallow-public": Twins(("KMS.5",), ("kms_key_not_publicly_accessible",)),
    "rds-database-require-customer-key": Twins(
        ("RDS.3", "RDS.27"), ("rds_instance_storage_encrypted", "rds_cluster_storage_encrypted")
    ),
    "rds-database-disallow-public-address": Twins(("RDS.2",), ("rds_instance_no_public_access",)),
    "rds-database-require-iam-authentication": Twins(
        ("RDS.10", "RDS.12"), ("rds_instance_iam_authentication_enabled", "rds_cluster_iam_authentication_enabled")
    ),
    "rds-database-require-backups": Twins(("RDS.11",), ("rds_instance_backup_enabled",)),
    "rds-database-require-deletion-protection": Twins(
        ("RDS.7", "RDS.8"), ("rds_cluster_deletion_protection", "rds_instance_deletion_protection")
    ),
    "rds-instance-require-minor-upgrades": Twins(("RDS.13",), ("rds_instance_minor_version_upgrade_enabled",)),
    "rds-database-require-tags-on-snapshots": Twins(
        ("RDS.16", "RDS.17"), ("rds_cluster_copy_tags_to_snapshots", "rds_instance_copy_tags_to_snapshots")
    ),
    "rds-database-require-log-exports": Twins(
        ("RDS.9", "RDS.34", "RDS.36", "RDS.37"),
        ("rds_instance_integration_cloudwatch_logs", "rds_cluster_integration_cloudwatch_logs"),
    ),
    "rds-instance-require-performance-insights": Twins((), ()),
    "rds-performance-insights-require-customer-key": Twins((), ()),
    "rds-postgresql-require-statement-log": Twins((), ()),
    "rds-parameter-group-require-tls": Twins(("RDS.38", "RDS.39"), ("rds_instance_transport_encrypted",)),
    "rds-snapshot-disallow-public": Twins(("RDS.1",), ("rds_snapshots_public_access",)),
    "lb-listener-require-tls13": Twins(("ELB.1",), ("elbv2_ssl_listeners", "elbv2_insecure_ssl_ciphers")),
    "lb-load-balancer-require-access-logs": Twins(("ELB.5",), ("elbv2_logging_enabled",)),
    "lb-load-balancer-disallow-invalid-headers": Twins(("ELB.4",), ("elbv2_alb_drop_invalid_header_fields_enabled",)),
    "lb-load-balancer-require-desync-mitigation": Twins(("ELB.12",), ("elbv2_desync_mitigation_mode",)),
    "lb-load-balancer-require-deletion-protection": Twins(("ELB.6",), ("elbv2_deletion_protection",)),
    "lb-target-group-disallow-plain-http": Twins((), ()),
    "lb-target-group-require-health-check": Twins((), ()),
    "waf-web-acl-require-rules": Twins(("WAF.10",), ("wafv2_webacl_with_rules",)),
    "waf-web-acl-require-known-bad-inputs": Twins((), ("wafv2_webacl_managed_rule_groups_enabled",)),
    "waf-rule-require-action": Twins((), ()),
    "waf-web-acl-require-logging": Twins(("WAF.11",), ("wafv2_webacl_logging_enabled",)),
    "waf-require-web-acl-before-public-endpoints": Twins(
        ("APIGateway.4", "ELB.16"), ("apigateway_restapi_waf_acl_attached", "elbv2_waf_acl_attached")
    ),
    "apigateway-method-require-authorization": Twins(
        ("APIGateway.8",),
        (
            "apigateway_restapi_authorizers_enabled",
            "apigateway_restapi_public_with_authorizer",
            "apigatewayv2_api_authorizers_enabled",
        ),
    ),
    "apigateway-method-require-request-validator": Twins((), ()),
    "apigateway-stage-require-access-logs": Twins(("APIGateway.9",), ("apigatewayv2_api_access_logging_enabled",)),
    "apigateway-stage-disallow-data-trace": Twins((), ()),
    "apigateway-stage-require-execution-logs": Twins(("APIGateway.1",), ("apigateway_restapi_logging_enabled",)),
    "apigateway-domain-require-tls12": Twins((), ()),
    "apigateway-stage-require-client-certificate": Twins(
        ("APIGateway.2",), ("apigateway_restapi_client_certificate_enabled",)
    ),
    "ec2-security-group-disallow-open-cidr": Twins(
        ("EC2.13", "EC2.14", "EC2.18", "EC2.19"),
        (
            "ec2_securitygroup_allow_ingress_from_internet_to_all_ports",
            "ec2_securitygroup_allow_ingress_from_internet_to_any_port",
            "ec2_securitygroup_allow_ingress_from_internet_to_high_risk_tcp_ports",
            "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22",
            "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_3389",
        ),
    ),
    "ec2-security-group-require-description": Twins((), ()),
    "ec2-security-group-https-require-inspected-way-out": Twins((), ("networkfirewall_in_all_vpc",)),
    "vpc-require-flow-log": Twins(("EC2.6",), ("vpc_flow_logs_enabled",)),
    "vpc-require-closed-default-security-group": Twins(("EC2.2",), ("ec2_securitygroup_default_restrict_traffic",)),
    "vpc-endpoint-service-require-acceptance": Twins((), ()),
    "ec2-subnet-disallow-public-ip": Twins(("EC2.15",), ("vpc_subnet_no_public_ip_by_default",)),
    "ec2-network-acl-disallow-open-admin-ports": Twins(
        ("EC2.21",), ("ec2_networkacl_allow_ingress_tcp_port_22", "ec2_networkacl_allow_ingress_tcp_port_3389")
    ),
    "ec2-network-acl-disallow-every-port": Twins((), ("ec2_networkacl_allow_ingress_any_port",)),
    "ec2-route-disallow-nat-instance": Twins((), ()),
    "ec2-route-disallow-everything-over-peering": Twins((), ("vpc_peering_routing_tables_with_least_privilege",)),
    "ec2-instance-require-encrypted-volumes": Twins(("EC2.3",), ("ec2_ebs_volume_encryption",)),
    "ec2-instance-require-imdsv2": Twins(("EC2.8",), ("ec2_instance_imdsv2_enabled",)),
    "ec2-instance-disallow-public-ip": Twins(
        ("EC2.9", "EC2.25"), ("ec2_instance_public_ip", "ec2_launch_template_no_public_ip")
    ),
    "ec2-instance-require-role": Twins((), ("ec2_instance_profile_attached",)),
    "ec2-instance-disallow-secrets-in-user-data": Twins(
        (),
        (
            "ec2_instance_secrets_user_data",
            "ec2_launch_template_no_secrets",
            "autoscaling_find_secrets_ec2_launch_configuration",
        ),
    ),
    "ebs-volume-require-encryption": Twins(("EC2.3",), ("ec2_ebs_volume_encryption",)),
    "ebs-volume-require-customer-key": Twins((), ()),
    "networkfirewall-firewall-require-delete-protection": Twins(
        ("NetworkFirewall.9",), ("networkfirewall_deletion_protection",)
    ),
    "networkfirewall-require-customer-key": Twins((), ()),
    "networkfirewall-firewall-require-logging": Twins(("NetworkFirewall.2",), ("networkfirewall_logging_enabled",)),
    "cloudwatch-log-group-require-key-and-retention": Twins(
        (),
        ("cloudwatch_log_group_kms_encryption_enabled", "cloudwatch_log_group_retention_policy_specific_days_enabled"),
    ),
    "secretsmanager-secret-require-customer-key": Twins((), ()),
    "secretsmanager-secret-require-rotation": Twins(
        ("SecretsManager.1",), ("secretsmanager_automatic_rotation_enabled",)
    ),
    "secretsmanager-rotation-require-90-days": Twins(
        ("SecretsManager.4",), ("secretsmanager_secret_rotated_periodically",)
    ),
    "ssm-parameter-require-secure-string": Twins((), ()),
    "ssm-parameter-require-customer-key": Twins((), ()),
    "dynamodb-table-require-customer-key": Twins((), ("dynamodb_tables_kms_cmk_encryption_enabled",)),
    "dynamodb-table-require-point-in-time-recovery": Twins(("DynamoDB.2",), ("dynamodb_tables_pitr_enabled",)),
    "guardduty-detector-disallow-suspended": Twins(("GuardDuty.1",), ("guardduty_is_enabled",)),
    "config-recorder-require-every-resource": Twins(("Config.1",), ("config_recorder_all_regions_enabled",)),
    "ecs-task-definition-require-hardened-containers": Twins(
        ("ECS.1", "ECS.4", "ECS.5"),
        (
            "ecs_task_definitions_host_networking_mode_users",
            "ecs_task_definitions_no_privileged_containers",
            "ecs_task_definitions_containers_readonly_access",
        ),
    ),
    "ecs-task-definition-disallow-host-namespaces": Twins(
        ("ECS.1", "ECS.3"),
        ("ecs_task_definitions_host_networking_mode_users", "ecs_task_definitions_host_namespace_not_shared"),
    ),
    "ecs-task-definition-require-separate-roles": Twins((), ()),
    "ecs-task-definition-require-encrypted-efs-mounts": Twins((), ()),
    "ecs-service-disallow-public-address": Twins(
        ("ECS.2", "ECS.16"), ("ecs_service_no_assign_public_ip", "ecs_task_set_no_assign_public_ip")
    ),
    "ecs-service-require-current-platform": Twins(("ECS.10",), ("ecs_service_fargate_latest_platform_version",)),
    "ecs-cluster-require-container-insights": Twins(("ECS.12",), ("ecs_cluster_container_insights_enabled",)),
    "ecs-cluster-require-session-log": Twins((), ()),
    "ecs-cluster-require-encrypted-sessions": Twins((), ()),
    "elasticache-cache-require-encryption": Twins(
        ("ElastiCache.4", "ElastiCache.5"),
        (
            "elasticache_redis_cluster_rest_encryption_enabled",
            "elasticache_redis_cluster_in_transit_encryption_enabled",
        ),
    ),
    "elasticache-user-require-iam": Twins(("ElastiCache.6",), ("elasticache_redis_replication_group_auth_enabled",)),
    "elasticache-replication-group-require-failover": Twins(
        ("ElastiCache.3",), ("elasticache_redis_cluster_automatic_failover_enabled",)
    ),
    "opensearch-domain-require-customer-key": Twins(
        ("OpenSearch.1", "ES.1"), ("opensearch_service_domains_encryption_at_rest_enabled",)
    ),
    "opensearch-domain-require-node-to-node-encryption": Twins(
        ("OpenSearch.3", "ES.3"), ("opensearch_service_domains_node_to_node_encryption_enabled",)
    ),
    "opensearch-domain-require-https": Twins(
        ("OpenSearch.8", "ES.8"), ("opensearch_service_domains_https_communications_enforced",)
    ),
    "opensearch-domain-require-tls12": Twins(("OpenSearch.8", "ES.8"), ()),
    "opensearch-domain-require-vpc": Twins(
        ("OpenSearch.2", "ES.2"), ("opensearch_service_domains_not_publicly_accessible",)
    ),
    "opensearch-domain-require-audit-log": Twins(
        ("OpenSearch.5", "ES.5"), ("opensearch_service_domains_audit_logging_enabled",)
    ),
    "opensearch-domain-require-fine-grained-access": Twins(
        ("OpenSearch.7",), ("opensearch_service_domains_access_control_enabled",)
    ),
    "opensearch-domain-require-dedicated-masters": Twins(
        ("OpenSearch.6", "OpenSearch.11", "ES.6", "ES.7"),
        (
            "opensearch_service_domains_fault_tolerant_data_nodes",
            "opensearch_service_domains_fault_tolerant_master_nodes",
        ),
    ),
    "eks-cluster-require-private-endpoint": Twins(("EKS.1",), ("eks_cluster_not_publicly_accessible",)),
    "eks-cluster-require-control-plane-logs": Twins(("EKS.8",), ("eks_control_plane_logging_all_types_enabled",)),
    "eks-cluster-require-own-key-for-secrets": Twins(
        ("EKS.3",), ("eks_cluster_kms_cmk_encryption_in_secrets_enabled",)
    ),
    "eks-cluster-require-api-authentication": Twins((), ()),
    "eks-cluster-require-supported-version": Twins(("EKS.2",), ("eks_cluster_uses_a_supported_version",)),
    "eks-node-group-disallow-open-ssh": Twins((), ()),
    "kubernetes-container-disallow-privileged": Twins((), ("core_minimize_privileged_containers",)),
    "kubernetes-container-disallow-privilege-escalation": Twins(
        (), ("core_minimize_allowPrivilegeEscalation_containers",)
    ),
    "kubernetes-container-disallow-capabilities": Twins(
        (),
        (
            "core_minimize_containers_added_capabilities",
            "core_minimize_containers_capabilities_assigned",
            "core_minimize_net_raw_capability_admission",
        ),
    ),
    "kubernetes-container-require-read-only-root": Twins((), ("core_readonly_root_filesystem_enabled",)),
    "kubernetes-container-disallow-root-user": Twins((), ("core_minimize_root_containers_admission",)),
    "kubernetes-container-require-high-user-id": Twins((), ()),
    "kubernetes-container-require-seccomp": Twins((), ("core_seccomp_profile_docker_default",)),
    "kubernetes-container-disallow-host-port": Twins((), ("core_minimize_admission_hostport_containers",)),
    "kubernetes-container-require-image-digest": Twins((), ("core_image_tag_fixed",)),
    "kubernetes-container-require-resources": Twins(
        (), ("core_cpu_limits_set", "core_cpu_requests_set", "core_memory_limits_set", "core_memory_requests_set")
    ),
    "kubernetes-container-require-probes": Twins(
        (), ("core_liveness_probe_configured", "core_readiness_probe_configured")
    ),
    "kubernetes-container-disallow-secrets-in-variables": Twins((), ("core_no_secrets_envs",)),
    "kubernetes-pod-disallow-host-namespaces": Twins(
        (),
        (
            "core_minimize_hostIPC_containers",
            "core_minimize_hostNetwork_containers",
            "core_minimize_hostPID_containers",
        ),
    ),
    "kubernetes-pod-disallow-runtime-socket": Twins((), ("core_minimize_hostpath_volume_mounts",)),
    "kubernetes-pod-disallow-unneeded-token": Twins((), ()),
    "kubernetes-disallow-default-namespace": Twins((), ()),
    "kubernetes-role-disallow-wildcards": Twins((), ("rbac_minimize_wildcard_use_roles",)),
    "kubernetes-role-disallow-escalation": Twins((), ()),
    "kubernetes-role-disallow-admission-control": Twins((), ("rbac_minimize_webhook_config_access",)),
    "kubernetes-role-disallow-certificate-approval": Twins((), ("rbac_minimize_csr_approval_access",)),
    "kubernetes-role-disallow-exec": Twins((), ("rbac_minimize_node_proxy_subresource_access",)),
    "kubernetes-role-disallow-service-status": Twins((), ()),
    "kubernetes-role-disallow-reading-all-secrets": Twins((), ("rbac_minimize_secret_access",)),
    "kubernetes-disallow-default-service-account": Twins((), ()),
    "kubernetes-binding-disallow-built-in-administrators": Twins((), ("rbac_cluster_admin_usage",)),
    "kubernetes-pod-require-network-policy": Twins((), ("eks_cluster_network_policy_enabled",)),
    "kubernetes-ingress-disallow-snippets": Twins((), ()),
    "ec2-launch-template-require-imdsv2": Twins(("EC2.170",), ("ec2_launch_template_imdsv2_required",)),
    "ec2-launch-template-require-encrypted-volumes": Twins(("EC2.3",), ("ec2_ebs_volume_encryption",)),
    "cloudtrail-trail-require-every-region": Twins(("CloudTrail.1",), ("cloudtrail_multi_region_enabled",)),
    "cloudtrail-trail-require-log-file-validation": Twins(
        ("CloudTrail.4",), ("cloudtrail_log_file_validation_enabled",)
    ),
    "cloudtrail-trail-require-own-key": Twins(("CloudTrail.2",), ("cloudtrail_kms_encryption_enabled",)),
    "cloudtrail-trail-require-reads-and-writes": Twins(
        ("CloudTrail.1",), ("cloudtrail_multi_region_enabled_logging_management_events",)
    ),
    "cloudtrail-trail-require-log-group": Twins(("CloudTrail.5",), ("cloudtrail_cloudwatch_logging_enabled",)),
    "iam-policy-disallow-service-wide-allow": Twins(
        ("IAM.21",),
        (
            "iam_policy_no_full_access_to_kms",
            "iam_inline_policy_no_full_access_to_kms",
            "iam_policy_no_full_access_to_cloudtrail",
            "iam_inline_policy_no_full_access_to_cloudtrail",
        ),
    ),
    "iam-policy-disallow-every-action": Twins(
        ("IAM.1",),
        (
            "iam_customer_attached_policy_no_administrative_privileges",
            "iam_customer_unattached_policy_no_administrative_privileges",
            "iam_inline_policy_no_administrative_privileges",
        ),
    ),
    "iam-disallow-broad-managed-policies": Twins(
        ("IAM.1",),
        (
            "iam_aws_attached_policy_no_administrative_privileges",
            "iam_role_administratoraccess_policy",
            "iam_user_administrator_access_policy",
            "iam_group_administrator_access_policy",
            "iam_policy_cloudshell_admin_not_attached",
            "bedrock_full_access_policy_attached",
        ),
    ),
    "iam-disallow-static-credentials": Twins((), ("iam_user_with_temporary_credentials",)),
    "iam-role-trust-disallow-everybody": Twins((), ()),
    "iam-role-trust-disallow-whole-account": Twins((), ()),
    "iam-role-trust-require-bound-oidc-subject": Twins((), ()),
    "iam-policy-disallow-privilege-escalation": Twins(
        (),
        (
            "iam_policy_allows_privilege_escalation",
            "iam_inline_policy_allows_privilege_escalation",
            "iam_policy_passrole_to_bedrock_agentcore_restricted",
        ),
    ),
    "iam-policy-disallow-unbounded-credentials": Twins((), ("iam_no_custom_policy_permissive_role_assumption",)),
    "iam-policy-disallow-unbounded-data-reads": Twins(("KMS.1", "KMS.2"), ()),
    "iam-policy-disallow-unbounded-permissions-management": Twins((), ()),
    "iam-policy-disallow-unbounded-writes": Twins((), ()),
    "lambda-function-disallow-secrets-in-environment": Twins((), ("awslambda_function_no_secrets_in_variables",)),
    "lambda-function-require-vpc": Twins(("Lambda.3",), ("awslambda_function_inside_vpc",)),
    "lambda-function-require-customer-key": Twins((), ("awslambda_function_env_vars_not_encrypted_with_cmk",)),
    "lambda-function-require-code-signing": Twins((), ()),
    "lambda-function-require-supported-runtime": Twins(("Lambda.2",), ("awslambda_function_using_supported_runtimes",)),
    "sns-topic-require-customer-key": Twins(("SNS.1",), ("sns_topics_kms_encryption_at_rest_enabled",)),
    "sns-topic-policy-disallow-public": Twins(("SNS.4",), ("sns_topics_not_publicly_accessible",)),
    "sns-topic-policy-disallow-other-accounts": Twins((), ()),
    "sns-topic-require-policy": Twins((), ()),
    "sns-topic-policy-require-tls": Twins((), ()),
    "sqs-queue-require-customer-key": Twins(("SQS.1",), ("sqs_queues_server_side_encryption_enabled",)),
    "sqs-queue-require-policy": Twins((), ()),
    "sqs-queue-policy-require-tls": Twins((), ()),
    "sqs-queue-policy-disallow-public": Twins((), ("sqs_queues_not_publicly_accessible",)),
    "sqs-queue-policy-disallow-all-actions": Twins((), ()),
    "ecr-repository-require-immutable-tags": Twins(("ECR.2",), ("ecr_repositories_tag_immutability",)),
    "ecr-repository-require-scan-on-push": Twins(("ECR.1",), ("ecr_repositories_scan_images_on_push_enabled",)),
    "ecr-repository-require-customer-key": Twins((), ()),
    "ecr-repository-disallow-public": Twins((), ("ecr_repositories_not_publicly_accessible",)),
    "bedrock-invoke-require-named-model": Twins((), ()),
    "bedrock-invoke-require-allowed-model": Twins((), ()),
    "bedrock-require-allowed-geography": Twins((), ()),
    "stack-require-allowed-regions": Twins((), ()),
    "bedrock-invoke-require-guardrail": Twins((), ()),
    "bedrock-disallow-api-keys-and-mantle": Twins(
        (), ("bedrock_api_key_no_long_term_credentials", "bedrock_api_key_no_administrative_privileges")
    ),
    "bedrock-invoke-require-gateway-role": Twins((), ("bedrock_full_access_policy_attached",)),
    "bedrock-invoke-require-own-network": Twins((), ()),
    "iam-role-trust-require-one-service-account": Twins((), ()),
    "eks-node-role-disallow-model-access": Twins((), ()),
    "bedrock-guardrail-require-strength": Twins(
        (),
        (
            "bedrock_guardrail_prompt_attack_filter_enabled",
            "bedrock_guardrail_sensitive_information_filter_enabled",
            "bedrock_guardrail_sensitive_information_filter_enforced",
            "bedrock_guardrail_contextual_grounding_filter_enabled",
        ),
    ),
    "bedrock-guardrail-require-numbered-version": Twins((), ()),
    "bedrock-require-invocation-logging": Twins(
        (),
        (
            "bedrock_model_invocation_logging_enabled",
            "bedrock_model_invocation_logging_text_data_enabled",
            "bedrock_model_invocation_logs_encryption_enabled",
        ),
    ),
    "bedrock-agent-require-guardrail": Twins((), ("bedrock_agent_guardrail_enabled",)),
    "agentcore-require-vpc": Twins(("BedrockAgentCore.1", "BedrockAgentCore.5", "BedrockAgentCore.7"), ()),
    "agentcore-gateway-require-authorizer": Twins(("BedrockAgentCore.2",), ()),
    "agentcore-gateway-require-enforced-policy": Twins((), ()),
    "agentcore-gateway-disallow-debug": Twins((), ()),
    "agentcore-browser-require-recording": Twins(("BedrockAgentCore.6",), ()),
    "agentcore-runtime-require-pinned-code": Twins((), ()),
    "agentcore-require-role-of-its-own": Twins((), ("bedrock_agent_role_not_shared_across_agents",)),
    "bedrock-artifact-require-customer-key": Twins(
        ("Bedrock.1",),
        (
            "bedrock_custom_model_encrypted_with_cmk",
            "bedrock_knowledge_base_encrypted_with_cmk",
            "bedrock_prompt_encrypted_with_cmk",
        ),
    ),
    "agentcore-artifact-require-customer-key": Twins(("BedrockAgentCore.3", "BedrockAgentCore.4"), ()),
    "sagemaker-artifact-require-customer-key": Twins(
        ("SageMaker.17", "SageMaker.18", "SageMaker.21"),
        (
            "sagemaker_notebook_instance_encryption_enabled",
            "sagemaker_training_jobs_volume_and_output_encryption_enabled",
        ),
    ),
    "vpc-endpoint-require-scoped-model-policy": Twins((), ("vpc_endpoint_connections_trust_boundaries",)),
    "vpc-require-private-model-endpoints": Twins((), ("bedrock_vpc_endpoints_configured",)),
    "stack-disallow-opaque-resources": Twins((), ()),
    "vpc-disallow-internet-beside-models": Twins(
        ("NetworkFirewall.3", "NetworkFirewall.4", "NetworkFirewall.5"),
        (
            "networkfirewall_in_all_vpc",
            "networkfirewall_policy_default_action_fragmented_packets",
            "networkfirewall_policy_default_action_full_packets",
            "networkfirewall_policy_rule_group_associated",
        ),
    ),
    "dns-firewall-require-block-and-fail-closed": Twins((), ()),
    "kubernetes-model-disallow-internet": Twins((), ()),
    "kubernetes-model-require-named-callers": Twins((), ()),
    "kubernetes-model-require-device-quota": Twins((), ()),
    "kubernetes-model-require-image-from-own-registry": Twins((), ("core_image_tag_fixed",)),
    "kubernetes-vllm-require-pinned-model": Twins((), ()),
    "kubernetes-vllm-require-safe-loader": Twins((), ()),
    "kubernetes-vllm-require-bounds": Twins((), ()),
    "ec2-accelerator-disallow-public-subnet": Twins(
        ("EC2.9", "EC2.25"), ("ec2_instance_public_ip", "ec2_launch_template_no_public_ip")
    ),
    "sagemaker-model-require-network-isolation": Twins(
        ("SageMaker.5",), ("sagemaker_models_network_isolation_enabled",)
    ),
    "sagemaker-model-require-vpc": Twins((), ("sagemaker_models_vpc_settings_configured",)),
    "sagemaker-model-require-image-digest": Twins((), ()),
    "sagemaker-model-require-private-registry": Twins(("SageMaker.16", "SageMaker.19"), ()),
    "sagemaker-endpoint-config-require-own-key": Twins((), ("sagemaker_endpoint_config_kms_encryption_enabled",)),
    "sagemaker-endpoint-config-require-encrypted-capture": Twins((), ()),
    "sagemaker-job-require-encrypted-traffic": Twins(
        ("SageMaker.9", "SageMaker.22"), ("sagemaker_training_jobs_intercontainer_encryption_enabled",)
    ),
    "sagemaker-job-require-network-isolation": Twins(
        ("SageMaker.11", "SageMaker.14"), ("sagemaker_training_jobs_network_isolation_enabled",)
    ),
    "sagemaker-notebook-disallow-direct-internet": Twins(
        ("SageMaker.1",), ("sagemaker_notebook_instance_without_direct_internet_access_configured",)
    ),
    "sagemaker-notebook-require-vpc": Twins(("SageMaker.2",), ("sagemaker_notebook_instance_vpc_settings_configured",)),
    "sagemaker-notebook-disallow-root": Twins(("SageMaker.3",), ("sagemaker_notebook_instance_root_access_disabled",)),
    "sagemaker-notebook-require-imdsv2": Twins((), ()),
    "sagemaker-notebook-require-narrow-role": Twins((), ()),
    "s3-log-archive-require-object-lock": Twins(
        ("S3.14", "S3.15"), ("s3_bucket_object_lock", "s3_bucket_object_versioning")
    ),
    "bedrock-log-require-end": Twins(
        ("S3.13",), ("s3_bucket_lifecycle_enabled", "cloudwatch_log_group_retention_policy_specific_days_enabled")
    ),
    "bedrock-log-bucket-require-access-log": Twins(("S3.9",), ("s3_bucket_server_access_logging_enabled",)),
    "bedrock-caller-disallow-logs": Twins((), ()),
    "stack-disallow-production-data": Twins((), ()),
    "kms-key-require-single-tenant": Twins((), ()),
    "bedrock-data-source-disallow-public-connector": Twins((), ()),
    "bedrock-data-source-require-versioned-bucket": Twins(("S3.14",), ("s3_bucket_object_versioning",)),
    "bedrock-data-source-require-single-writer": Twins((), ()),
    "llm-endpoint-require-rate-limit": Twins((), ()),
    "llm-accelerated-instances-require-cap": Twins((), ()),
    "opensearch-serverless-policy-disallow-public": Twins((), ()),
    "opensearch-serverless-policy-require-customer-key": Twins((), ()),
    "vector-store-require-retrieval-tier": Twins((), ()),
}


def twins_of(rule: str) -> Twins:
    """Those of a rule of the packs; a rule that no pack holds has none."""
    return TWINS.get(rule, NONE)
