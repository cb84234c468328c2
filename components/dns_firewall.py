"""The DNS firewall: names we know are answered, everything else is blocked, and every question is recorded.

Without it the network is not isolated: the resolver looks up any name of the internet for whoever asks, and
a name can carry data out. Names under which data is smuggled, or that a machine made up, are blocked even
where they lie under a name we know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

# What to look for; only what is held for certain is blocked, because AWS's own names look odd as well.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/firewall-advanced.html
THREATS = ("DNS_TUNNELING", "DGA", "DICTIONARY_DGA")
THREAT_CONFIDENCE = "HIGH"


class DnsFirewallArgs(TypedDict):
    vpc_id: pulumi.Input[str]
    allowed_domains: Sequence[str]
    query_log_bucket_arn: pulumi.Input[str]
    query_log_bucket_ready: pulumi.Resource
    mutation_protection: bool


class DnsFirewall(Component):
    """Rule group (block threats, allow a list, block all), closed on failure, with query logging."""

    def __init__(self, name: str, args: DnsFirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        group = aws.route53.ResolverFirewallRuleGroup(f"{name}-rules", opts=self.child())
        for number, threat in enumerate(THREATS, 1):
            self._threat_rule(name, group, number, threat)
        self._rule(f"{name}-allowed", group, 100, "ALLOW", args["allowed_domains"])
        self._rule(f"{name}-blocked", group, 900, "BLOCK", ["*"])
        aws.route53.ResolverFirewallRuleGroupAssociation(
            f"{name}-association",
            firewall_rule_group_id=group.id,
            vpc_id=args["vpc_id"],
            priority=101,
            # Enabled, it also keeps a destroy from taking the rules away.
            mutation_protection="ENABLED" if args["mutation_protection"] else "DISABLED",
            opts=self.child(),
        )
        aws.route53.ResolverFirewallConfig(
            f"{name}-fail-closed",
            resource_id=args["vpc_id"],
            firewall_fail_open="DISABLED",
            opts=self.child(),
        )
        self._record_queries(name, args)
        self.register_outputs({"ruleGroupId": group.id})

    def _threat_rule(self, name: str, group: aws.route53.ResolverFirewallRuleGroup, priority: int, threat: str) -> None:
        aws.route53.ResolverFirewallRule(
            f"{name}-{threat.lower().replace('_', '-')}-rule",
            firewall_rule_group_id=group.id,
            dns_threat_protection=threat,
            confidence_threshold=THREAT_CONFIDENCE,
            priority=priority,
            action="BLOCK",
            block_response="NXDOMAIN",
            opts=self.child(),
        )

    def _rule(
        self,
        name: str,
        group: aws.route53.ResolverFirewallRuleGroup,
        priority: int,
        action: str,
        domains: Sequence[str],
    ) -> None:
        listed = aws.route53.ResolverFirewallDomainList(f"{name}-domains", domains=list(domains), opts=self.child())
        aws.route53.ResolverFirewallRule(
            f"{name}-rule",
            firewall_rule_group_id=group.id,
            firewall_domain_list_id=listed.id,
            priority=priority,
            action=action,
            block_response="NXDOMAIN" if action == "BLOCK" else None,
            # A known name may be an alias of one in a delivery network; who owns the known one decides that.
            firewall_domain_redirection_action="TRUST_REDIRECTION_DOMAIN" if action == "ALLOW" else None,
            opts=self.child(),
        )

    def _record_queries(self, name: str, args: DnsFirewallArgs) -> None:
        log = aws.route53.ResolverQueryLogConfig(
            f"{name}-query-log",
            destination_arn=args["query_log_bucket_arn"],
            opts=self.child(depends_on=[args["query_log_bucket_ready"]]),
        )
        aws.route53.ResolverQueryLogConfigAssociation(
            f"{name}-query-log-association",
            resolver_query_log_config_id=log.id,
            resource_id=args["vpc_id"],
            opts=self.child(),
        )


def allowed_domains(region: str, others: Sequence[str]) -> list[str]:
    """AWS's names in this region, and `others`. Not *.api.aws: models answer there without logging."""
    return sorted({f"*.{region}.amazonaws.com", f"*.{region}.rds.amazonaws.com", "*.cache.amazonaws.com", *others})
