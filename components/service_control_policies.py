"""Service control policies: what no principal of our accounts may do, whatever its own policies say.

One document for one concern. Each denies and none grants: AWS's own FullAWSAccess stays attached beside them.
They bind neither the management account nor service-linked roles, and a test that an absent key would pass
says so where it matters.
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_syntax.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.policy_document import Conditions, Statement, Value, deny, document

CHARACTERS_MAX = 5120
"""AWS's limit for one policy, spaces included."""

INVOKE = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
NOT_FOR_US_BY_A_SERVICE = {"aws:ViaAWSService": "false"}

# These answer for the whole partition, most of them from one Region that is not ours.
GLOBAL_SERVICES = (
    "account:*",
    "aws-portal:*",
    "billing:*",
    "budgets:*",
    "ce:*",
    "cloudfront:*",
    "consolidatedbilling:*",
    "health:*",
    "iam:*",
    "networkmanager:*",
    "organizations:*",
    "pricing:*",
    "route53:*",
    "route53domains:*",
    "s3:GetAccountPublic*",
    "s3:ListAllMyBuckets",
    "s3:PutAccountPublic*",
    "servicequotas:*",
    "shield:*",
    "sts:*",
    "support:*",
    "tag:*",
    "trustedadvisor:*",
)
# Capacity that a development account may have: one small GPU a machine.
DEVELOPMENT_GPUS = ("g4dn.*", "g5.*", "g6.*")
ACCELERATED = ("dl*", "f*", "g*", "inf*", "p*", "trn*", "vt*")
ACCELERATED_FOR_MODELS = ("ml.dl*", "ml.g*", "ml.inf*", "ml.p*", "ml.trn*")


@dataclass(frozen=True, slots=True)
class Administrators:
    """Roles that a policy spares, by ARN. Exact, so that no role of a similar name is spared with them."""

    deployers: Sequence[str]
    break_glass: Sequence[str]

    @property
    def everybody_but_them(self) -> Conditions:
        return {"ArnNotEquals": {"aws:PrincipalArn": [*self.deployers, *self.break_glass]}}

    @property
    def everybody_but_break_glass(self) -> Conditions:
        return {"ArnNotEquals": {"aws:PrincipalArn": list(self.break_glass)}}


def models(account_ids: Sequence[str], allowed_models: Sequence[str]) -> str:
    """Models of the list only, through our own profiles only, and never through the unlogged endpoint."""
    profiles = [f"arn:aws:bedrock:*:{account_id}:application-inference-profile/*" for account_id in account_ids]
    listed = [f"arn:aws:bedrock:*::foundation-model/{model}" for model in allowed_models]
    # Access to every model is open by default: this list is the only gate.
    return document(
        deny("DenyMantle", ["bedrock-mantle:*"], "*"),
        deny(
            "DenyModelsWithoutProfile",
            INVOKE,
            "arn:aws:bedrock:*::foundation-model/*",
            when={"ArnNotLike": {"bedrock:InferenceProfileArn": profiles}},
        ),
        _deny_elsewhere(
            "DenyModelsOffTheList", INVOKE, [*listed, *profiles, "arn:aws:bedrock:*:*:inference-profile/*"]
        ),
        deny(
            "DenyOtherModelSources",
            [
                "bedrock:CreateCustomModel",
                "bedrock:CreateMarketplaceModelEndpoint",
                "bedrock:CreateModelImportJob",
                "bedrock:CreatePromptRouter",
                "bedrock:CreateProvisionedModelThroughput",
            ],
            "*",
        ),
    )


def credentials() -> str:
    """No key that outlives a session: callers sign, and are named in every record."""
    return document(
        deny("DenyBearerTokens", ["bedrock:CallWithBearerToken", "bedrock-mantle:CallWithBearerToken"], "*"),
        deny(
            "DenyApiKeys",
            [
                "iam:CreateServiceSpecificCredential",
                "iam:ResetServiceSpecificCredential",
                "iam:UpdateServiceSpecificCredential",
            ],
            "*",
        ),
        deny("DenyUsers", ["iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:CreateUser"], "*"),
    )


