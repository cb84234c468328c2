"""The vector store, ledger and audit chain: Aurora PostgreSQL, encrypted, reached with IAM identities over TLS.

The owner's password is made and rotated by RDS in Secrets Manager and never seen by these programs; the
services have no password at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

OWNER = "gateway_owner"
PORT = 5432
ENGINE = aws.rds.EngineType.AURORA_POSTGRESQL


class VectorStoreArgs(TypedDict):
    cluster_name: str
    database_name: str
    engine_version: str
    tls_min: str
    capacity_min: float
    capacity_max: float
    instances: int
    backup_days: int
    deletion_protection: bool
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    secret_key_arn: pulumi.Input[str]
    log_group: pulumi.Resource


class VectorStore(Component):
    """Cluster, parameter group, instances."""

    address: pulumi.Output[str]
    resource_id: pulumi.Output[str]
    owner_secret_arn: pulumi.Output[str]

    def __init__(self, name: str, args: VectorStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        cluster = self._cluster(name, args)
        for number in range(1, args["instances"] + 1):
            self._instance(f"{name}-instance-{number}", cluster, args)
        self.address = pulumi.Output.format("{0}:{1}", cluster.endpoint, cluster.port)
        self.resource_id = cluster.cluster_resource_id
        self.owner_secret_arn = cluster.master_user_secrets.apply(lambda secrets: secrets[0]["secret_arn"])
        self.register_outputs({"address": self.address})

    def _cluster(self, name: str, args: VectorStoreArgs) -> aws.rds.Cluster:
        subnets = aws.rds.SubnetGroup(f"{name}-subnets", subnet_ids=list(args["subnet_ids"]), opts=self.child())
        return aws.rds.Cluster(
            f"{name}-cluster",
            cluster_identifier=args["cluster_name"],
            engine=ENGINE,
            engine_mode="provisioned",
            engine_version=args["engine_version"],
            database_name=args["database_name"],
            master_username=OWNER,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=args["secret_key_arn"],
            iam_database_authentication_enabled=True,
            storage_encrypted=True,
            kms_key_id=args["key_arn"],
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[args["security_group_id"]],
            db_cluster_parameter_group_name=self._parameters(name, args),
            serverlessv2_scaling_configuration={
                "min_capacity": args["capacity_min"],
                "max_capacity": args["capacity_max"],
            },
            enabled_cloudwatch_logs_exports=["postgresql"],
            backup_retention_period=args["backup_days"],
            copy_tags_to_snapshot=True,
            deletion_protection=args["deletion_protection"],
            skip_final_snapshot=not args["deletion_protection"],
            final_snapshot_identifier=f"{args['cluster_name']}-final",
            # RDS would make the log group itself, unencrypted and for ever.
            opts=self.child(depends_on=[args["log_group"]]),
        )

    def _parameters(self, name: str, args: VectorStoreArgs) -> pulumi.Output[str]:
        parameters = {
            "rds.force_ssl": "1",
            "ssl_min_protocol_version": args["tls_min"],
            # Not "all": statements carry prompts and embeddings.
            "log_statement": "ddl",
            "log_connections": "1",
        }
        group = aws.rds.ClusterParameterGroup(
            f"{name}-parameters",
            family=f"{ENGINE.value}{args['engine_version'].split('.')[0]}",
            parameters=[
                {"name": parameter, "value": value, "apply_method": "pending-reboot"}
                for parameter, value in parameters.items()
            ],
            opts=self.child(),
        )
        return group.name

    def _instance(self, name: str, cluster: aws.rds.Cluster, args: VectorStoreArgs) -> None:
        aws.rds.ClusterInstance(
            name,
            cluster_identifier=cluster.id,
            engine=ENGINE,
            engine_version=cluster.engine_version,
            instance_class="db.serverless",
            ca_cert_identifier="rds-ca-ecc384-g1",
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            performance_insights_enabled=True,
            performance_insights_kms_key_id=args["key_arn"],
            copy_tags_to_snapshot=True,
            opts=self.child(),
        )


def connect_arn(region: str, account_id: str, resource_id: str, user: str) -> str:
    """What rds-db:connect is allowed on: one user of one cluster."""
    return f"arn:aws:rds-db:{region}:{account_id}:dbuser:{resource_id}/{user}"
