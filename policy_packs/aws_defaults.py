"""What AWS and Kubernetes do where a program says nothing: the documented default of a property, by Pulumi type.

Absent is not false. A property that stands here reads as its default when it is left out; one that does not
stand here reads as missing, and no rule takes missing for compliant. Source of each block: the API reference
of the service, under the name of the property.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policy_packs.view import MISSING

DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    # KMS CreateKey; rotation is off until EnableKeyRotation.
    "aws:kms/key:Key": {
        "keyUsage": "ENCRYPT_DECRYPT",
        "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "enableKeyRotation": False,
        "rotationPeriodInDays": 365,
        "isEnabled": True,
    },
    "aws:kms/replicaKey:ReplicaKey": {"enabled": True},
    "aws:kms/externalKey:ExternalKey": {"enabled": True},
    "aws:kms/replicaExternalKey:ReplicaExternalKey": {"enabled": True},
    # S3 CreateBucket, PutBucketVersioning, CreateAccessPoint.
    "aws:s3/bucket:Bucket": {
        "acl": "private",
        "forceDestroy": False,
        "objectLockEnabled": False,
        "versioning.enabled": False,
    },
    "aws:s3/accessPoint:AccessPoint": {
        "publicAccessBlockConfiguration.blockPublicAcls": True,
        "publicAccessBlockConfiguration.blockPublicPolicy": True,
        "publicAccessBlockConfiguration.ignorePublicAcls": True,
        "publicAccessBlockConfiguration.restrictPublicBuckets": True,
    },
    # S3 PutPublicAccessBlock: what a request leaves out is off.
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {
        "blockPublicAcls": False,
        "blockPublicPolicy": False,
        "ignorePublicAcls": False,
        "restrictPublicBuckets": False,
    },
    # CloudTrail CreateTrail.
    "aws:cloudtrail/trail:Trail": {
        "enableLogging": True,
        "enableLogFileValidation": False,
        "includeGlobalServiceEvents": True,
        "isMultiRegionTrail": False,
    },
    # CloudWatch Logs PutRetentionPolicy: without one, events never expire.
    "aws:cloudwatch/logGroup:LogGroup": {"retentionInDays": 0},
    # GuardDuty CreateDetector; AWS Config PutConfigurationRecorder, StartConfigurationRecorder.
    "aws:guardduty/detector:Detector": {"enable": True},
    # Lambda CreateFunction, CreateCodeSigningConfig.
    "aws:lambda/function:Function": {"packageType": "Zip"},
    "aws:lambda/codeSigningConfig:CodeSigningConfig": {"policies.untrustedArtifactOnDeployment": "Warn"},
    "aws:cfg/recorder:Recorder": {
        "recordingGroup.allSupported": True,
        "recordingGroup.includeGlobalResourceTypes": False,
    },
    "aws:cfg/recorderStatus:RecorderStatus": {"isEnabled": False},
    # DynamoDB CreateTable.
    "aws:dynamodb/table:Table": {"pointInTimeRecovery.enabled": False, "serverSideEncryption.enabled": False},
    # RDS CreateDBCluster, CreateDBInstance. Backups of an instance: the provider sends 0, not AWS's 1.
    "aws:rds/cluster:Cluster": {
        "backupRetentionPeriod": 1,
        "copyTagsToSnapshot": False,
        "deletionProtection": False,
        "iamDatabaseAuthenticationEnabled": False,
        "performanceInsightsEnabled": False,
        "publiclyAccessible": False,
        "storageEncrypted": False,
    },
    "aws:rds/clusterInstance:ClusterInstance": {
        "autoMinorVersionUpgrade": True,
        "performanceInsightsEnabled": False,
        "publiclyAccessible": False,
    },
    "aws:rds/instance:Instance": {
        "autoMinorVersionUpgrade": True,
        "backupRetentionPeriod": 0,
        "copyTagsToSnapshot": False,
        "deletionProtection": False,
        "iamDatabaseAuthenticationEnabled": False,
        "performanceInsightsEnabled": False,
        "publiclyAccessible": False,
        "storageEncrypted": False,
    },
    # EKS CreateCluster.
    "aws:eks/cluster:Cluster": {
        "vpcConfig.endpointPublicAccess": True,
        "vpcConfig.endpointPrivateAccess": False,
        "accessConfig.authenticationMode": "CONFIG_MAP",
        "accessConfig.bootstrapClusterCreatorAdminPermissions": True,
    },
    # Kubernetes API reference, PodSpec and PodSecurityContext; the same for whatever makes the pod.
    "kubernetes:pod": {
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "hostUsers": True,
        "serviceAccountName": "default",
    },
    # Kubernetes API reference, Container and SecurityContext.
    "kubernetes:container": {
        "securityContext.privileged": False,
        "securityContext.allowPrivilegeEscalation": True,
        "securityContext.readOnlyRootFilesystem": False,
    },
    # Kubernetes API reference, ObjectMeta, of whatever stands in a namespace.
    "kubernetes:object": {"metadata.namespace": "default"},
    "kubernetes:core/v1:Service": {"spec.type": "ClusterIP"},
    # Elastic Load Balancing: CreateLoadBalancer, LoadBalancerAttribute, CreateListener, CreateTargetGroup.
    "aws:lb/loadBalancer:LoadBalancer": {
        "accessLogs.enabled": False,
        "desyncMitigationMode": "defensive",
        "dropInvalidHeaderFields": False,
        "enableDeletionProtection": False,
        "internal": False,
        "loadBalancerType": "application",
    },
    "aws:lb/listener:Listener": {"protocol": "HTTP", "sslPolicy": "ELBSecurityPolicy-2016-08"},
    "aws:lb/targetGroup:TargetGroup": {"targetType": "instance"},
    # The classic one; the provider turns on a log that is named.
    "aws:elb/loadBalancer:LoadBalancer": {
        "accessLogs.enabled": True,
        "desyncMitigationMode": "defensive",
        "internal": False,
    },
    # EC2 and VPC. A default subnet gives public addresses; the options of metadata may also be the account's.
    "aws:ec2/subnet:Subnet": {"mapPublicIpOnLaunch": False},
    "aws:ec2/defaultSubnet:DefaultSubnet": {"mapPublicIpOnLaunch": True},
    "aws:ec2/instance:Instance": {
        "metadataOptions.httpEndpoint": "enabled",
        "metadataOptions.httpTokens": "optional",
    },
    "aws:ec2/spotInstanceRequest:SpotInstanceRequest": {
        "metadataOptions.httpEndpoint": "enabled",
        "metadataOptions.httpTokens": "optional",
    },
    "aws:ec2/launchConfiguration:LaunchConfiguration": {
        "metadataOptions.httpEndpoint": "enabled",
        "metadataOptions.httpTokens": "optional",
    },
    "aws:ec2/launchTemplate:LaunchTemplate": {
        "metadataOptions.httpEndpoint": "enabled",
        "metadataOptions.httpTokens": "optional",
    },
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"vpcEndpointType": "Gateway", "privateDnsEnabled": False},
    "aws:ebs/volume:Volume": {"encrypted": False},
    "aws:networkfirewall/firewall:Firewall": {"deleteProtection": False},
    "aws:route53/resolverFirewallConfig:ResolverFirewallConfig": {"firewallFailOpen": "DISABLED"},
    # The AWS provider: text is delivered, an old version goes with its resource.
    "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration": {
        "loggingConfig.textDataDeliveryEnabled": True,
    },
    "aws:bedrock/guardrailVersion:GuardrailVersion": {"skipDestroy": False},
    # SageMaker CreateNotebookInstance: the internet and root are given, IMDSv1 answers.
    "aws:sagemaker/notebookInstance:NotebookInstance": {
        "directInternetAccess": "Enabled",
        "rootAccess": "Enabled",
        "instanceMetadataServiceConfiguration.minimumInstanceMetadataServiceVersion": "1",
    },
    # SageMaker CreateModel.
    "aws:sagemaker/model:Model": {"enableNetworkIsolation": False},
    # OpenSearch CreateDomain, and the older CreateElasticsearchDomain.
    "aws:opensearch/domain:Domain": {
        "advancedSecurityOptions.anonymousAuthEnabled": False,
        "advancedSecurityOptions.enabled": False,
        "clusterConfig.dedicatedMasterEnabled": False,
        "clusterConfig.multiAzWithStandbyEnabled": False,
        "clusterConfig.zoneAwarenessEnabled": False,
        "domainEndpointOptions.enforceHttps": False,
        "encryptAtRest.enabled": False,
        "nodeToNodeEncryption.enabled": False,
    },
    "aws:elasticsearch/domain:Domain": {
        "advancedSecurityOptions.anonymousAuthEnabled": False,
        "advancedSecurityOptions.enabled": False,
        "clusterConfig.dedicatedMasterEnabled": False,
        "clusterConfig.multiAzWithStandbyEnabled": False,
        "clusterConfig.zoneAwarenessEnabled": False,
        "domainEndpointOptions.enforceHttps": False,
        "encryptAtRest.enabled": False,
        "nodeToNodeEncryption.enabled": False,
    },
    # ElastiCache CreateReplicationGroup. Encryption at rest depends on the engine.
    "aws:elasticache/replicationGroup:ReplicationGroup": {
        "automaticFailoverEnabled": False,
        "engine": "redis",
        "transitEncryptionEnabled": False,
        "transitEncryptionMode": "required",
    },
    # ECS CreateService and CreateCluster.
    "aws:ecs/service:Service": {
        "launchType": "EC2",
        "networkConfiguration.assignPublicIp": False,
        "platformVersion": "LATEST",
    },
    "aws:ecs/taskSet:TaskSet": {
        "launchType": "EC2",
        "networkConfiguration.assignPublicIp": False,
        "platformVersion": "LATEST",
    },
    "aws:ecs/cluster:Cluster": {"configuration.executeCommandConfiguration.logging": "DEFAULT"},
    # ECR CreateRepository; the type of an encryption left out is AES256, which names no key of ours.
    "aws:ecr/repository:Repository": {
        "imageScanningConfiguration.scanOnPush": False,
        "imageTagMutability": "MUTABLE",
    },
    "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate": {"imageTagMutability": "MUTABLE"},
    # API Gateway CreateRoute, CreateStage, MethodSetting; WAFV2 OverrideAction of a joined group.
    "aws:apigateway/methodSettings:MethodSettings": {
        "settings.dataTraceEnabled": False,
        "settings.loggingLevel": "OFF",
        "settings.metricsEnabled": False,
    },
    "aws:apigatewayv2/route:Route": {"authorizationType": "NONE"},
    "aws:wafv2/webAclRuleGroupAssociation:WebAclRuleGroupAssociation": {"overrideAction": "none"},
}


def default_of(resource_type: str, path: str) -> object:
    """The default, or MISSING where AWS documents none."""
    return DEFAULTS.get(resource_type, {}).get(path, MISSING)