def model_records(administrators: Administrators, callers: Sequence[str]) -> str:
    """The gateway's roles alone call models; providers keep nothing; log and guardrails are the platform's to change.

    Not even an administrator calls a model past the gateway: there would be a bill and no record of who asked.
    """
    retention = ["bedrock:PutAccountDataRetention"]
    unlogged = ["PutAccountDataRetention", "CreateProject", "UpdateProject"]
    return document(
        deny("DenyOtherCallers", INVOKE, "*", when={"ArnNotEquals": {"aws:PrincipalArn": list(callers)}}),
        deny(
            "DenyDataRetention",
            retention,
            "*",
            when={"StringNotEquals": {"bedrock:DataRetentionMode": "none"}},
        ),
        deny(
            "DenyMantleDataRetention",
            [f"bedrock-mantle:{action}" for action in unlogged],
            "*",
            when={"StringNotEquals": {"bedrock-mantle:DataRetentionMode": "none"}},
        ),
        deny(
            "DenyChangesOfInvocationLog",
            ["bedrock:DeleteModelInvocationLoggingConfiguration", "bedrock:PutModelInvocationLoggingConfiguration"],
            "*",
            when=administrators.everybody_but_them,
        ),
        deny(
            "DenyChangesOfGuardrails",
            [
                "bedrock:DeleteEnforcedGuardrailConfiguration",
                "bedrock:DeleteGuardrail",
                "bedrock:PutEnforcedGuardrailConfiguration",
                "bedrock:UpdateGuardrail",
            ],
            "*",
            when=administrators.everybody_but_them,
        ),
    )


def regions(allowed: Sequence[str], administrators: Administrators) -> str:
    """Nothing runs and no model answers elsewhere.

    A global profile asks for the Region `unspecified`, which is in no list and so is denied with the rest.
    """
    elsewhere = {"StringNotEquals": {"aws:RequestedRegion": list(allowed)}}
    return document(
        deny("DenyModelsElsewhere", ["bedrock:*", "sagemaker:*"], "*", when=elsewhere),
        _deny_all_but("DenyRegions", GLOBAL_SERVICES, "*", {**elsewhere, **administrators.everybody_but_break_glass}),
    )


def evidence(administrators: Administrators) -> str:
    """Who did what stays on record, and what it was encrypted with stays readable."""
    return document(
        deny(
            "DenyDestructionOfRecords",
            [
                "cloudtrail:DeleteTrail",
                "cloudtrail:StopLogging",
                "config:DeleteConfigurationRecorder",
                "config:StopConfigurationRecorder",
                "guardduty:DeleteDetector",
                "s3:BypassGovernanceRetention",
            ],
            "*",
            when=administrators.everybody_but_break_glass,
        ),
        deny(
            "DenyDestructionOfKeys",
            ["kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:ScheduleKeyDeletion"],
            "*",
            when=administrators.everybody_but_break_glass,
        ),
        deny(
            "DenyChangesOfRecords",
            [
                "cloudtrail:PutEventSelectors",
                "cloudtrail:UpdateTrail",
                "ec2:DeleteFlowLogs",
                "kms:DisableKeyRotation",
                "kms:PutKeyPolicy",
                "logs:DeleteLogGroup",
                "logs:DeleteLogStream",
                "logs:PutRetentionPolicy",
                "route53resolver:DeleteResolverQueryLogConfig",
                "s3:PutBucketObjectLockConfiguration",
                "s3:PutLifecycleConfiguration",
            ],
            "*",
            when=administrators.everybody_but_them,
        ),
        deny("DenyLeaving", ["account:CloseAccount", "organizations:LeaveOrganization"], "*"),
    )


