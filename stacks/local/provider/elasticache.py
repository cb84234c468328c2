"""ElastiCache: the serverless cache is the local Valkey; its users are read back from Valkey itself."""

from __future__ import annotations

import socket
from contextlib import closing

from stacks.local.parts.addresses import HOST
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, left_to_owner, tag_list


def _create_user(aws: Aws, inputs: Inputs) -> Made:
    mode = inputs.get("authenticationMode") or {}
    aws.client("elasticache").create_user(
        UserId=inputs["userId"],
        UserName=inputs["userName"],
        Engine=inputs["engine"],
        AccessString=inputs["accessString"],
        **given(
            AuthenticationMode=given(Type=mode.get("type"), Passwords=mode.get("passwords")), Tags=tag_list(inputs)
        ),
    )
    if aws.parts is not None and mode.get("type") == "iam":
        _require_local_user(inputs["userName"], aws.parts.addresses.valkey)
    return Made(inputs["userId"])


def _require_local_user(name: str, port: int) -> None:
    """The local Valkey takes any token of a user it knows, in place of IAM authentication."""
    with closing(socket.create_connection((HOST, port), timeout=5)) as connection:
        connection.sendall(f"AUTH {name} token\r\nQUIT\r\n".encode())
        answer = connection.recv(4096)
    if not answer.startswith(b"+OK"):
        raise ValueError(
            f"the local Valkey has no user {name!r}: it answered {answer.decode(errors='replace').strip()}"
        )


def _read_user(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    elasticache = aws.client("elasticache")
    try:
        found = elasticache.describe_users(UserId=identifier)["Users"][0]
    except elasticache.exceptions.UserNotFoundFault:
        return None
    return {
        "arn": found["ARN"],
        "userId": found["UserId"],
        "userName": found["UserName"],
        "engine": found["Engine"],
        "accessString": found["AccessString"],
        "authenticationMode": {"type": found["Authentication"]["Type"]},
    }


def _delete_user(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("elasticache").delete_user(UserId=identifier)


def _create_cache(aws: Aws, inputs: Inputs) -> Made:
    return Made(inputs["name"])


def _read_cache(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    """Asks the local Valkey: moto has no serverless caches."""
    if aws.parts is None:
        return None
    port = aws.parts.addresses.valkey
    with closing(socket.create_connection((HOST, port), timeout=5)) as connection:
        connection.sendall(b"PING\r\nQUIT\r\n")
        # Whoever is not a named user is told so; any other answer comes from another server.
        if not connection.recv(4096).startswith((b"-NOAUTH", b"+PONG")):
            return None
    address = [{"address": HOST, "port": port}]
    return {
        "arn": aws.arn("elasticache", f"serverlesscache:{identifier}"),
        "name": identifier,
        "status": "available",
        "endpoints": address,
        "readerEndpoints": address,
    }


def _create_subnets(aws: Aws, inputs: Inputs) -> Made:
    aws.client("elasticache").create_cache_subnet_group(
        CacheSubnetGroupName=inputs["name"],
        CacheSubnetGroupDescription=inputs.get("description") or "Managed by Pulumi",
        SubnetIds=inputs["subnetIds"],
    )
    return Made(inputs["name"])


def _read_subnets(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("elasticache").describe_cache_subnet_groups(CacheSubnetGroupName=identifier)
    group = found["CacheSubnetGroups"][0]
    return {
        "arn": group["ARN"],
        "name": identifier,
        "vpcId": group["VpcId"],
        "subnetIds": [subnet["SubnetIdentifier"] for subnet in group["Subnets"]],
    }


KINDS = {
    "aws:elasticache/user:User": Kind(_create_user, _read_user, _delete_user),
    "aws:elasticache/subnetGroup:SubnetGroup": Kind(_create_subnets, _read_subnets, left_to_owner),
}

# Modelled only where the local Valkey runs: without it nobody could read them back.
BACKED_KINDS = {
    "aws:elasticache/serverlessCache:ServerlessCache": Kind(_create_cache, _read_cache, left_to_owner),
}
