"""Load balancers, APIs, firewalls, as the rules ask for them."""

from __future__ import annotations

from typing import Any

import pulumi_aws as aws

LOGS = "arn:aws:logs:eu-central-1:111122223333:log-group"


def deploy() -> None:
    """Every subject of a rule that none of our own programs has."""
    acl = _web_acl()
    balancer, stage = _public_balancer(), _rest_api()
    for name, endpoint in {"front": balancer.arn, "api": stage.arn}.items():
        aws.wafv2.WebAclAssociation(f"{name}-acl", resource_arn=endpoint, web_acl_arn=acl.arn)
    _http_api()
    aws.ecr.RepositoryPolicy(
        "shared-images",
        repository="shared-images",
        policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:BatchGetImage", '
        '"Principal": {"AWS": "arn:aws:iam::111122223333:root"}}]}',
    )


def _web_acl() -> aws.wafv2.WebAcl:
    acl = aws.wafv2.WebAcl(
        "edge",
        scope="REGIONAL",
        default_action={"allow": {}},
        visibility_config=_seen("edge"),
        rules=[
            {
                "name": "known-bad-inputs",
                "priority": 1,
                "override_action": {"none": {}},
                "statement": {
                    "managed_rule_group_statement": {
                        "vendor_name": "AWS",
                        "name": "AWSManagedRulesKnownBadInputsRuleSet",
                    }
                },
                "visibility_config": _seen("known-bad-inputs"),
            },
            {
                "name": "flood",
                "priority": 2,
                "action": {"block": {}},
                "statement": {"rate_based_statement": {"limit": 2000, "aggregate_key_type": "IP"}},
                "visibility_config": _seen("flood"),
            },
        ],
    )
    aws.wafv2.WebAclLoggingConfiguration(
        "edge-logs",
        resource_arn=acl.arn,
        log_destination_configs=[f"{LOGS}:aws-waf-logs-edge"],
        redacted_fields=[{"single_header": {"name": "authorization"}}],
    )
    return acl


def _seen(metric: str) -> Any:  # Any: pulumi_aws has one type of this shape for the ACL and one for its rules
    return {"cloudwatch_metrics_enabled": True, "sampled_requests_enabled": False, "metric_name": metric}


def _public_balancer() -> aws.lb.LoadBalancer:
    balancer = aws.lb.LoadBalancer(
        "front",
        load_balancer_type="application",
        subnets=["subnet-1", "subnet-2"],
        security_groups=["sg-1"],
        drop_invalid_header_fields=True,
        desync_mitigation_mode="strictest",
        enable_deletion_protection=True,
        access_logs={"bucket": "load-balancer-logs", "enabled": True},
    )
    aws.lb.Listener(
        "front-http",
        load_balancer_arn=balancer.arn,
        port=80,
        protocol="HTTP",
        default_actions=[
            {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "status_code": "HTTP_301"}}
        ],
    )
    return balancer


def _rest_api() -> aws.apigateway.Stage:
    api = aws.apigateway.RestApi("chat", endpoint_configuration={"types": "REGIONAL"})
    aws.apigateway.Method(
        "ask",
        rest_api=api.id,
        resource_id=api.root_resource_id,
        http_method="POST",
        authorization="AWS_IAM",
        request_validator_id=aws.apigateway.RequestValidator("bodies", rest_api=api.id, validate_request_body=True).id,
    )
    stage = aws.apigateway.Stage(
        "live",
        rest_api=api.id,
        deployment=aws.apigateway.Deployment("first", rest_api=api.id).id,
        stage_name="live",
        client_certificate_id=aws.apigateway.ClientCertificate("backends").id,
        access_log_settings={"destination_arn": f"{LOGS}:api", "format": "$context.requestId"},
    )
    aws.apigateway.MethodSettings(
        "every-method",
        rest_api=api.id,
        stage_name=stage.stage_name,
        method_path="*/*",
        settings={"logging_level": "ERROR", "metrics_enabled": True, "throttling_rate_limit": 50},
    )
    aws.apigateway.DomainName(
        "chat-name", domain_name="chat.example.com", security_policy="SecurityPolicy_TLS13_1_3_2025_09"
    )
    return stage


def _http_api() -> None:
    api = aws.apigatewayv2.Api("tools", protocol_type="HTTP")
    aws.apigatewayv2.Route("call", api_id=api.id, route_key="POST /call", authorization_type="AWS_IAM")
    aws.apigatewayv2.Stage(
        "tools-live",
        api_id=api.id,
        access_log_settings={"destination_arn": f"{LOGS}:tools", "format": "$context.requestId"},
        default_route_settings={"throttling_rate_limit": 50, "throttling_burst_limit": 100},
    )
