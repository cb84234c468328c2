"""Ids and ARNs that AWS writes in a form of its own, for invented outputs.

The rule `arn:aws:<service>:<region>:<account>:<kind>/<id>` covers most types. Here are those where policy
documents, and the rules that judge them, depend on the exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from stacks.local.engine_graph import Json

_SHAPES: Final[Mapping[tuple[str, str], str]] = {
    (
        "aws:acmpca/certificateAuthority:CertificateAuthority",
        "arn",
    ): "arn:aws:acm-pca:{region}:{account}:certificate-authority/{short}",
    (
        "aws:acmpca/certificate:Certificate",
        "certificate",
    ): "-----BEGIN CERTIFICATE-----\n{short}\n-----END CERTIFICATE-----\n",
    ("aws:bedrock/guardrail:Guardrail", "guardrailArn"): "arn:aws:bedrock:{region}:{account}:guardrail/{short}",
    ("aws:bedrock/guardrail:Guardrail", "guardrailId"): "{short}",
    ("aws:bedrock/guardrailVersion:GuardrailVersion", "version"): "1",
    (
        "aws:bedrock/inferenceProfile:InferenceProfile",
        "arn",
    ): "arn:aws:bedrock:{region}:{account}:application-inference-profile/{short}",
    ("aws:cloudwatch/logGroup:LogGroup", "arn"): "arn:aws:logs:{region}:{account}:log-group:{id}",
    (
        "aws:elasticache/serverlessCache:ServerlessCache",
        "arn",
    ): "arn:aws:elasticache:{region}:{account}:serverlesscache:{id}",
    ("aws:ecr/repository:Repository", "repositoryUrl"): "{account}.dkr.ecr.{region}.amazonaws.com/{id}",
    ("aws:eks/cluster:Cluster", "endpoint"): "https://{SHORT}.gr7.{region}.eks.amazonaws.com",
    ("aws:elasticache/user:User", "arn"): "arn:aws:elasticache:{region}:{account}:user:{id}",
    # A part of masterUserSecrets: RDS names the secret that it makes.
    (
        "aws:rds/cluster:Cluster",
        "secretArn",
    ): "arn:aws:secretsmanager:{region}:{account}:secret:rds!cluster-{short}",
    ("aws:rds/cluster:Cluster", "arn"): "arn:aws:rds:{region}:{account}:cluster:{id}",
    ("aws:rds/cluster:Cluster", "clusterResourceId"): "cluster-{SHORT}",
    ("aws:sns/topic:Topic", "arn"): "arn:aws:sns:{region}:{account}:{id}",
    ("aws:sqs/queue:Queue", "arn"): "arn:aws:sqs:{region}:{account}:{id}",
}


def aws_shape(token: str, key: str, *, urn: str, identifier: str, region: str, account: str) -> str | None:
    """The output as AWS would write it, or None where the general rule holds."""
    shape = _SHAPES.get((token, key))
    if shape is None:
        return None
    short = hashlib.sha256(urn.encode()).hexdigest()[:12]
    return shape.format(region=region, account=account, id=identifier, short=short, SHORT=short.upper())


def aws_structure(token: str, key: str, inputs: Mapping[str, Json]) -> Json:
    """An output whose parts follow from the inputs, or None: what programs look something up in."""
    if (token, key) == ("aws:networkfirewall/firewall:Firewall", "firewallStatuses"):
        return [{"syncStates": _firewall_endpoints(inputs), "transitGatewayAttachmentSyncStates": []}]
    return None


def _firewall_endpoints(inputs: Mapping[str, Json]) -> list[Json]:
    """One endpoint a subnet. The last comes first: AWS promises no order, so nobody may rely on one."""
    subnets = [mapping["subnetId"] for mapping in inputs.get("subnetMappings") or []]
    return [
        {
            "availabilityZone": f"the zone of {subnet}",
            "attachments": [{"subnetId": subnet, "endpointId": f"vpce-{_short(subnet)}"}],
        }
        for subnet in reversed(subnets)
    ]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:17]
