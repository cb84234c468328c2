"""RDS: Aurora clusters, backed by the local PostgreSQL where it runs.

The cluster is created in moto, so that what was asked for can be read back; its address, database and
master user are those of the local PostgreSQL. The master password is invented here and lies in Secrets
Manager, where a task finds it as it would in AWS.
"""

from __future__ import annotations

import json
import secrets

from stacks.local.parts import postgresql
from stacks.local.parts.addresses import HOST
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, pascal, tag_list


def _create_cluster(aws: Aws, inputs: Inputs) -> Made:
    name = inputs["clusterIdentifier"]
    scaling = inputs.get("serverlessv2ScalingConfiguration")
    aws.client("rds").create_db_cluster(
        DBClusterIdentifier=name,
        Engine=inputs["engine"],
        **given(
            EngineVersion=inputs.get("engineVersion"),
            EngineMode=inputs.get("engineMode"),
            DatabaseName=inputs.get("databaseName"),
            MasterUsername=inputs.get("masterUsername"),
            ManageMasterUserPassword=inputs.get("manageMasterUserPassword"),
            MasterUserSecretKmsKeyId=inputs.get("masterUserSecretKmsKeyId"),
            EnableIAMDatabaseAuthentication=inputs.get("iamDatabaseAuthenticationEnabled"),
            StorageEncrypted=inputs.get("storageEncrypted"),
            KmsKeyId=inputs.get("kmsKeyId"),
            DBSubnetGroupName=inputs.get("dbSubnetGroupName"),
            VpcSecurityGroupIds=inputs.get("vpcSecurityGroupIds"),
            DBClusterParameterGroupName=inputs.get("dbClusterParameterGroupName"),
            ServerlessV2ScalingConfiguration=pascal(scaling) if scaling else None,
            EnableCloudwatchLogsExports=inputs.get("enabledCloudwatchLogsExports"),
            BackupRetentionPeriod=inputs.get("backupRetentionPeriod"),
            CopyTagsToSnapshot=inputs.get("copyTagsToSnapshot"),
            DeletionProtection=inputs.get("deletionProtection"),
            Tags=tag_list(inputs),
        ),
    )
    _settle_master_password(aws, name, inputs)
    if aws.parts is not None:
        postgresql.provision(
            aws.parts.places, aws.parts.addresses, inputs.get("databaseName", "postgres"), inputs["masterUsername"]
        )
    return Made(name)


def _settle_master_password(aws: Aws, name: str, inputs: Inputs) -> None:
    """RDS writes the user it made and a password nobody chose; moto writes the same pair for every cluster."""
    if not inputs.get("manageMasterUserPassword"):
        return
    cluster = aws.client("rds").describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    pair = {"username": inputs["masterUsername"], "password": secrets.token_urlsafe(24)}
    aws.client("secretsmanager").put_secret_value(
        SecretId=cluster["MasterUserSecret"]["SecretArn"], SecretString=json.dumps(pair)
    )


def _read_cluster(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    rds = aws.client("rds")
    try:
        found = rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"][0]
    except rds.exceptions.DBClusterNotFoundFault:
        return None
    secret = found.get("MasterUserSecret") or {}
    outputs = given(
        arn=found["DBClusterArn"],
        clusterIdentifier=found["DBClusterIdentifier"],
        clusterResourceId=found["DbClusterResourceId"],
        engine=found["Engine"],
        engineVersion=found["EngineVersion"],
        engineVersionActual=found["EngineVersion"],
        databaseName=found.get("DatabaseName"),
        masterUsername=found.get("MasterUsername"),
        kmsKeyId=found.get("KmsKeyId"),
        dbSubnetGroupName=found.get("DBSubnetGroup"),
        hostedZoneId=found.get("HostedZoneId"),
        masterUserSecrets=[
            {"secretArn": secret["SecretArn"], "kmsKeyId": secret.get("KmsKeyId", ""), "secretStatus": "active"}
        ]
        if secret
        else None,
    )
    outputs["storageEncrypted"] = found["StorageEncrypted"]
    outputs["iamDatabaseAuthenticationEnabled"] = found["IAMDatabaseAuthenticationEnabled"]
    outputs["deletionProtection"] = found["DeletionProtection"]
    return {**outputs, **_address(aws, found)}


def _address(aws: Aws, found: Inputs) -> Outputs:
    if aws.parts is None:
        return {"endpoint": found["Endpoint"], "readerEndpoint": found["ReaderEndpoint"], "port": found["Port"]}
    return {"endpoint": HOST, "readerEndpoint": HOST, "port": aws.parts.addresses.postgresql}


def _delete_cluster(aws: Aws, identifier: str, inputs: Inputs) -> None:
    rds = aws.client("rds")
    if inputs.get("deletionProtection"):
        rds.modify_db_cluster(DBClusterIdentifier=identifier, DeletionProtection=False)
    rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True)


