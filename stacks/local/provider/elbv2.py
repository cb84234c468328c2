"""Elastic Load Balancing: load balancers, target groups, listeners, rules. No traffic flows through them locally."""

from __future__ import annotations

from stacks.local.engine_graph import Json
from stacks.local.provider.acm import held_or_stand_in
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, given, tag_list

# Attributes travel as text under dotted names.
_BALANCER_ATTRIBUTES = {
    "enableDeletionProtection": "deletion_protection.enabled",
    "idleTimeout": "idle_timeout.timeout_seconds",
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "desyncMitigationMode": "routing.http.desync_mitigation_mode",
}
_TARGET_ATTRIBUTES = {
    "deregistrationDelay": "deregistration_delay.timeout_seconds",
    "preserveClientIp": "preserve_client_ip.enabled",
}
_HEALTH = {
    "path": "HealthCheckPath",
    "protocol": "HealthCheckProtocol",
    "port": "HealthCheckPort",
    "interval": "HealthCheckIntervalSeconds",
    "timeout": "HealthCheckTimeoutSeconds",
    "healthyThreshold": "HealthyThresholdCount",
    "unhealthyThreshold": "UnhealthyThresholdCount",
}


def _text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _attributes(inputs: Inputs, names: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": name, "Value": _text(inputs[key])} for key, name in names.items() if inputs.get(key) is not None]


def _read_attributes(listed: list[dict[str, str]], inputs: Inputs, names: dict[str, str]) -> Outputs:
    found = {one["Key"]: one["Value"] for one in listed}
    return {
        key: inputs[key] if found[name] == _text(inputs[key]) else found[name]
        for key, name in names.items()
        if inputs.get(key) is not None and name in found
    }


def _log_attributes(inputs: Inputs) -> list[dict[str, str]]:
    listed = []
    for key, name in (("accessLogs", "access_logs"), ("connectionLogs", "connection_logs")):
        logs = inputs.get(key) or {}
        parts = {"s3.enabled": logs.get("enabled"), "s3.bucket": logs.get("bucket"), "s3.prefix": logs.get("prefix")}
        listed += [
            {"Key": f"{name}.{part}", "Value": _text(value)} for part, value in parts.items() if value is not None
        ]
    return listed


def _create_balancer(aws: Aws, inputs: Inputs) -> Made:
    elb = aws.client("elbv2")
    balancer = elb.create_load_balancer(
        Name=inputs["name"],
        Scheme="internal" if inputs.get("internal") else "internet-facing",
        Type=inputs.get("loadBalancerType") or "application",
        **given(Subnets=inputs.get("subnets"), SecurityGroups=inputs.get("securityGroups"), Tags=tag_list(inputs)),
    )["LoadBalancers"][0]["LoadBalancerArn"]
    attributes = [*_attributes(inputs, _BALANCER_ATTRIBUTES), *_log_attributes(inputs)]
    if attributes:
        elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=attributes)
    return Made(balancer)


def _read_balancer(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    elb = aws.client("elbv2")
    try:
        found = elb.describe_load_balancers(LoadBalancerArns=[identifier])["LoadBalancers"][0]
    except elb.exceptions.LoadBalancerNotFoundException:
        return None
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=identifier)["Attributes"]
    return {
        "arn": found["LoadBalancerArn"],
        "arnSuffix": found["LoadBalancerArn"].partition("loadbalancer/")[2],
        "name": found["LoadBalancerName"],
        "dnsName": found["DNSName"],
        "zoneId": found["CanonicalHostedZoneId"],
        "vpcId": found["VpcId"],
        "internal": found["Scheme"] == "internal",
        "loadBalancerType": found["Type"],
        "securityGroups": found.get("SecurityGroups", []),
        "subnets": [zone["SubnetId"] for zone in found["AvailabilityZones"]],
        **_read_attributes(attributes, inputs, _BALANCER_ATTRIBUTES),
    }


