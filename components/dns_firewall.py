"""The DNS firewall: names we know are answered, everything else is blocked, and every question is recorded.

Without it the network is not isolated: the resolver looks up any name of the internet for whoever asks, and
a name can carry data out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


class DnsFirewallArgs(TypedDict):
    vpc_id: pulumi.Input[str]
    allowed_domains: Sequence[str]
    query_log_bucket_arn: pulumi.Input[str]
    query_log_bucket_ready: pulumi.Resource
    mutation_protection: bool


class DnsFirewall(Component):
    """Rule group (allow a list, then block all), closed on failure, with query logging."""

    def __init__(self, name: str, args: DnsFirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        group = aws.route53.ResolverFirewallRuleGroup(f"{name}-rules", opts=self.child())
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
