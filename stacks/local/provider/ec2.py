"""EC2 networking: VPC, subnets, routes, security groups, network ACLs, endpoints, flow logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import ClientError

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, left_to_owner, tag_list, tag_map

_ALL = "-1"
_PROTOCOL_NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1", "all": "-1"}
_DEFAULT_ENTRY = 32767  # the entry that denies the rest; it cannot be removed


def _tagged(kind: str, inputs: Inputs) -> list[dict[str, Json]]:
    tags = tag_list(inputs)
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


def _described(find: Any) -> Any:
    """EC2 says "not found" in one error code per resource type."""
    try:
        return find()
    except ClientError as error:
        if ".NotFound" in error.response["Error"]["Code"] or "NotFound" in error.response["Error"]["Code"]:
            return None
        raise


def _filters(**wanted: str) -> list[dict[str, Json]]:
    return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in wanted.items()]


# --- VPC


def _create_vpc(aws: Aws, inputs: Inputs) -> Made:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=inputs["cidrBlock"], TagSpecifications=_tagged("vpc", inputs))["Vpc"]["VpcId"]
    for key, name in (("enableDnsSupport", "EnableDnsSupport"), ("enableDnsHostnames", "EnableDnsHostnames")):
        if key in inputs:
            ec2.modify_vpc_attribute(VpcId=vpc, **{name: {"Value": inputs[key]}})
    return Made(vpc)


def _read_vpc(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    ec2 = aws.client("ec2")
    found = _described(lambda: ec2.describe_vpcs(VpcIds=[identifier])["Vpcs"])
    if not found:
        return None
    vpc = found[0]

    def attribute(name: str) -> Json:
        answer = ec2.describe_vpc_attribute(VpcId=identifier, Attribute=name)
        return answer[name[:1].upper() + name[1:]]["Value"]

    table = ec2.describe_route_tables(Filters=[*_filters(vpc_id=identifier), *_main()])["RouteTables"][0]
    group = ec2.describe_security_groups(Filters=_filters(vpc_id=identifier, group_name="default"))["SecurityGroups"]
    acl = ec2.describe_network_acls(Filters=_filters(vpc_id=identifier, default="true"))["NetworkAcls"]
    return {
        "arn": aws.arn("ec2", f"vpc/{identifier}"),
        "cidrBlock": vpc["CidrBlock"],
        "ownerId": vpc["OwnerId"],
        "enableDnsSupport": attribute("enableDnsSupport"),
        "enableDnsHostnames": attribute("enableDnsHostnames"),
        "mainRouteTableId": table["RouteTableId"],
        "defaultRouteTableId": table["RouteTableId"],
        "defaultSecurityGroupId": group[0]["GroupId"],
        "defaultNetworkAclId": acl[0]["NetworkAclId"],
        "tagsAll": tag_map(vpc.get("Tags")),
        "region": aws.region,
    }


def _main() -> list[dict[str, Json]]:
    return [{"Name": "association.main", "Values": ["true"]}]


def _delete_vpc(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ec2").delete_vpc(VpcId=identifier)


# --- subnets and routes


def _create_subnet(aws: Aws, inputs: Inputs) -> Made:
    ec2 = aws.client("ec2")
    subnet = ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        **given(
            AvailabilityZone=inputs.get("availabilityZone"),
            AvailabilityZoneId=inputs.get("availabilityZoneId"),
            TagSpecifications=_tagged("subnet", inputs),
        ),
    )["Subnet"]["SubnetId"]
    if "mapPublicIpOnLaunch" in inputs:
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": inputs["mapPublicIpOnLaunch"]})
    return Made(subnet)


def _read_subnet(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _described(lambda: aws.client("ec2").describe_subnets(SubnetIds=[identifier])["Subnets"])
    if not found:
        return None
    subnet = found[0]
    return {
        "arn": subnet["SubnetArn"],
        "vpcId": subnet["VpcId"],
        "cidrBlock": subnet["CidrBlock"],
        "availabilityZone": subnet["AvailabilityZone"],
        "availabilityZoneId": subnet["AvailabilityZoneId"],
        "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
        "ownerId": subnet["OwnerId"],
        "tagsAll": tag_map(subnet.get("Tags")),
    }


def _delete_subnet(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ec2").delete_subnet(SubnetId=identifier)


def _create_route_table(aws: Aws, inputs: Inputs) -> Made:
    ec2 = aws.client("ec2")
    tags = _tagged("route-table", inputs)
    table = ec2.create_route_table(VpcId=inputs["vpcId"], TagSpecifications=tags)["RouteTable"]["RouteTableId"]
    _put_routes(ec2, table, inputs)
    return Made(table)


def _put_routes(ec2: Any, table: str, inputs: Inputs) -> None:
    for route in inputs.get("routes") or []:
        ec2.create_route(
            RouteTableId=table,
            **given(
                DestinationCidrBlock=route.get("cidrBlock"),
                GatewayId=route.get("gatewayId"),
                NatGatewayId=route.get("natGatewayId"),
                VpcEndpointId=route.get("vpcEndpointId"),
                TransitGatewayId=route.get("transitGatewayId"),
            ),
        )


def _read_route_table(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _described(lambda: aws.client("ec2").describe_route_tables(RouteTableIds=[identifier])["RouteTables"])
    if not found:
        return None
    table = found[0]
    # The route within the VPC is always there, and an endpoint's route belongs to the endpoint.
    routes = [
        given(cidrBlock=route.get("DestinationCidrBlock"), gatewayId=route.get("GatewayId"))
        for route in table["Routes"]
        if route.get("GatewayId") != "local" and not str(route.get("GatewayId", "")).startswith("vpce-")
    ]
    return {
        "arn": aws.arn("ec2", f"route-table/{identifier}"),
        "vpcId": table["VpcId"],
        "ownerId": table.get("OwnerId", aws.account),
        "routes": routes,
        "tagsAll": tag_map(table.get("Tags")),
    }


def _delete_route_table(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ec2").delete_route_table(RouteTableId=identifier)


def _adopt_route_table(aws: Aws, inputs: Inputs) -> Made:
    ec2, table = aws.client("ec2"), inputs["defaultRouteTableId"]
    for route in ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]:
        if route.get("GatewayId") != "local":
            ec2.delete_route(RouteTableId=table, DestinationCidrBlock=route["DestinationCidrBlock"])
    _put_routes(ec2, table, inputs)
    return Made(table)


def _associate(aws: Aws, inputs: Inputs) -> Made:
    answer = aws.client("ec2").associate_route_table(RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"])
    return Made(answer["AssociationId"])


def _read_association(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    wanted = [{"Name": "association.route-table-association-id", "Values": [identifier]}]
    for table in aws.client("ec2").describe_route_tables(Filters=wanted)["RouteTables"]:
        for association in table["Associations"]:
            if association["RouteTableAssociationId"] == identifier:
                return {"routeTableId": table["RouteTableId"], "subnetId": association["SubnetId"]}
    return None


def _disassociate(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ec2").disassociate_route_table(AssociationId=identifier)


# --- security groups


def _create_group(aws: Aws, inputs: Inputs) -> Made:
    ec2 = aws.client("ec2")
    group = ec2.create_security_group(
        GroupName=inputs["name"],
        Description=inputs.get("description") or "Managed by Pulumi",
        **given(VpcId=inputs.get("vpcId"), TagSpecifications=_tagged("security-group", inputs)),
    )["GroupId"]
    _replace_rules(ec2, group, inputs)
    return Made(group)


def _replace_rules(ec2: Any, group: str, inputs: Inputs) -> None:
    """The provider removes the rules that AWS gives a new group; only the declared ones hold."""
    present = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    if present["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=present["IpPermissions"])
    if present["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=present["IpPermissionsEgress"])
    if inputs.get("ingress"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=_permissions(inputs["ingress"], group))
    if inputs.get("egress"):
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=_permissions(inputs["egress"], group))


def _permissions(rules: Iterable[Inputs], group: str) -> list[dict[str, Json]]:
    return [_permission(rule, group) for rule in rules]


def _permission(rule: Inputs, group: str) -> dict[str, Json]:
    text = {"Description": rule["description"]} if rule.get("description") else {}
    others = [*(rule.get("securityGroups") or []), *([group] if rule.get("self") else [])]
    everything = rule["protocol"] in (_ALL, "all")
    return given(
        IpProtocol=_ALL if everything else rule["protocol"],
        IpRanges=[{"CidrIp": cidr, **text} for cidr in rule.get("cidrBlocks") or []],
        Ipv6Ranges=[{"CidrIpv6": cidr, **text} for cidr in rule.get("ipv6CidrBlocks") or []],
        PrefixListIds=[{"PrefixListId": one, **text} for one in rule.get("prefixListIds") or []],
        UserIdGroupPairs=[{"GroupId": one, **text} for one in others],
    ) | ({} if everything else {"FromPort": rule["fromPort"], "ToPort": rule["toPort"]})


def _read_group(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _described(lambda: aws.client("ec2").describe_security_groups(GroupIds=[identifier])["SecurityGroups"])
    if not found:
        return None
    group = found[0]
    outputs = {
        "arn": aws.arn("ec2", f"security-group/{identifier}"),
        "vpcId": group["VpcId"],
        "name": group["GroupName"],
        "description": group["Description"],
        "ownerId": group["OwnerId"],
        "tagsAll": tag_map(group.get("Tags")),
    }
    for key, name in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        if key in inputs:
            outputs[key] = [_rule(permission) for permission in group[name]]
    return outputs


def _rule(permission: dict[str, Json]) -> dict[str, Json]:
    ports = {"fromPort": permission["FromPort"], "toPort": permission["ToPort"]} if "FromPort" in permission else {}
    cidrs = [one["CidrIp"] for one in permission.get("IpRanges", [])]
    return {"protocol": permission["IpProtocol"], **ports, **given(cidrBlocks=cidrs)}


def _delete_group(aws: Aws, identifier: str, inputs: Inputs) -> None:
    ec2 = aws.client("ec2")
    _replace_rules(ec2, identifier, {})
    ec2.delete_security_group(GroupId=identifier)


def _adopt_group(aws: Aws, inputs: Inputs) -> Made:
    ec2 = aws.client("ec2")
    found = ec2.describe_security_groups(Filters=_filters(vpc_id=inputs["vpcId"], group_name="default"))
    group = found["SecurityGroups"][0]["GroupId"]
    _replace_rules(ec2, group, inputs)
    return Made(group)


def _security_group_rule(direction: str) -> Kind:
    """`aws.vpc.SecurityGroupIngressRule` and its egress twin: one rule, one id."""

    def create(aws: Aws, inputs: Inputs) -> Made:
        authorize = getattr(aws.client("ec2"), f"authorize_security_group_{direction}")
        answer = authorize(GroupId=inputs["securityGroupId"], IpPermissions=[_single_permission(inputs)])
        return Made(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
        revoke = getattr(aws.client("ec2"), f"revoke_security_group_{direction}")
        revoke(GroupId=inputs["securityGroupId"], SecurityGroupRuleIds=[identifier])

    return Kind(create, _read_rule, delete)


def _single_permission(inputs: Inputs) -> dict[str, Json]:
    text = {"Description": inputs["description"]} if inputs.get("description") else {}
    other = inputs.get("referencedSecurityGroupId")
    ports = {} if inputs["ipProtocol"] == _ALL else {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
    return ports | given(
        IpProtocol=inputs["ipProtocol"],
        IpRanges=[{"CidrIp": inputs["cidrIpv4"], **text}] if inputs.get("cidrIpv4") else None,
        Ipv6Ranges=[{"CidrIpv6": inputs["cidrIpv6"], **text}] if inputs.get("cidrIpv6") else None,
        PrefixListIds=[{"PrefixListId": inputs["prefixListId"], **text}] if inputs.get("prefixListId") else None,
        UserIdGroupPairs=[{"GroupId": other, **text}] if other else None,
    )


def _read_rule(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    ec2 = aws.client("ec2")
    found = _described(
        lambda: ec2.describe_security_group_rules(SecurityGroupRuleIds=[identifier])["SecurityGroupRules"]
    )
    if not found:
        return None
    rule = found[0]
    # Descriptions are not compared: moto drops them on rules that name a group or a prefix list.
    return given(
        arn=aws.arn("ec2", f"security-group-rule/{identifier}"),
        securityGroupRuleId=identifier,
        securityGroupId=rule["GroupId"],
        ipProtocol=rule["IpProtocol"],
        fromPort=rule.get("FromPort"),
        toPort=rule.get("ToPort"),
        cidrIpv4=rule.get("CidrIpv4"),
        prefixListId=rule.get("PrefixListId"),
        referencedSecurityGroupId=rule.get("ReferencedGroupInfo", {}).get("GroupId"),
    )


# --- network ACLs


def _create_acl(aws: Aws, inputs: Inputs) -> Made:
    ec2 = aws.client("ec2")
    tags = _tagged("network-acl", inputs)
    acl = ec2.create_network_acl(VpcId=inputs["vpcId"], TagSpecifications=tags)["NetworkAcl"]["NetworkAclId"]
    _replace_entries(ec2, acl, inputs)
    _attach_subnets(ec2, acl, inputs.get("subnetIds") or [])
    return Made(acl)


def _replace_entries(ec2: Any, acl: str, inputs: Inputs) -> None:
    for entry in ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]:
        if entry["RuleNumber"] != _DEFAULT_ENTRY:
            ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=entry["RuleNumber"], Egress=entry["Egress"])
    for egress, key in ((False, "ingress"), (True, "egress")):
        for rule in inputs.get(key) or []:
            _create_entry(ec2, acl, rule, egress=egress)


def _create_entry(ec2: Any, acl: str, rule: Inputs, *, egress: bool) -> None:
    protocol = str(rule["protocol"])
    ec2.create_network_acl_entry(
        NetworkAclId=acl,
        RuleNumber=rule["ruleNo"],
        Protocol=_PROTOCOL_NUMBERS.get(protocol, protocol),
        RuleAction=rule["action"],
        Egress=egress,
        PortRange={"From": rule["fromPort"], "To": rule["toPort"]},
        **given(CidrBlock=rule.get("cidrBlock"), Ipv6CidrBlock=rule.get("ipv6CidrBlock")),
    )


def _attach_subnets(ec2: Any, acl: str, subnets: list[str]) -> None:
    for subnet in subnets:
        current = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])
        for association in current["NetworkAcls"][0]["Associations"]:
            if association["SubnetId"] == subnet:
                ec2.replace_network_acl_association(
                    AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
                )


def _read_acl(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = _described(lambda: aws.client("ec2").describe_network_acls(NetworkAclIds=[identifier])["NetworkAcls"])
    if not found:
        return None
    acl = found[0]
    outputs = {
        "arn": aws.arn("ec2", f"network-acl/{identifier}"),
        "vpcId": acl["VpcId"],
        "ownerId": acl.get("OwnerId", aws.account),
        "tagsAll": tag_map(acl.get("Tags")),
    }
    if "subnetIds" in inputs:
        outputs["subnetIds"] = [association["SubnetId"] for association in acl["Associations"]]
    for egress, key in ((False, "ingress"), (True, "egress")):
        if key in inputs:
            outputs[key] = _entries(acl["Entries"], egress=egress)
    return outputs


def _entries(entries: list[dict[str, Json]], *, egress: bool) -> list[dict[str, Json]]:
    own = [one for one in entries if one["Egress"] is egress and one["RuleNumber"] != _DEFAULT_ENTRY]
    return [
        {
            "ruleNo": one["RuleNumber"],
            "action": one["RuleAction"],
            "cidrBlock": one["CidrBlock"],
            "fromPort": one["PortRange"]["From"],
            "toPort": one["PortRange"]["To"],
        }
        for one in sorted(own, key=lambda one: int(one["RuleNumber"]))
    ]


def _delete_acl(aws: Aws, identifier: str, inputs: Inputs) -> None:
    ec2 = aws.client("ec2")
    acl = ec2.describe_network_acls(NetworkAclIds=[identifier])["NetworkAcls"][0]
    default = ec2.describe_network_acls(Filters=_filters(vpc_id=acl["VpcId"], default="true"))["NetworkAcls"][0]
    _attach_subnets(ec2, default["NetworkAclId"], [one["SubnetId"] for one in acl["Associations"]])
    ec2.delete_network_acl(NetworkAclId=identifier)


def _adopt_acl(aws: Aws, inputs: Inputs) -> Made:
    ec2, acl = aws.client("ec2"), inputs["defaultNetworkAclId"]
    _replace_entries(ec2, acl, inputs)
    return Made(acl)


# --- endpoints and flow logs


def _create_endpoint(aws: Aws, inputs: Inputs) -> Made:
    endpoint = aws.client("ec2").create_vpc_endpoint(
        VpcId=inputs["vpcId"],
        ServiceName=inputs["serviceName"],
        VpcEndpointType=inputs.get("vpcEndpointType") or "Gateway",
        **given(
            PolicyDocument=inputs.get("policy"),
            SubnetIds=inputs.get("subnetIds"),
            SecurityGroupIds=inputs.get("securityGroupIds"),
            RouteTableIds=inputs.get("routeTableIds"),
            PrivateDnsEnabled=inputs.get("privateDnsEnabled"),
            TagSpecifications=_tagged("vpc-endpoint", inputs),
        ),
    )["VpcEndpoint"]
    return Made(endpoint["VpcEndpointId"])


def _read_endpoint(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    ec2 = aws.client("ec2")
    found = _described(lambda: ec2.describe_vpc_endpoints(VpcEndpointIds=[identifier])["VpcEndpoints"])
    if not found or found[0]["State"] == "deleted":
        return None
    endpoint = found[0]
    lists = ec2.describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [endpoint["ServiceName"]]}]
    )["PrefixLists"]
    outputs = given(
        arn=aws.arn("ec2", f"vpc-endpoint/{identifier}"),
        vpcId=endpoint["VpcId"],
        serviceName=endpoint["ServiceName"],
        vpcEndpointType=endpoint["VpcEndpointType"],
        state=endpoint["State"],
        ownerId=endpoint.get("OwnerId", aws.account),
        prefixListId=lists[0]["PrefixListId"] if lists else None,
        policy=endpoint.get("PolicyDocument"),
        subnetIds=endpoint.get("SubnetIds"),
        routeTableIds=endpoint.get("RouteTableIds"),
        securityGroupIds=[group["GroupId"] for group in endpoint.get("Groups", [])],
        networkInterfaceIds=endpoint.get("NetworkInterfaceIds"),
        dnsEntries=[
            {"dnsName": entry["DnsName"], "hostedZoneId": entry.get("HostedZoneId", "")}
            for entry in endpoint.get("DnsEntries", [])
        ],
        tagsAll=tag_map(endpoint.get("Tags")),
    )
    if "privateDnsEnabled" in inputs:
        outputs["privateDnsEnabled"] = endpoint["PrivateDnsEnabled"]
    return outputs


def _delete_endpoint(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[identifier])


def _create_flow_log(aws: Aws, inputs: Inputs) -> Made:
    kinds = {"vpcId": "VPC", "subnetId": "Subnet", "eniId": "NetworkInterface"}
    key = next(key for key in kinds if inputs.get(key))
    answer = aws.client("ec2").create_flow_logs(
        ResourceIds=[inputs[key]],
        ResourceType=kinds[key],
        TrafficType=inputs.get("trafficType") or "ALL",
        **given(
            LogDestinationType=inputs.get("logDestinationType"),
            LogDestination=inputs.get("logDestination"),
            DeliverLogsPermissionArn=inputs.get("iamRoleArn"),
            LogFormat=inputs.get("logFormat"),
            MaxAggregationInterval=inputs.get("maxAggregationInterval"),
            TagSpecifications=_tagged("vpc-flow-log", inputs),
        ),
    )
    if answer.get("Unsuccessful"):
        raise ValueError(answer["Unsuccessful"][0]["Error"]["Message"])
    return Made(answer["FlowLogIds"][0])


def _read_flow_log(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("ec2").describe_flow_logs(FlowLogIds=[identifier])["FlowLogs"]
    if not found:
        return None
    log = found[0]
    # moto loses DestinationOptions (file format, partitions): not compared.
    return given(
        arn=aws.arn("ec2", f"vpc-flow-log/{identifier}"),
        trafficType=log["TrafficType"],
        logDestinationType=log["LogDestinationType"],
        logDestination=log.get("LogDestination"),
        logFormat=log.get("LogFormat"),
        maxAggregationInterval=log.get("MaxAggregationInterval"),
        tagsAll=tag_map(log.get("Tags")),
    )


def _delete_flow_log(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("ec2").delete_flow_logs(FlowLogIds=[identifier])


# --- what programs ask of a network that exists already


def _vpc(aws: Aws, arguments: Inputs) -> Outputs:
    found = _read_vpc(aws, arguments["id"], arguments)
    if found is None:
        raise LookupError(f"there is no VPC {arguments['id']}")
    return {"id": arguments["id"], **found}


def _subnet(aws: Aws, arguments: Inputs) -> Outputs:
    found = _read_subnet(aws, arguments["id"], arguments)
    if found is None:
        raise LookupError(f"there is no subnet {arguments['id']}")
    return {"id": arguments["id"], **found}


def _table(aws: Aws, arguments: Inputs) -> Outputs:
    """With the route within the VPC, as AWS shows it; whoever asks has to know it."""
    identifier = arguments["routeTableId"]
    tables = _described(lambda: aws.client("ec2").describe_route_tables(RouteTableIds=[identifier])["RouteTables"])
    if not tables:
        raise LookupError(f"there is no route table {identifier}")
    table = tables[0]
    return {
        "id": identifier,
        "routeTableId": identifier,
        "vpcId": table["VpcId"],
        "routes": [_existing_route(route) for route in table["Routes"]],
        "associations": [
            {
                "main": bool(one.get("Main")),
                "routeTableAssociationId": one["RouteTableAssociationId"],
                "routeTableId": identifier,
                "subnetId": one.get("SubnetId", ""),
                "gatewayId": one.get("GatewayId", ""),
            }
            for one in table["Associations"]
        ],
    }


_ROUTE_KEYS = {
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
    "carrierGatewayId": "CarrierGatewayId",
    "coreNetworkArn": "CoreNetworkArn",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "gatewayId": "GatewayId",
    "instanceId": "InstanceId",
    "localGatewayId": "LocalGatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "odbNetworkArn": "OdbNetworkArn",
    "transitGatewayId": "TransitGatewayId",
    "vpcEndpointId": "VpcEndpointId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}


def _existing_route(route: Inputs) -> Outputs:
    return {key: route.get(name) or "" for key, name in _ROUTE_KEYS.items()}


FUNCTIONS: dict[str, Callable[[Aws, Inputs], Outputs]] = {
    "aws:ec2/getVpc:getVpc": _vpc,
    "aws:ec2/getSubnet:getSubnet": _subnet,
    "aws:ec2/getRouteTable:getRouteTable": _table,
}

KINDS = {
    "aws:ec2/vpc:Vpc": Kind(_create_vpc, _read_vpc, _delete_vpc),
    "aws:ec2/subnet:Subnet": Kind(_create_subnet, _read_subnet, _delete_subnet),
    "aws:ec2/routeTable:RouteTable": Kind(_create_route_table, _read_route_table, _delete_route_table),
    "aws:ec2/defaultRouteTable:DefaultRouteTable": Kind(_adopt_route_table, _read_route_table, left_to_owner),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(_associate, _read_association, _disassociate),
    "aws:ec2/securityGroup:SecurityGroup": Kind(_create_group, _read_group, _delete_group),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Kind(_adopt_group, _read_group, left_to_owner),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _security_group_rule("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _security_group_rule("egress"),
    "aws:ec2/networkAcl:NetworkAcl": Kind(_create_acl, _read_acl, _delete_acl),
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": Kind(_adopt_acl, _read_acl, left_to_owner),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(_create_endpoint, _read_endpoint, _delete_endpoint),
    "aws:ec2/flowLog:FlowLog": Kind(_create_flow_log, _read_flow_log, _delete_flow_log),
}