def sharing(administrators: Administrators) -> str:
    """Nothing is handed to another account on the side; doors to the public stay shut."""
    return document(
        deny(
            "DenySharing",
            [
                "ec2:ModifyImageAttribute",
                "ec2:ModifySnapshotAttribute",
                "logs:PutDestination",
                "logs:PutSubscriptionFilter",
                "ram:*",
                "rds:ModifyDBClusterSnapshotAttribute",
                "rds:ModifyDBSnapshotAttribute",
            ],
            "*",
        ),
        deny(
            "DenyPublicAccess",
            [
                "ec2:DisableEbsEncryptionByDefault",
                "ec2:DisableImageBlockPublicAccess",
                "ec2:DisableSnapshotBlockPublicAccess",
                "ec2:ModifyVpcBlockPublicAccessOptions",
                "s3:PutAccountPublicAccessBlock",
                "s3:PutBucketAcl",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutObjectAcl",
            ],
            "*",
            when=administrators.everybody_but_them,
        ),
        deny(
            "DenyResourcePolicies",
            [
                "ecr:PutRegistryPolicy",
                "ecr:SetRepositoryPolicy",
                "s3:DeleteBucketPolicy",
                "s3:PutBucketPolicy",
                "s3:PutReplicationConfiguration",
                "secretsmanager:PutResourcePolicy",
                "sqs:AddPermission",
            ],
            "*",
            when=administrators.everybody_but_them,
        ),
    )


@dataclass(frozen=True, slots=True)
class DownwardPath:
    """The one way data takes from an environment above: a role that reads released data sets."""

    reader_arn: str
    actions: Sequence[str] = ("kms:Decrypt", "s3:GetObject")


@dataclass(frozen=True, slots=True)
class Walls:
    """Where an environment ends: its account, the paths of the others, and the way it may read from above."""

    environment: str
    organization_id: str
    account_id: str
    paths_of_others: Sequence[str]
    downward: DownwardPath | None = None


def separation(walls: Walls, administrators: Administrators) -> str:
    """No principal reaches another environment's resources, nor acts from another's network."""
    return document(
        *_other_environments(walls),
        deny(
            "DenyForeignEndpoints",
            ["*"],
            "*",
            when={
                "Null": {"aws:VpceAccount": "false"},
                "StringNotEquals": {"aws:VpceAccount": walls.account_id},
                "BoolIfExists": NOT_FOR_US_BY_A_SERVICE,
            },
        ),
        deny(
            "DenyWritingOutside",
            [
                "ecr:PutImage",
                "kms:Encrypt",
                "s3:PutObject",
                "secretsmanager:PutSecretValue",
                "sns:Publish",
                "sqs:SendMessage",
            ],
            "*",
            when={
                "StringNotEquals": {"aws:ResourceOrgID": walls.organization_id},
                "BoolIfExists": NOT_FOR_US_BY_A_SERVICE,
            },
        ),
        deny(
            "DenyPeering",
            [
                "ec2:AcceptTransitGatewayPeeringAttachment",
                "ec2:AcceptVpcPeeringConnection",
                "ec2:CreateTransitGatewayPeeringAttachment",
                "ec2:CreateVpcPeeringConnection",
            ],
            "*",
        ),
        deny(
            "DenyWaysOut",
            [
                "ec2:AttachInternetGateway",
                "ec2:CreateEgressOnlyInternetGateway",
                "ec2:CreateNatGateway",
                "ec2:CreateTransitGatewayVpcAttachment",
                "ec2:CreateVpnConnection",
            ],
            "*",
            when=administrators.everybody_but_them,
        ),
    )


def _other_environments(walls: Walls) -> tuple[Statement, ...]:
    """By where a resource sits in the organization. For AWS's own resources the key is absent: they are spared."""
    theirs: Conditions = {"ForAnyValue:StringLike": {"aws:ResourceOrgPaths": list(walls.paths_of_others)}}
    if walls.downward is None:
        return (deny("DenyOtherEnvironments", ["*"], "*", when=theirs),)
    reader: Conditions = {"ArnNotEquals": {"aws:PrincipalArn": walls.downward.reader_arn}}
    return (
        _deny_all_but("DenyOtherEnvironments", walls.downward.actions, "*", theirs),
        deny("DenyReadingAbove", walls.downward.actions, "*", when={**theirs, **reader}),
    )