def _delete_balancer(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("elbv2").delete_load_balancer(LoadBalancerArn=identifier)


def _create_targets(aws: Aws, inputs: Inputs) -> Made:
    elb, health = aws.client("elbv2"), inputs.get("healthCheck") or {}
    checks = {name: health[key] for key, name in _HEALTH.items() if health.get(key) is not None}
    if health.get("matcher"):
        checks["Matcher"] = {"HttpCode": health["matcher"]}
    targets = elb.create_target_group(
        Name=inputs["name"],
        **given(
            Protocol=inputs.get("protocol"),
            ProtocolVersion=inputs.get("protocolVersion"),
            Port=inputs.get("port"),
            VpcId=inputs.get("vpcId"),
            TargetType=inputs.get("targetType"),
            Tags=tag_list(inputs),
            **checks,
        ),
    )["TargetGroups"][0]["TargetGroupArn"]
    attributes = _attributes(inputs, _TARGET_ATTRIBUTES)
    if attributes:
        elb.modify_target_group_attributes(TargetGroupArn=targets, Attributes=attributes)
    return Made(targets)


def _read_targets(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    elb = aws.client("elbv2")
    try:
        found = elb.describe_target_groups(TargetGroupArns=[identifier])["TargetGroups"][0]
    except elb.exceptions.TargetGroupNotFoundException:
        return None
    health = {key: found[name] for key, name in _HEALTH.items() if name in found}
    attributes = elb.describe_target_group_attributes(TargetGroupArn=identifier)["Attributes"]
    return {
        "arn": found["TargetGroupArn"],
        "arnSuffix": found["TargetGroupArn"].rpartition(":")[2],
        "name": found["TargetGroupName"],
        "protocol": found["Protocol"],
        "port": found["Port"],
        "vpcId": found["VpcId"],
        "targetType": found["TargetType"],
        "healthCheck": health,
        **_read_attributes(attributes, inputs, _TARGET_ATTRIBUTES),
    }


def _delete_targets(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("elbv2").delete_target_group(TargetGroupArn=identifier)


def _create_listener(aws: Aws, inputs: Inputs) -> Made:
    named = inputs.get("certificateArn")
    certificate = held_or_stand_in(aws, named) if named else None
    listener = aws.client("elbv2").create_listener(
        LoadBalancerArn=inputs["loadBalancerArn"],
        DefaultActions=[_action(action) for action in inputs["defaultActions"]],
        **given(
            Protocol=inputs.get("protocol"),
            Port=inputs.get("port"),
            SslPolicy=inputs.get("sslPolicy"),
            Certificates=[{"CertificateArn": certificate}] if certificate else None,
            AlpnPolicy=[inputs["alpnPolicy"]] if inputs.get("alpnPolicy") else None,
            Tags=tag_list(inputs),
        ),
    )["Listeners"][0]["ListenerArn"]
    return Made(listener)


def _action(action: Inputs) -> dict[str, Json]:
    fixed = action.get("fixedResponse") or {}
    return given(
        Type=action["type"],
        TargetGroupArn=action.get("targetGroupArn"),
        FixedResponseConfig=given(
            StatusCode=fixed.get("statusCode"),
            ContentType=fixed.get("contentType"),
            MessageBody=fixed.get("messageBody"),
        ),
    )


def _read_listener(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    elb = aws.client("elbv2")
    try:
        found = elb.describe_listeners(ListenerArns=[identifier])["Listeners"][0]
    except elb.exceptions.ListenerNotFoundException:
        return None
    # The certificate is not compared: where the account holds none, a stand-in has another ARN.
    return given(
        arn=found["ListenerArn"],
        loadBalancerArn=found["LoadBalancerArn"],
        protocol=found.get("Protocol"),
        port=found.get("Port"),
        sslPolicy=found.get("SslPolicy"),
        defaultActions=[
            given(type=action["Type"], targetGroupArn=action.get("TargetGroupArn"))
            for action in found["DefaultActions"]
        ],
    )


def _delete_listener(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("elbv2").delete_listener(ListenerArn=identifier)


def _create_rule(aws: Aws, inputs: Inputs) -> Made:
    rule = aws.client("elbv2").create_rule(
        ListenerArn=inputs["listenerArn"],
        Priority=int(inputs["priority"]),
        Conditions=[_condition(condition) for condition in inputs["conditions"]],
        Actions=[_action(action) for action in inputs["actions"]],
        **given(Tags=tag_list(inputs)),
    )["Rules"][0]["RuleArn"]
    return Made(rule)


def _condition(condition: Inputs) -> dict[str, Json]:
    """Paths are the one condition that our programs use; another is refused rather than dropped."""
    if set(condition) != {"pathPattern"}:
        raise ValueError(f"conditions must be pathPattern only (got {sorted(condition)})")
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": condition["pathPattern"]["values"]}}


def _read_rule(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    elb = aws.client("elbv2")
    try:
        found = elb.describe_rules(RuleArns=[identifier])["Rules"]
    except elb.exceptions.RuleNotFoundException:
        return None
    if not found:
        return None
    return {
        "arn": found[0]["RuleArn"],
        "priority": int(found[0]["Priority"]),
        "conditions": [
            {"pathPattern": {"values": condition["PathPatternConfig"]["Values"]}}
            for condition in found[0]["Conditions"]
        ],
        "actions": [
            given(type=action["Type"], targetGroupArn=action.get("TargetGroupArn")) for action in found[0]["Actions"]
        ],
    }


def _delete_rule(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("elbv2").delete_rule(RuleArn=identifier)


KINDS = {
    "aws:lb/listenerRule:ListenerRule": Kind(_create_rule, _read_rule, _delete_rule),
    "aws:lb/loadBalancer:LoadBalancer": Kind(_create_balancer, _read_balancer, _delete_balancer),
    "aws:lb/targetGroup:TargetGroup": Kind(_create_targets, _read_targets, _delete_targets),
    "aws:lb/listener:Listener": Kind(_create_listener, _read_listener, _delete_listener),
}
