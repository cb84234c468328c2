"""Our own programs obey both packs in every environment, and every rule has something to judge in each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from policy_packs.resource import Resource
from policy_packs.rule import Rule
from policy_packs.view import View
from stacks.local import engine
from stacks.local.policy_runs import (
    REPOSITORY,
    RULES,
    Judge,
    Mode,
    Run,
    Target,
    applied_rules,
    judged_resource,
    own_targets,
)
from tests.contracts.programs import AROUND, INSIDE, PROGRAMS, captured

# pulumi_aws warns about names of its own while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning")

EVERY_PROGRAM = {**PROGRAMS, **AROUND, **INSIDE}
# The runs of one environment are made once: one worker keeps them.
ENVIRONMENTS = [
    pytest.param(stack, marks=pytest.mark.xdist_group(f"policy-runs-{stack}"))
    for stack in sorted({target.stack for target in own_targets()})
]


@functools.cache
def runs(environment: str) -> tuple[Run, ...]:
    """Every program of one environment, in both modes, judged by the packs' own servicers."""
    judge = Judge(over_grpc=False)
    return tuple(run for target in own_targets(environment) for run in judge.judge(target))


OTHER_SERVICES = Target(REPOSITORY / "tests" / "policy_packs" / "other_services", "review")


@functools.cache
def runs_of_other_services() -> tuple[Run, ...]:
    """A program with the services that none of ours deploys, written to obey."""
    return tuple(Judge(over_grpc=False).judge(OTHER_SERVICES))


def test_a_program_with_services_we_do_not_deploy_obeys_too() -> None:
    assert [run.error for run in runs_of_other_services()] == ["", ""]
    assert [(run.mode, fault) for run in runs_of_other_services() for fault in run.violations] == []
    assert [run for run in runs_of_other_services() if run.is_unjudged] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_program_violates_a_rule(environment: str) -> None:
    found = [(run.target.label, run.mode, fault) for run in runs(environment) for fault in run.violations]
    assert found == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_rule_is_judged_once_everything_is_known(environment: str) -> None:
    """What waits in a preview is decided before `up` creates anything."""
    unjudged = [(run.target.label, run.mode, run.error, run.waiting) for run in runs(environment) if run.is_unjudged]
    assert unjudged == []
    assert {run.mode for run in runs(environment)} == set(Mode)


@functools.cache
def applied(environment: str) -> frozenset[str]:
    """The rules with a subject in an environment: asked of its graphs alone, without serving the packs."""
    found = (applied_rules(graph_of(target), target.settings) for target in own_targets(environment))
    return frozenset().union(*found)


def graph_of(target: Target) -> tuple[engine.Resource, ...]:
    [program] = [name for name, folder in EVERY_PROGRAM.items() if folder.resolve() == target.program]
    return captured(program, target.stack).resources


def applied_to_other_services() -> frozenset[str]:
    return frozenset().union(*(run.applied for run in runs_of_other_services() if run.mode is Mode.KNOWN))


def test_production_gives_every_rule_a_subject_but_those_of_others() -> None:
    """Its trail is the organization's, and it may hold its own data; services that we do not deploy are apart."""
    without_subject = set(RULES) - applied("prod") - applied_to_other_services()

    assert {rule for rule in without_subject if not rule.startswith("cloudtrail-")} == {
        "stack-disallow-production-data"
    }
    assert "stack-disallow-production-data" in applied("staging")


def test_every_rule_finds_its_subject_somewhere() -> None:
    """In a program of ours, or, for services that none of them deploys, in the one written for it."""
    environments = {target.stack for target in own_targets()}
    assert applied_to_other_services().union(*map(applied, environments)) == set(RULES)


# --- the same graph with one mistake: the law must bite our own resources, not only its examples ----

Change = Callable[[tuple[Resource, ...]], Iterable[Resource]]


def without(*types: str) -> Change:
    return lambda graph: (one for one in graph if one.type not in types)


def with_property(resource_type: str, path: str, value: object) -> Change:
    """Every resource of a type with one property changed; None takes it away."""

    def changed(one: Resource) -> Resource:
        return replace(one, props=View(_set(one.props.value, path.split("."), value)))

    return lambda graph: (changed(one) if one.type == resource_type else one for one in graph)


def _set(content: Any, path: list[str], value: object) -> Any:
    name, *rest = path
    return {**content, name: _set(content.get(name) or {}, rest, value) if rest else value}


def with_resource(resource_type: str, **props: object) -> Change:
    return lambda graph: (*graph, Resource.example(resource_type, props, "planted"))


def in_documents(resource_type: str, key: str, old: str, new: str) -> Change:
    """The same text edit in one document of every resource of a type."""

    def changed(one: Resource) -> Resource:
        return replace(one, props=View(_set(one.props.value, [key], one.at(key).text.replace(old, new))))

    return lambda graph: (changed(one) if one.type == resource_type else one for one in graph)


NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
DEPLOYMENT, RBAC = "kubernetes:apps/v1:Deployment", "kubernetes:rbac.authorization.k8s.io/v1:"


def with_container(**container: object) -> Change:
    """Every deployment of the cluster with this one container."""
    return with_property(DEPLOYMENT, "spec.template.spec.containers", [{"name": "main", **container}])


def with_rights(verb: str, resource: str) -> Change:
    """Every role of the whole cluster with this one right."""
    return with_property(
        f"{RBAC}ClusterRole", "rules", [{"apiGroups": ["*"], "resources": [resource], "verbs": [verb]}]
    )


AOSS_POLICY = "aws:opensearch/serverlessSecurityPolicy:ServerlessSecurityPolicy"
S3, EC2, ECR, BEDROCK = "aws:s3/", "aws:ec2/", "aws:ecr/", "aws:bedrock/"
FOR_EVERYBODY = '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}'
MISTAKES: dict[str, tuple[str, Change]] = {
    "a gateway by another name": (
        "bedrock-invoke-require-gateway-role",
        with_property("aws:iam/role:Role", "name", "llm-pipelines-prod-worker"),
    ),
    "models called from anywhere": (
        "bedrock-invoke-require-own-network",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "aws:SourceVpce", "aws:SourceIp"),
    ),
    "roles for a whole namespace": (
        "iam-role-trust-require-one-service-account",
        in_documents("aws:iam/role:Role", "assumeRolePolicy", "aws:RequestTag/kubernetes-service-account", "aws:x"),
    ),
    "nodes that read weights": (
        "eks-node-role-disallow-model-access",
        with_property(
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            "policyArn",
            "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
        ),
    ),
    "a bucket without public access block": (
        "s3-bucket-require-public-access-block",
        without(f"{S3}bucketPublicAccessBlock:BucketPublicAccessBlock"),
    ),
    "public access blocks with one gap": (
        "s3-bucket-require-public-access-block",
        with_property(f"{S3}bucketPublicAccessBlock:BucketPublicAccessBlock", "ignorePublicAcls", False),
    ),
    "buckets without a policy": ("s3-bucket-require-policy", without(f"{S3}bucketPolicy:BucketPolicy")),
    "plain HTTP allowed": (
        "s3-bucket-policy-require-tls",
        in_documents(f"{S3}bucketPolicy:BucketPolicy", "policy", "aws:SecureTransport", "aws:ViaAWSService"),
    ),
    "buckets for everybody": (
        "s3-bucket-policy-disallow-public",
        with_property(f"{S3}bucketPolicy:BucketPolicy", "policy", FOR_EVERYBODY),
    ),
    "buckets nobody could repair": (
        "s3-bucket-policy-disallow-lockout",
        with_property(f"{S3}bucketPolicy:BucketPolicy", "policy", FOR_EVERYBODY.replace("Allow", "Deny")),
    ),
    "a list that opens a bucket": (
        "s3-bucket-disallow-public-acl",
        with_resource(f"{S3}bucketAcl:BucketAcl", acl="public-read"),
    ),
    "buckets with lists": (
        "s3-bucket-require-acls-off",
        with_property(f"{S3}bucketOwnershipControls:BucketOwnershipControls", "rule.objectOwnership", "ObjectWriter"),
    ),
    "buckets under S3's key": (
        "s3-bucket-require-customer-key",
        without(f"{S3}bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"),
    ),
    "buckets that forget": (
        "s3-bucket-require-versioning",
        with_property(f"{S3}bucketVersioning:BucketVersioning", "versioningConfiguration.status", "Suspended"),
    ),
    "uploads that stay": (
        "s3-lifecycle-require-abort-of-uploads",
        with_property(f"{S3}bucketLifecycleConfiguration:BucketLifecycleConfiguration", "rules", []),
    ),
    "keys that are off": ("kms-key-disallow-disabled", with_property("aws:kms/key:Key", "isEnabled", False)),
    "keys under AWS's policy": ("kms-key-require-own-policy", with_property("aws:kms/key:Key", "policy", None)),
    "keys for everybody": (
        "kms-key-policy-disallow-public",
        with_property("aws:kms/key:Key", "policy", FOR_EVERYBODY),
    ),
    "keys that stay": ("kms-key-require-rotation", with_property("aws:kms/key:Key", "enableKeyRotation", False)),
    "a database with passwords": (
        "rds-database-require-iam-authentication",
        with_property("aws:rds/cluster:Cluster", "iamDatabaseAuthenticationEnabled", None),
    ),
    "a database under AWS's key": (
        "rds-database-require-customer-key",
        with_property("aws:rds/cluster:Cluster", "kmsKeyId", None),
    ),
    "a database with a public address": (
        "rds-database-disallow-public-address",
        with_property("aws:rds/clusterInstance:ClusterInstance", "publiclyAccessible", True),
    ),
    "a database without backups": (
        "rds-database-require-backups",
        with_property("aws:rds/cluster:Cluster", "backupRetentionPeriod", 0),
    ),
    "a database that one call deletes": (
        "rds-database-require-deletion-protection",
        with_property("aws:rds/cluster:Cluster", "deletionProtection", None),
    ),
    "a database without fixes": (
        "rds-instance-require-minor-upgrades",
        with_property("aws:rds/clusterInstance:ClusterInstance", "autoMinorVersionUpgrade", False),
    ),
    "snapshots nobody owns": (
        "rds-database-require-tags-on-snapshots",
        with_property("aws:rds/cluster:Cluster", "copyTagsToSnapshot", None),
    ),
    "a database whose logs stay with it": (
        "rds-database-require-log-exports",
        with_property("aws:rds/cluster:Cluster", "enabledCloudwatchLogsExports", []),
    ),
    "a database nobody watches": (
        "rds-instance-require-performance-insights",
        with_property("aws:rds/clusterInstance:ClusterInstance", "performanceInsightsEnabled", None),
    ),
    "statements under AWS's key": (
        "rds-performance-insights-require-customer-key",
        with_property("aws:rds/clusterInstance:ClusterInstance", "performanceInsightsKmsKeyId", None),
    ),
    "a schema that changes unseen": (
        "rds-postgresql-require-statement-log",
        with_property("aws:rds/clusterParameterGroup:ClusterParameterGroup", "parameters", []),
    ),
    "TLS 1.2": (
        "lb-listener-require-tls13",
        with_property("aws:lb/listener:Listener", "sslPolicy", "ELBSecurityPolicy-TLS13-1-2-2021-06"),
    ),
    "a load balancer without log": (
        "lb-load-balancer-require-access-logs",
        with_property("aws:lb/loadBalancer:LoadBalancer", "accessLogs.enabled", False),
    ),
    "headers that are none": (
        "lb-load-balancer-disallow-invalid-headers",
        with_property("aws:lb/loadBalancer:LoadBalancer", "dropInvalidHeaderFields", None),
    ),
    "ambiguous requests": (
        "lb-load-balancer-require-desync-mitigation",
        with_property("aws:lb/loadBalancer:LoadBalancer", "desyncMitigationMode", "monitor"),
    ),
    "a load balancer that one call deletes": (
        "lb-load-balancer-require-deletion-protection",
        with_property("aws:lb/loadBalancer:LoadBalancer", "enableDeletionProtection", None),
    ),
    "plain HTTP behind the load balancer": (
        "lb-target-group-disallow-plain-http",
        with_property("aws:lb/targetGroup:TargetGroup", "protocol", "HTTP"),
    ),
    "targets asked at the root": (
        "lb-target-group-require-health-check",
        with_property("aws:lb/targetGroup:TargetGroup", "healthCheck", None),
    ),
    "a public load balancer before nothing": (
        "waf-require-web-acl-before-public-endpoints",
        with_property("aws:lb/loadBalancer:LoadBalancer", "internal", False),
    ),
    "a public way to models without a limit": (
        "llm-endpoint-require-rate-limit",
        with_property("aws:lb/loadBalancer:LoadBalancer", "internal", False),
    ),
    "any number of accelerators": (
        "llm-accelerated-instances-require-cap",
        with_property("aws:eks/nodeGroup:NodeGroup", "scalingConfig.maxSize", 100),
    ),
    "an open port": (
        "ec2-security-group-disallow-open-cidr",
        with_resource("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", cidrIpv4="0.0.0.0/0"),
    ),
    "a group that nobody describes": (
        "ec2-security-group-require-description",
        with_property(f"{EC2}securityGroup:SecurityGroup", "description", "Managed by Pulumi"),
    ),
    "HTTPS to everywhere without a firewall": (
        "ec2-security-group-https-require-inspected-way-out",
        with_resource(
            "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
            cidrIpv4="0.0.0.0/0",
            ipProtocol="tcp",
            fromPort=443,
            toPort=443,
        ),
    ),
    "flows that nobody records": ("vpc-require-flow-log", without(f"{EC2}flowLog:FlowLog")),
    "a default group left open": (
        "vpc-require-closed-default-security-group",
        without(f"{EC2}defaultSecurityGroup:DefaultSecurityGroup"),
    ),
    "subnets with public addresses": (
        "ec2-subnet-disallow-public-ip",
        with_property(f"{EC2}subnet:Subnet", "mapPublicIpOnLaunch", True),
    ),
    "SSH for the world": (
        "ec2-network-acl-disallow-open-admin-ports",
        with_property(
            f"{EC2}networkAcl:NetworkAcl",
            "ingress",
            [{"action": "allow", "protocol": "tcp", "cidrBlock": "0.0.0.0/0", "fromPort": 22, "toPort": 22}],
        ),
    ),
    "every port for the world": (
        "ec2-network-acl-disallow-every-port",
        with_property(
            f"{EC2}networkAcl:NetworkAcl",
            "ingress",
            [{"action": "allow", "protocol": "-1", "cidrBlock": "0.0.0.0/0", "fromPort": 0, "toPort": 0}],
        ),
    ),
    "an instance for a gateway": (
        "ec2-route-disallow-nat-instance",
        with_resource(f"{EC2}route:Route", destinationCidrBlock="0.0.0.0/0", networkInterfaceId="eni-1"),
    ),
    "everything over peering": (
        "ec2-route-disallow-everything-over-peering",
        with_resource(f"{EC2}route:Route", destinationCidrBlock="0.0.0.0/0", vpcPeeringConnectionId="pcx-1"),
    ),
    "nodes with public addresses": (
        "ec2-instance-disallow-public-ip",
        with_property(
            f"{EC2}launchTemplate:LaunchTemplate", "networkInterfaces", [{"associatePublicIpAddress": "true"}]
        ),
    ),
    "a token in the user data": (
        "ec2-instance-disallow-secrets-in-user-data",
        with_property(f"{EC2}launchTemplate:LaunchTemplate", "userData", f"TOKEN={'x' * 20}"),
    ),
    "logs kept for ever": (
        "cloudwatch-log-group-require-key-and-retention",
        with_property("aws:cloudwatch/logGroup:LogGroup", "retentionInDays", 0),
    ),
    "a writable container": (
        "ecs-task-definition-require-hardened-containers",
        in_documents(
            "aws:ecs/taskDefinition:TaskDefinition", "containerDefinitions", "readonlyRootFilesystem", "readonly"
        ),
    ),
    "an administrator": (
        "iam-policy-disallow-service-wide-allow",
        with_resource(
            "aws:iam/rolePolicy:RolePolicy",
            policy='{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
        ),
    ),
    "an administrator by AWS's own policy": (
        "iam-disallow-broad-managed-policies",
        with_resource(
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment", policyArn="arn:aws:iam::aws:policy/AdministratorAccess"
        ),
    ),
    "a user": ("iam-disallow-static-credentials", with_resource("aws:iam/user:User")),
    "every action on one thing": (
        "iam-policy-disallow-every-action",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", '"s3:GetObject"', '"*"'),
    ),
    "roles for everybody": (
        "iam-role-trust-disallow-everybody",
        in_documents(
            "aws:iam/role:Role", "assumeRolePolicy", '"Principal":{"Service":"ec2.amazonaws.com"}', '"Principal":"*"'
        ),
    ),
    "roles for an account": (
        "iam-role-trust-disallow-whole-account",
        in_documents("aws:iam/role:Role", "assumeRolePolicy", '"Service":"ec2.amazonaws.com"', '"AWS":"444455556666"'),
    ),
    "roles for every repository": (
        "iam-role-trust-require-bound-oidc-subject",
        in_documents(
            "aws:iam/role:Role",
            "assumeRolePolicy",
            '"Service":"ec2.amazonaws.com"',
            '"Federated":"arn:aws:iam::333344445555:oidc-provider/token.actions.githubusercontent.com"',
        ),
    ),
    "somebody who makes himself an administrator": (
        "iam-policy-disallow-privilege-escalation",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "ecr:GetAuthorizationToken", "iam:PutUserPolicy"),
    ),
    "every role": (
        "iam-policy-disallow-unbounded-credentials",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "ecr:GetAuthorizationToken", "sts:AssumeRole"),
    ),
    "every object": (
        "iam-policy-disallow-unbounded-data-reads",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "ecr:GetAuthorizationToken", "s3:GetObject"),
    ),
    "every key's policy": (
        "iam-policy-disallow-unbounded-permissions-management",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "ecr:GetAuthorizationToken", "kms:PutKeyPolicy"),
    ),
    "networks that anybody deletes": (
        "iam-policy-disallow-unbounded-writes",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "ec2:DescribeVpcs", "ec2:DeleteVpc"),
    ),
    "topics without a key": (
        "sns-topic-require-customer-key",
        with_property("aws:sns/topic:Topic", "kmsMasterKeyId", None),
    ),
    "topics for everybody": (
        "sns-topic-policy-disallow-public",
        with_property("aws:sns/topicPolicy:TopicPolicy", "policy", FOR_EVERYBODY),
    ),
    "a topic for another account": (
        "sns-topic-policy-disallow-other-accounts",
        with_property(
            "aws:sns/topicPolicy:TopicPolicy", "policy", FOR_EVERYBODY.replace('"*"', '{"AWS": "444455556666"}', 1)
        ),
    ),
    "topics without a policy": ("sns-topic-require-policy", without("aws:sns/topicPolicy:TopicPolicy")),
    "topics without TLS": (
        "sns-topic-policy-require-tls",
        in_documents("aws:sns/topicPolicy:TopicPolicy", "policy", "aws:SecureTransport", "aws:ViaAWSService"),
    ),
    "queues without a policy": ("sqs-queue-require-policy", without("aws:sqs/queuePolicy:QueuePolicy")),
    "queues under AWS's key": (
        "sqs-queue-require-customer-key",
        with_property("aws:sqs/queue:Queue", "kmsMasterKeyId", "alias/aws/sqs"),
    ),
    "queues without TLS": (
        "sqs-queue-policy-require-tls",
        in_documents("aws:sqs/queuePolicy:QueuePolicy", "policy", "aws:SecureTransport", "aws:ViaAWSService"),
    ),
    "queues for everybody": (
        "sqs-queue-policy-disallow-public",
        with_property("aws:sqs/queuePolicy:QueuePolicy", "policy", FOR_EVERYBODY),
    ),
    "queues for everything": (
        "sqs-queue-policy-disallow-all-actions",
        with_property("aws:sqs/queuePolicy:QueuePolicy", "policy", FOR_EVERYBODY),
    ),
    "tags that move": ("ecr-repository-require-immutable-tags", with_resource(f"{ECR}repository:Repository")),
    "images nobody scans": ("ecr-repository-require-scan-on-push", with_resource(f"{ECR}repository:Repository")),
    "images under AWS's key": (
        "ecr-repository-require-customer-key",
        with_resource(f"{ECR}repository:Repository", encryptionConfigurations=[{"encryptionType": "KMS"}]),
    ),
    "images for everybody": (
        "ecr-repository-disallow-public",
        with_resource(f"{ECR}repositoryPolicy:RepositoryPolicy", policy=FOR_EVERYBODY),
    ),
    "tasks among the processes of their host": (
        "ecs-task-definition-disallow-host-namespaces",
        with_property("aws:ecs/taskDefinition:TaskDefinition", "pidMode", "host"),
    ),
    "a task with the role that starts it": (
        "ecs-task-definition-require-separate-roles",
        with_resource("aws:ecs/taskDefinition:TaskDefinition", executionRoleArn="arn:role", taskRoleArn="arn:role"),
    ),
    "files that travel in clear": (
        "ecs-task-definition-require-encrypted-efs-mounts",
        with_property(
            "aws:ecs/taskDefinition:TaskDefinition", "volumes", [{"efsVolumeConfiguration": {"fileSystemId": "fs-0a1"}}]
        ),
    ),
    "tasks with a public address": (
        "ecs-service-disallow-public-address",
        with_property("aws:ecs/service:Service", "networkConfiguration.assignPublicIp", True),
    ),
    "an old platform": (
        "ecs-service-require-current-platform",
        with_property("aws:ecs/service:Service", "platformVersion", "1.3.0"),
    ),
    "containers nobody watches": (
        "ecs-cluster-require-container-insights",
        with_property("aws:ecs/cluster:Cluster", "settings", []),
    ),
    "sessions without a trace": (
        "ecs-cluster-require-session-log",
        with_property("aws:ecs/cluster:Cluster", "configuration.executeCommandConfiguration.logging", "NONE"),
    ),
    "sessions under AWS's key": (
        "ecs-cluster-require-encrypted-sessions",
        with_property("aws:ecs/cluster:Cluster", "configuration.executeCommandConfiguration.logging", "DEFAULT"),
    ),
    "one cache and no other": (
        "elasticache-replication-group-require-failover",
        with_resource("aws:elasticache/replicationGroup:ReplicationGroup"),
    ),
    "a search domain under no key": (
        "opensearch-domain-require-customer-key",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a search domain that talks in clear": (
        "opensearch-domain-require-node-to-node-encryption",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a search domain without HTTPS": (
        "opensearch-domain-require-https",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a search domain by TLS 1.0": (
        "opensearch-domain-require-tls12",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a search domain on the internet": (
        "opensearch-domain-require-vpc",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a search domain without a trace": (
        "opensearch-domain-require-audit-log",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a search domain for whoever comes": (
        "opensearch-domain-require-fine-grained-access",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a search domain in one zone": (
        "opensearch-domain-require-dedicated-masters",
        with_resource("aws:opensearch/domain:Domain"),
    ),
    "a collection for everybody": (
        "opensearch-serverless-policy-disallow-public",
        with_resource(
            "aws:opensearch/serverlessSecurityPolicy:ServerlessSecurityPolicy",
            type="network",
            policy='[{"AllowFromPublic": true}]',
        ),
    ),
    "a collection under AWS's key": (
        "opensearch-serverless-policy-require-customer-key",
        with_resource(
            "aws:opensearch/serverlessSecurityPolicy:ServerlessSecurityPolicy",
            type="encryption",
            policy='{"AWSOwnedKey": true}',
        ),
    ),
    "a model that reads the store": (
        "vector-store-require-retrieval-tier",
        with_property("aws:ec2/securityGroup:SecurityGroup", "tags", {"tier": "model"}),
    ),
    "a database that speaks in clear": (
        "rds-parameter-group-require-tls",
        with_property(
            "aws:rds/clusterParameterGroup:ClusterParameterGroup",
            "parameters",
            [{"name": "rds.force_ssl", "value": "0"}],
        ),
    ),
    "a snapshot for everybody": (
        "rds-snapshot-disallow-public",
        with_resource("aws:rds/snapshot:Snapshot", sharedAccounts=["all"]),
    ),
    "a cache under AWS's key": (
        "elasticache-cache-require-encryption",
        with_property("aws:elasticache/serverlessCache:ServerlessCache", "kmsKeyId", None),
    ),
    "a cache user with a password": (
        "elasticache-user-require-iam",
        with_property("aws:elasticache/user:User", "authenticationMode.type", "password"),
    ),
    "a public cluster": (
        "eks-cluster-require-private-endpoint",
        with_property("aws:eks/cluster:Cluster", "vpcConfig.endpointPublicAccess", None),
    ),
    "a cluster without audit log": (
        "eks-cluster-require-control-plane-logs",
        with_property("aws:eks/cluster:Cluster", "enabledClusterLogTypes", ["api"]),
    ),
    "secrets under AWS's key": (
        "eks-cluster-require-own-key-for-secrets",
        with_property("aws:eks/cluster:Cluster", "encryptionConfig", None),
    ),
    "a cluster its creator administers": (
        "eks-cluster-require-api-authentication",
        with_property("aws:eks/cluster:Cluster", "accessConfig.bootstrapClusterCreatorAdminPermissions", None),
    ),
    "a cluster nobody patches": (
        "eks-cluster-require-supported-version",
        with_property("aws:eks/cluster:Cluster", "version", "1.9"),
    ),
    "nodes with SSH for the world": (
        "eks-node-group-disallow-open-ssh",
        with_property("aws:eks/nodeGroup:NodeGroup", "remoteAccess", {"ec2SshKey": "operators"}),
    ),
    "a privileged container": (
        "kubernetes-container-disallow-privileged",
        with_container(securityContext={"privileged": True}),
    ),
    "a container that gains privileges": ("kubernetes-container-disallow-privilege-escalation", with_container()),
    "a container with capabilities": ("kubernetes-container-disallow-capabilities", with_container()),
    "a container that changes its programs": ("kubernetes-container-require-read-only-root", with_container()),
    "root, out of step with its pod": (
        "kubernetes-container-disallow-root-user",
        with_container(securityContext={"runAsNonRoot": False, "runAsUser": 0}),
    ),
    "a user that nodes know": (
        "kubernetes-container-require-high-user-id",
        with_container(securityContext={"runAsUser": 1000}),
    ),
    "every system call": (
        "kubernetes-container-require-seccomp",
        with_container(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    ),
    "a port of the node": (
        "kubernetes-container-disallow-host-port",
        with_container(ports=[{"containerPort": 8080, "hostPort": 8080}]),
    ),
    "an image by tag": (
        "kubernetes-container-require-image-digest",
        with_container(image="registry.example/server:latest"),
    ),
    "a container without bounds": ("kubernetes-container-require-resources", with_container()),
    "a container that nobody asks": (
        "kubernetes-container-require-probes",
        with_container(ports=[{"containerPort": 8080}]),
    ),
    "a token in a variable": (
        "kubernetes-container-disallow-secrets-in-variables",
        with_container(env=[{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}]),
    ),
    "pods in the network of their node": (
        "kubernetes-pod-disallow-host-namespaces",
        with_property(DEPLOYMENT, "spec.template.spec.hostNetwork", True),
    ),
    "pods with the runtime's socket": (
        "kubernetes-pod-disallow-runtime-socket",
        with_property(DEPLOYMENT, "spec.template.spec.volumes", [{"hostPath": {"path": "/run/containerd"}}]),
    ),
    "pods with a token": (
        "kubernetes-pod-disallow-unneeded-token",
        with_property(DEPLOYMENT, "spec.template.spec.automountServiceAccountToken", None),
    ),
    "a deployment anywhere": (
        "kubernetes-disallow-default-namespace",
        with_property(DEPLOYMENT, "metadata.namespace", None),
    ),
    "a role for everything": ("kubernetes-role-disallow-wildcards", with_rights("*", "*")),
    "a role that binds": ("kubernetes-role-disallow-escalation", with_rights("bind", "clusterroles")),
    "a role over admission": (
        "kubernetes-role-disallow-admission-control",
        with_rights("patch", "validatingwebhookconfigurations"),
    ),
    "a role that signs": (
        "kubernetes-role-disallow-certificate-approval",
        with_rights("update", "certificatesigningrequests/approval"),
    ),
    "a role that runs commands": ("kubernetes-role-disallow-exec", with_rights("create", "pods/exec")),
    "a role that draws traffic": (
        "kubernetes-role-disallow-service-status",
        with_rights("patch", "services/status"),
    ),
    "a role that reads secrets": ("kubernetes-role-disallow-reading-all-secrets", with_rights("list", "secrets")),
    "a right for whoever names no account": (
        "kubernetes-disallow-default-service-account",
        with_property(f"{RBAC}RoleBinding", "subjects", [{"kind": "ServiceAccount", "name": "default"}]),
    ),
    "an administrator of the cluster": (
        "kubernetes-binding-disallow-built-in-administrators",
        with_property(f"{RBAC}ClusterRoleBinding", "roleRef.name", "cluster-admin"),
    ),
    "pods without walls": ("kubernetes-pod-require-network-policy", without(NETWORK_POLICY)),
    "metadata two hops away": (
        "ec2-launch-template-require-imdsv2",
        with_property(f"{EC2}launchTemplate:LaunchTemplate", "metadataOptions.httpPutResponseHopLimit", 2),
    ),
    "plain volumes": (
        "ec2-launch-template-require-encrypted-volumes",
        with_property(f"{EC2}launchTemplate:LaunchTemplate", "blockDeviceMappings", [{"ebs": {"volumeSize": 1}}]),
    ),
    "a trail of one region": (
        "cloudtrail-trail-require-every-region",
        with_resource("aws:cloudtrail/trail:Trail"),
    ),
    "a trail without digests": (
        "cloudtrail-trail-require-log-file-validation",
        with_resource("aws:cloudtrail/trail:Trail"),
    ),
    "a trail under AWS's key": (
        "cloudtrail-trail-require-own-key",
        with_resource("aws:cloudtrail/trail:Trail"),
    ),
    "a trail of writes": (
        "cloudtrail-trail-require-reads-and-writes",
        with_resource("aws:cloudtrail/trail:Trail", eventSelectors=[{"readWriteType": "WriteOnly"}]),
    ),
    "a managed model that calls out": (
        "sagemaker-model-require-network-isolation",
        with_property("aws:sagemaker/model:Model", "enableNetworkIsolation", None),
    ),
    "a managed model outside our network": (
        "sagemaker-model-require-vpc",
        with_property("aws:sagemaker/model:Model", "vpcConfig", None),
    ),
    "a managed model by tag": (
        "sagemaker-model-require-image-digest",
        with_property("aws:sagemaker/model:Model", "primaryContainer.image", "registry/models:latest"),
    ),
    "endpoint volumes under AWS's key": (
        "sagemaker-endpoint-config-require-own-key",
        with_property(
            "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
            "productionVariants",
            [{"instanceType": "ml.m5.large"}],
        ),
    ),
    "captures under AWS's key": (
        "sagemaker-endpoint-config-require-encrypted-capture",
        with_property("aws:sagemaker/endpointConfiguration:EndpointConfiguration", "dataCaptureConfig.kmsKeyId", None),
    ),
    "any model": (
        "bedrock-invoke-require-named-model",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "foundation-model/amazon.nova-lite-v1:0", "*"),
    ),
    "a guardrail by draft": (
        "bedrock-invoke-require-guardrail",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "StringNotEquals", "StringEquals"),
    ),
    "an API key": (
        "bedrock-disallow-api-keys-and-mantle",
        with_resource(
            "aws:iam/serviceSpecificCredential:ServiceSpecificCredential", serviceName="bedrock.amazonaws.com"
        ),
    ),
    "a soft guardrail": (
        "bedrock-guardrail-require-strength",
        with_property(f"{BEDROCK}guardrail:Guardrail", "contentPolicyConfig.filtersConfigs", []),
    ),
    "a guardrail without version": (
        "bedrock-guardrail-require-numbered-version",
        without(f"{BEDROCK}guardrailVersion:GuardrailVersion"),
    ),
    "invocations not logged": (
        "bedrock-require-invocation-logging",
        without("aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration"),
    ),
    "an endpoint for everybody": (
        "vpc-endpoint-require-scoped-model-policy",
        with_property(f"{EC2}vpcEndpoint:VpcEndpoint", "policy", None),
    ),
    "a way out": ("vpc-disallow-internet-beside-models", with_resource(f"{EC2}natGateway:NatGateway")),
    "a model that calls anybody": (
        "kubernetes-model-disallow-internet",
        with_property(NETWORK_POLICY, "spec.egress", [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]),
    ),
    "a model that anybody calls": (
        "kubernetes-model-require-named-callers",
        with_property("kubernetes:core/v1:Service", "spec.type", "LoadBalancer"),
    ),
    "models without a share of GPUs": (
        "kubernetes-model-require-device-quota",
        with_property("kubernetes:core/v1:ResourceQuota", "spec.hard", {"pods": "64"}),
    ),
    "a public model server": (
        "kubernetes-model-require-image-from-own-registry",
        with_container(image=f"docker.io/vllm/vllm-openai@sha256:{'0' * 64}"),
    ),
    "weights of a branch": (
        "kubernetes-vllm-require-pinned-model",
        with_container(image="vllm", args=["serve", "organization/model"]),
    ),
    "pickled weights": (
        "kubernetes-vllm-require-safe-loader",
        with_container(image="vllm", args=["serve", "/weights", "--load-format=pt"]),
    ),
    "questions of any length": (
        "kubernetes-vllm-require-bounds",
        with_container(image="vllm", args=["serve", "/weights"]),
    ),
    "a DNS firewall that only alerts": (
        "dns-firewall-require-block-and-fail-closed",
        with_property("aws:route53/resolverFirewallRule:ResolverFirewallRule", "action", "ALERT"),
    ),
    "GPUs in public subnets": (
        "ec2-accelerator-disallow-public-subnet",
        with_property(f"{EC2}subnet:Subnet", "mapPublicIpOnLaunch", True),
    ),
    "a model nobody reviewed": (
        "bedrock-invoke-require-allowed-model",
        with_property(f"{BEDROCK}inferenceProfile:InferenceProfile", "modelSource.copyFrom", "vendor.large-v9:0"),
    ),
    "a model anywhere on earth": (
        "bedrock-require-allowed-geography",
        with_property(f"{BEDROCK}inferenceProfile:InferenceProfile", "modelSource.copyFrom", "global.vendor.big-v9:0"),
    ),
    "a bucket on another continent": (
        "stack-require-allowed-regions",
        with_resource(f"{S3}bucket:Bucket", region="ap-southeast-2"),
    ),
    "an image of somebody else": (
        "sagemaker-model-require-private-registry",
        with_property("aws:sagemaker/model:Model", "primaryContainer.image", "public.ecr.aws/somebody/models"),
    ),
    "a guardrail under AWS's key": (
        "bedrock-artifact-require-customer-key",
        with_property(f"{BEDROCK}guardrail:Guardrail", "kmsKeyArn", None),
    ),
    "no private way to the models": (
        "vpc-require-private-model-endpoints",
        with_property(f"{EC2}vpcEndpoint:VpcEndpoint", "privateDnsEnabled", False),
    ),
    "a command that nobody sees inside": ("stack-disallow-opaque-resources", with_resource("command:local:Command")),
    "prompts kept for ever": (
        "bedrock-log-require-end",
        without(f"{S3}bucketLifecycleConfiguration:BucketLifecycleConfiguration"),
    ),
    "readers nobody hears of": ("bedrock-log-bucket-require-access-log", without(f"{S3}bucketLogging:BucketLogging")),
    "a gateway that reads the log of calls": (
        "bedrock-caller-disallow-logs",
        in_documents("aws:iam/rolePolicy:RolePolicy", "policy", "s3:PutObject", "s3:DeleteObjectVersion"),
    ),
    "a log archive that can be emptied": (
        "s3-log-archive-require-object-lock",
        without(f"{S3}bucketObjectLockConfiguration:BucketObjectLockConfiguration"),
    ),
}


@functools.cache
def platform_graph() -> tuple[Resource, ...]:
    """The platform, and what runs in its cluster."""
    programs = ("platform", "cluster")
    return tuple(judged_resource(one) for program in programs for one in captured(program, "prod").resources)


def violations(name: str, graph: Iterable[Resource]) -> int:
    rule = RULES[name]
    if isinstance(rule, Rule):
        return sum(len(rule.judge(one).violations) for one in graph)
    return len(rule.judge(graph).violations)


@pytest.mark.parametrize(("name", "change"), MISTAKES.values(), ids=MISTAKES.keys())
def test_one_mistake_in_our_own_platform_is_found(name: str, change: Change) -> None:
    graph = platform_graph()
    assert violations(name, graph) == 0
    assert violations(name, tuple(change(graph))) > 0


def test_every_rule_with_a_subject_in_production_has_a_mistake_to_find() -> None:
    planted = {name for name, _ in MISTAKES.values()}
    assert applied("prod") <= planted <= set(RULES)
