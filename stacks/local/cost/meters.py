"""What each resource type is charged by: names of prices and how many units a month, while idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stacks.local.cost.prices import Prices
from stacks.local.engine_graph import Resource

MIB_PER_GIB = 1024
CPU_UNITS_PER_VCPU = 1024


@dataclass(frozen=True)
class Charge:
    """So many units of one price in a month."""

    price: str
    units: Decimal


@dataclass(frozen=True)
class Metered:
    """A resource, those it may name, and the table."""

    resource: Resource
    others: Mapping[str, Resource]
    table: Prices

    @property
    def inputs(self) -> dict[str, Any]:  # Any: plain JSON
        return self.resource.inputs

    def named(self, key: str) -> Resource:
        """The resource that an input was taken from."""
        (urn,) = self.resource.property_dependencies[key]
        return self.others[urn]

    def hours(self, price: str, units: object = 1) -> Charge:
        return Charge(price, Decimal(str(units)) * self.table.hours_per_month)


Meter = Callable[[Metered], Iterator[Charge]]


def _fargate_service(it: Metered) -> Iterator[Charge]:
    task, count = it.named("taskDefinition").inputs, Decimal(str(it.inputs["desiredCount"]))
    yield it.hours("fargate-vcpu", count * Decimal(task["cpu"]) / CPU_UNITS_PER_VCPU)
    yield it.hours("fargate-memory", count * Decimal(task["memory"]) / MIB_PER_GIB)


def _ecs_cluster(it: Metered) -> Iterator[Charge]:
    settings = {setting["name"]: setting["value"] for setting in it.inputs.get("settings", ())}
    if settings.get("containerInsights", "disabled") != "disabled":
        yield Charge("cloudwatch-metric", it.table.assumed.container_insights_metrics)


def _vpc_endpoint(it: Metered) -> Iterator[Charge]:
    if it.inputs.get("vpcEndpointType", "Gateway") != "Gateway":
        yield it.hours("interface-endpoint", len(it.inputs["subnetIds"]))


def _load_balancer(it: Metered) -> Iterator[Charge]:
    yield it.hours(f"{it.inputs.get('loadBalancerType', 'application')}-load-balancer")


def _database_cluster(it: Metered) -> Iterator[Charge]:
    yield Charge("aurora-storage", it.table.assumed.database_gb)
    if it.inputs.get("manageMasterUserPassword"):
        yield Charge("secret", Decimal(1))


def _database_instance(it: Metered) -> Iterator[Charge]:
    """Serverless ones idle at the least capacity; others are looked up by their class."""
    if it.inputs["instanceClass"] != "db.serverless":
        yield it.hours(f"instance {it.inputs['instanceClass']}")
        return
    scaling = it.named("clusterIdentifier").inputs["serverlessv2ScalingConfiguration"]
    yield it.hours("aurora-acu", scaling["minCapacity"])


def _cache(it: Metered) -> Iterator[Charge]:
    yield it.hours(f"{it.inputs['engine']}-serverless-data", it.table.assumed.cache_gb)


def _log_group(it: Metered) -> Iterator[Charge]:
    written = it.table.assumed.log_group_gb_per_month
    yield Charge("cloudwatch-logs-ingested", written)
    days = Decimal(str(it.inputs.get("retentionInDays") or 365))
    yield Charge("cloudwatch-logs-stored", (written * days / 30).quantize(Decimal("0.01")))


def _vended_log(it: Metered) -> Iterator[Charge]:
    yield Charge("vended-logs-to-s3", it.table.assumed.vended_log_gb_per_month)


def _bucket(it: Metered) -> Iterator[Charge]:
    yield Charge("s3-standard", it.table.assumed.bucket_gb)


def _images(it: Metered) -> Iterator[Charge]:
    yield Charge("ecr-storage", it.table.assumed.image_gb)


def _domains(it: Metered) -> Iterator[Charge]:
    yield Charge("dns-firewall-domain", Decimal(len(it.inputs.get("domains", ()))))


def _network_firewall(it: Metered) -> Iterator[Charge]:
    yield it.hours("network-firewall-endpoint", len(it.inputs["subnetMappings"]))


def _resolver_endpoint(it: Metered) -> Iterator[Charge]:
    yield it.hours("resolver-endpoint-address", len(it.inputs["ipAddresses"]))


GP3_IOPS_INCLUDED = 3000
GP3_THROUGHPUT_INCLUDED = 125


def _node_group(it: Metered) -> Iterator[Charge]:
    """As many as wanted at the start, of the first instance type, with their disks."""
    nodes = Decimal(str(it.inputs["scalingConfig"]["desiredSize"]))
    template = it.named("launchTemplate").inputs if "launchTemplate" in it.resource.property_dependencies else {}
    kind = (it.inputs.get("instanceTypes") or [template.get("instanceType", "of a launch template")])[0]
    yield it.hours(f"instance {kind}", nodes)
    for mapping in template.get("blockDeviceMappings", ()):
        yield from _volume(mapping["ebs"], nodes)


def _volume(disk: Mapping[str, Any], nodes: Decimal) -> Iterator[Charge]:
    """gp3: its size, and what is more than every such volume has anyway."""
    size = Decimal(str(disk["volumeSize"]))
    if disk["volumeType"] != "gp3":
        yield Charge(f"volume {disk['volumeType']}", nodes * size)
        return
    yield Charge("gp3-storage", nodes * size)
    above = {
        "gp3-iops": Decimal(str(disk.get("iops", GP3_IOPS_INCLUDED))) - GP3_IOPS_INCLUDED,
        "gp3-throughput": Decimal(str(disk.get("throughput", GP3_THROUGHPUT_INCLUDED))) - GP3_THROUGHPUT_INCLUDED,
    }
    yield from (Charge(price, nodes * units) for price, units in above.items() if units > 0)


def _model_endpoint(it: Metered) -> Iterator[Charge]:
    for variant in it.named("endpointConfigName").inputs["productionVariants"]:
        yield it.hours(f"instance {variant['instanceType']}", variant["initialInstanceCount"])


def _private_authority(it: Metered) -> Iterator[Charge]:
    """The price is by mode; a general one costs eight times as much."""
    mode = it.inputs.get("usageMode", "GENERAL_PURPOSE")
    yield Charge("private-ca-short-lived" if mode == "SHORT_LIVED_CERTIFICATE" else f"private-ca {mode}", Decimal(1))


def _scaling_policy(it: Metered) -> Iterator[Charge]:
    """Target tracking watches with alarms of its own: one to grow, one to shrink."""
    if it.inputs.get("policyType") == "TargetTrackingScaling":
        yield Charge("cloudwatch-alarm", Decimal(2))


def _each(price: str) -> Meter:
    def meter(_: Metered) -> Iterator[Charge]:
        yield Charge(price, Decimal(1))

    return meter


def _hourly(price: str) -> Meter:
    def meter(it: Metered) -> Iterator[Charge]:
        yield it.hours(price)

    return meter


METERS: Mapping[str, Meter] = {
    "aws:acmpca/certificateAuthority:CertificateAuthority": _private_authority,
    "aws:appautoscaling/policy:Policy": _scaling_policy,
    "aws:cloudwatch/dashboard:Dashboard": _each("cloudwatch-dashboard"),
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _each("cloudwatch-alarm"),
    "aws:ec2/flowLog:FlowLog": _vended_log,
    "aws:ec2/natGateway:NatGateway": _hourly("nat-gateway"),
    "aws:ec2/vpcEncryptionControl:VpcEncryptionControl": _hourly("vpc-encryption-control"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _vpc_endpoint,
    "aws:ec2transitgateway/vpcAttachment:VpcAttachment": _hourly("transit-gateway-attachment"),
    "aws:ecr/repository:Repository": _images,
    "aws:ecs/cluster:Cluster": _ecs_cluster,
    "aws:ecs/service:Service": _fargate_service,
    "aws:eks/cluster:Cluster": _hourly("eks-cluster"),
    "aws:eks/nodeGroup:NodeGroup": _node_group,
    "aws:elasticache/serverlessCache:ServerlessCache": _cache,
    "aws:kms/key:Key": _each("kms-key"),
    "aws:lb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:networkfirewall/firewall:Firewall": _network_firewall,
    "aws:rds/cluster:Cluster": _database_cluster,
    "aws:rds/clusterInstance:ClusterInstance": _database_instance,
    "aws:route53/resolverEndpoint:ResolverEndpoint": _resolver_endpoint,
    "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList": _domains,
    "aws:route53/resolverQueryLogConfig:ResolverQueryLogConfig": _vended_log,
    "aws:route53/zone:Zone": _each("hosted-zone"),
    "aws:s3/bucket:Bucket": _bucket,
    "aws:sagemaker/endpoint:Endpoint": _model_endpoint,
    "aws:secretsmanager/secret:Secret": _each("secret"),
}