# What is created with tags in the same call, so that a missing tag can be seen.
TAGGED_AT_CREATION = (
    "ecs:CreateCluster",
    "eks:CreateCluster",
    "eks:CreateNodegroup",
    "elasticache:CreateServerlessCache",
    "kms:CreateKey",
    "rds:CreateDBCluster",
    "sagemaker:CreateEndpoint",
    "sagemaker:CreateModel",
    "secretsmanager:CreateSecret",
)


def creation(walls: Walls, *, small: bool) -> str:
    """What costs or keeps data says which environment it is of and what class of data it holds.

    `small`: development gets one small GPU a machine, and nothing that is paid for in advance.
    """
    return document(*_tagged(walls), *(_capped() if small else ()))


def _tagged(walls: Walls) -> tuple[Statement, ...]:
    own = walls.environment
    reader = {"ArnNotEquals": {"aws:PrincipalArn": walls.downward.reader_arn}} if walls.downward else {}
    instances = ["arn:aws:ec2:*:*:instance/*", "arn:aws:ec2:*:*:volume/*"]
    untagged = [
        deny(
            f"DenyWithout{word}",
            TAGGED_AT_CREATION,
            "*",
            # What a service makes for the caller (RDS its secret) is tagged by the service, not by us.
            when={"Null": {f"aws:RequestTag/{key}": "true"}, "BoolIfExists": NOT_FOR_US_BY_A_SERVICE},
        )
        for word, key in (("Env", "env"), ("DataClass", "data-class"))
    ]
    return (
        *untagged,
        deny("DenyInstancesWithoutEnv", ["ec2:RunInstances"], instances, when={"Null": {"aws:RequestTag/env": "true"}}),
        deny(
            "DenyTagOfAnother",
            ["*"],
            "*",
            when={"Null": {"aws:RequestTag/env": "false"}, "StringNotEquals": {"aws:RequestTag/env": own}},
        ),
        deny(
            "DenyResourcesOfAnother",
            ["*"],
            "*",
            when={
                "Null": {"aws:ResourceTag/env": "false"},
                "StringNotEquals": {"aws:ResourceTag/env": own},
                **reader,
            },
        ),
    )


def _capped() -> tuple[Statement, ...]:
    """Auto Scaling launches instances in a service-linked role, which no organization policy binds: for node
    groups this stops who creates them, because AWS asks for that person's right to run the instances too.
    """
    return (
        deny(
            "DenyLargeAccelerators",
            ["ec2:RunInstances"],
            "arn:aws:ec2:*:*:instance/*",
            when={
                "StringLike": {"ec2:InstanceType": list(ACCELERATED)},
                "StringNotLike": {"ec2:InstanceType": list(DEVELOPMENT_GPUS)},
            },
        ),
        deny(
            "DenyAcceleratedEndpoints",
            ["sagemaker:CreateEndpointConfig"],
            "*",
            when={"ForAnyValue:StringLike": {"sagemaker:InstanceTypes": list(ACCELERATED_FOR_MODELS)}},
        ),
        deny(
            "DenyCapacityBlocks",
            [
                "ec2:CreateCapacityReservation",
                "ec2:PurchaseCapacityBlock",
                "ec2:PurchaseCapacityBlockExtension",
                "ec2:PurchaseHostReservation",
                "ec2:PurchaseReservedInstancesOffering",
            ],
            "*",
        ),
    )


def _deny_elsewhere(sid: str, actions: Sequence[str], spared: Value) -> Statement:
    """A Deny on every resource but those named."""
    return {**deny(sid, actions), "NotResource": spared if isinstance(spared, str) else list(spared)}


def _deny_all_but(
    sid: str, spared: Sequence[str], resources: Value, when: Mapping[str, Mapping[str, Value]]
) -> Statement:
    """A Deny of every action but those named."""
    statement = deny(sid, ["*"], resources, when=when)
    return {("NotAction" if key == "Action" else key): value for key, value in statement.items()} | {
        "NotAction": list(spared)
    }
