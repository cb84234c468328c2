"""Route 53: private zones, records, and the recording of the resolver's queries."""

from __future__ import annotations

from typing import Any

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given


def _create_zone(aws: Aws, inputs: Inputs) -> Made:
    route53, vpcs = aws.client("route53"), [_vpc(aws, vpc) for vpc in inputs.get("vpcs") or []]
    zone = route53.create_hosted_zone(
        Name=inputs["name"],
        # A zone of one name may exist many times; the reference tells the calls apart.
        CallerReference=f"{inputs['name']}-{len(route53.list_hosted_zones()['HostedZones'])}",
        HostedZoneConfig={"Comment": inputs.get("comment") or "Managed by Pulumi", "PrivateZone": bool(vpcs)},
        **given(VPC=vpcs[0] if vpcs else None),
    )["HostedZone"]["Id"].rpartition("/")[2]
    for vpc in vpcs[1:]:
        route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=vpc)
    return Made(zone)


def _vpc(aws: Aws, vpc: Inputs) -> dict[str, str]:
    return {"VPCId": vpc["vpcId"], "VPCRegion": vpc.get("vpcRegion") or aws.region}


def _read_zone(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    route53 = aws.client("route53")
    try:
        found = route53.get_hosted_zone(Id=identifier)
    except route53.exceptions.NoSuchHostedZone:
        return None
    return {
        "arn": f"arn:aws:route53:::hostedzone/{identifier}",
        "zoneId": identifier,
        "name": found["HostedZone"]["Name"].removesuffix("."),
        "nameServers": found.get("DelegationSet", {}).get("NameServers", []),
        "vpcs": [{"vpcId": vpc["VPCId"]} for vpc in found.get("VPCs", [])],
    }


def _delete_zone(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("route53").delete_hosted_zone(Id=identifier)


def _create_record(aws: Aws, inputs: Inputs) -> Made:
    _change(aws.client("route53"), "CREATE", inputs)
    return Made(f"{inputs['zoneId']}_{inputs['name']}_{inputs['type']}")


def _change(route53: Any, action: str, inputs: Inputs) -> None:
    alias = (inputs.get("aliases") or [None])[0]
    target = alias and {
        "DNSName": alias["name"],
        "HostedZoneId": alias["zoneId"],
        "EvaluateTargetHealth": bool(alias.get("evaluateTargetHealth")),
    }
    record: dict[str, Json] = given(
        Name=inputs["name"],
        Type=inputs["type"],
        TTL=inputs.get("ttl"),
        ResourceRecords=[{"Value": value} for value in inputs.get("records") or []],
        AliasTarget=target,
    )
    changes = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    route53.change_resource_record_sets(HostedZoneId=inputs["zoneId"], ChangeBatch=changes)


def _read_record(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    zone, name, kind = identifier.split("_", 2)
    pages = aws.client("route53").get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    for record in (record for page in pages for record in page["ResourceRecordSets"]):
        if (record["Name"].removesuffix("."), record["Type"]) == (name.removesuffix("."), kind):
            return given(
                fqdn=record["Name"].removesuffix("."),
                type=kind,
                ttl=record.get("TTL"),
                records=[one["Value"] for one in record.get("ResourceRecords", [])],
            )
    return None


def _delete_record(aws: Aws, identifier: str, inputs: Inputs) -> None:
    _change(aws.client("route53"), "DELETE", inputs)


def _create_query_log(aws: Aws, inputs: Inputs) -> Made:
    made = aws.client("route53resolver").create_resolver_query_log_config(
        Name=inputs["name"], DestinationArn=inputs["destinationArn"], CreatorRequestId=inputs["name"]
    )
    return Made(made["ResolverQueryLogConfig"]["Id"])


def _read_query_log(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    resolver = aws.client("route53resolver")
    try:
        found = resolver.get_resolver_query_log_config(ResolverQueryLogConfigId=identifier)["ResolverQueryLogConfig"]
    except resolver.exceptions.ResourceNotFoundException:
        return None
    return {
        "arn": found["Arn"],
        "name": found["Name"],
        "destinationArn": found["DestinationArn"],
        "ownerId": found["OwnerId"],
        "shareStatus": found["ShareStatus"],
    }


def _associate_query_log(aws: Aws, inputs: Inputs) -> Made:
    made = aws.client("route53resolver").associate_resolver_query_log_config(
        ResolverQueryLogConfigId=inputs["resolverQueryLogConfigId"], ResourceId=inputs["resourceId"]
    )
    return Made(made["ResolverQueryLogConfigAssociation"]["Id"])


def _read_query_log_association(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    resolver = aws.client("route53resolver")
    try:
        found = resolver.get_resolver_query_log_config_association(ResolverQueryLogConfigAssociationId=identifier)[
            "ResolverQueryLogConfigAssociation"
        ]
    except resolver.exceptions.ResourceNotFoundException:
        return None
    return {"resolverQueryLogConfigId": found["ResolverQueryLogConfigId"], "resourceId": found["ResourceId"]}


def _keep(aws: Aws, identifier: str, inputs: Inputs) -> None:
    """moto has no call to remove a query log configuration; it ends with the emulator."""


KINDS = {
    "aws:route53/zone:Zone": Kind(_create_zone, _read_zone, _delete_zone),
    "aws:route53/record:Record": Kind(_create_record, _read_record, _delete_record),
    "aws:route53/resolverQueryLogConfig:ResolverQueryLogConfig": Kind(_create_query_log, _read_query_log, _keep),
    "aws:route53/resolverQueryLogConfigAssociation:ResolverQueryLogConfigAssociation": Kind(
        _associate_query_log, _read_query_log_association, _keep
    ),
}