def _create_instance(aws: Aws, inputs: Inputs) -> Made:
    name = inputs.get("identifier") or f"{inputs['clusterIdentifier']}-{secrets.token_hex(4)}"
    aws.client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBClusterIdentifier=inputs["clusterIdentifier"],
        DBInstanceClass=inputs["instanceClass"],
        Engine=inputs["engine"],
        **given(
            PubliclyAccessible=inputs.get("publiclyAccessible"),
            AutoMinorVersionUpgrade=inputs.get("autoMinorVersionUpgrade"),
            CACertificateIdentifier=inputs.get("caCertIdentifier"),
            Tags=tag_list(inputs),
        ),
    )
    return Made(name)


def _read_instance(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    rds = aws.client("rds")
    try:
        found = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    except rds.exceptions.DBInstanceNotFoundFault:
        return None
    return {
        "arn": found["DBInstanceArn"],
        "identifier": found["DBInstanceIdentifier"],
        "clusterIdentifier": found["DBClusterIdentifier"],
        "dbiResourceId": found["DbiResourceId"],
        "instanceClass": found["DBInstanceClass"],
        "engine": found["Engine"],
        "publiclyAccessible": found["PubliclyAccessible"],
        **({} if aws.parts is None else {"endpoint": HOST, "port": aws.parts.addresses.postgresql}),
    }


def _delete_instance(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("rds").delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)


def _create_subnets(aws: Aws, inputs: Inputs) -> Made:
    aws.client("rds").create_db_subnet_group(
        DBSubnetGroupName=inputs["name"],
        DBSubnetGroupDescription=inputs.get("description") or "Managed by Pulumi",
        SubnetIds=inputs["subnetIds"],
        Tags=tag_list(inputs),
    )
    return Made(inputs["name"])


def _read_subnets(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    rds = aws.client("rds")
    try:
        found = rds.describe_db_subnet_groups(DBSubnetGroupName=identifier)["DBSubnetGroups"][0]
    except rds.exceptions.DBSubnetGroupNotFoundFault:
        return None
    return {
        "arn": found["DBSubnetGroupArn"],
        "name": identifier,
        "vpcId": found["VpcId"],
        "subnetIds": [subnet["SubnetIdentifier"] for subnet in found["Subnets"]],
    }


def _delete_subnets(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("rds").delete_db_subnet_group(DBSubnetGroupName=identifier)


def _create_parameters(aws: Aws, inputs: Inputs) -> Made:
    rds, name = aws.client("rds"), inputs["name"]
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=name,
        DBParameterGroupFamily=inputs["family"],
        Description=inputs.get("description") or "Managed by Pulumi",
        Tags=tag_list(inputs),
    )
    return Made(name)


def _read_parameters(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    rds = aws.client("rds")
    try:
        found = rds.describe_db_cluster_parameter_groups(DBClusterParameterGroupName=identifier)
    except rds.exceptions.DBParameterGroupNotFoundFault:
        return None
    group = found["DBClusterParameterGroups"][0]
    # moto keeps no parameters of cluster groups: they are not compared.
    return {"arn": group["DBClusterParameterGroupArn"], "name": identifier, "family": group["DBParameterGroupFamily"]}


def _delete_parameters(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("rds").delete_db_cluster_parameter_group(DBClusterParameterGroupName=identifier)


KINDS = {
    "aws:rds/cluster:Cluster": Kind(_create_cluster, _read_cluster, _delete_cluster),
    "aws:rds/clusterInstance:ClusterInstance": Kind(_create_instance, _read_instance, _delete_instance),
    "aws:rds/subnetGroup:SubnetGroup": Kind(_create_subnets, _read_subnets, _delete_subnets),
    "aws:rds/clusterParameterGroup:ClusterParameterGroup": Kind(
        _create_parameters, _read_parameters, _delete_parameters
    ),
}
