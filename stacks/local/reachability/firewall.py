"""What a network firewall lets pass, read from its policy: named hosts, or anything at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Values = Mapping[str, Any]  # Any: plain JSON
_DROPS = {"aws:drop_established", "aws:drop_strict"}


def passed_hosts(policy: Values, groups: Sequence[Values]) -> frozenset[str] | None:
    """The only hosts that can be reached; None where the policy lets more pass than names on a list."""
    closed = (
        policy.get("statelessDefaultActions") == ["aws:forward_to_sfe"]
        and not policy.get("statelessRuleGroupReferences")
        and (policy.get("statefulEngineOptions") or {}).get("ruleOrder") == "STRICT_ORDER"
        and bool(_DROPS & set(policy.get("statefulDefaultActions") or ()))
    )
    lists = [_listed(group) for group in groups]
    if not closed or any(listed is None for listed in lists):
        return None
    return frozenset(host for listed in lists if listed for host in listed)


def _listed(group: Values) -> Sequence[str] | None:
    """The hosts of a group that is nothing but a list of names in TLS greetings."""
    rules = (group.get("ruleGroup") or {}).get("rulesSource") or {}
    listed = rules.get("rulesSourceList") or {}
    named = listed.get("generatedRulesType") == "ALLOWLIST" and listed.get("targetTypes") == ["TLS_SNI"]
    hosts: Sequence[str] = listed.get("targets") or ()
    wide = any(not host or host[0] in ".*" for host in hosts)
    return hosts if named and not wide and set(rules) == {"rulesSourceList"} and not group.get("rules") else None
