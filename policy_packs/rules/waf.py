"""WAF: what the public reaches stands behind a web ACL, whose rules are there, act, and are logged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand
from policy_packs.rules import api_gateway, load_balancing
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import UNKNOWN, View

WEB_ACL: Final = "aws:wafv2/webAcl:WebAcl"
WEB_ACL_RULE: Final = "aws:wafv2/webAclRule:WebAclRule"
GROUP_ASSOCIATION: Final = "aws:wafv2/webAclRuleGroupAssociation:WebAclRuleGroupAssociation"
RULE_GROUP: Final = "aws:wafv2/ruleGroup:RuleGroup"
ASSOCIATION: Final = "aws:wafv2/webAclAssociation:WebAclAssociation"
LOGGING: Final = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"
_IP_SET: Final = "aws:wafv2/ipSet:IpSet"
_ACTIONS: Final = ("allow", "block", "captcha", "challenge", "count")


def rules_of(stack: Stack, acl: Resource) -> tuple[View, ...]:
    """In all four forms, as one: listed, as JSON, as resources of their own, as a group joined to the ACL."""
    single = stack.related(acl, (WEB_ACL_RULE,), by="webAclArn")
    groups = stack.related(acl, (GROUP_ASSOCIATION,), by="webAclArn")
    beside = [*(one.props for one in single.certain), *(_as_rule(one) for one in groups.certain)]
    unclear = [View(UNKNOWN, "rules")] if single.is_unclear or groups.is_unclear else []
    return (*_listed_in(acl), *beside, *unclear)


def _listed_in(resource: Resource) -> tuple[View, ...]:
    if resource.type == WEB_ACL_RULE:
        return (resource.props,)
    return (
        *resource.at("rules").items(),
        *_written_in(resource.at("ruleJson")),
        *_written_in(resource.at("rulesJson")),
    )


def _written_in(text: View) -> tuple[View, ...]:
    if text.is_unknown:
        return (text,)
    try:
        rules = json.loads(text.text)
    except json.JSONDecodeError:
        return ()
    return View(_as_pulumi_names(rules), text.path).items() if isinstance(rules, list) else ()


def _as_pulumi_names(value: object) -> object:
    """`ManagedRuleGroupStatement` as `managedRuleGroupStatement`, all the way down."""
    if isinstance(value, dict):
        return {f"{name[:1].lower()}{name[1:]}": _as_pulumi_names(inner) for name, inner in value.items()}
    return [_as_pulumi_names(one) for one in value] if isinstance(value, list) else value


def _as_rule(association: Resource) -> View:
    action, group = association.at("overrideAction"), association.at("managedRuleGroup")
    override = {action.text: {}} if action.text else action.value
    return View({"statement": {"managedRuleGroupStatement": group.value}, "overrideAction": override}, "overrideAction")


def _subject(acl: Resource) -> View:
    return View(None, f"web ACL '{acl.name}'")


_NO_ACL: Final = NotApplicable("the stack has no web ACL")


def _has_rules(stack: Stack) -> Iterator[Outcome]:
    acls = stack.of_type(WEB_ACL)
    yield from () if acls else (_NO_ACL,)
    for acl in acls:
        truth = any_of(*(one.is_given() for one in rules_of(stack, acl)))
        yield from demand(truth, "has no rule", _subject(acl), acl.urn)


def _acl(*rules: object, name: str = "acl", **props: object) -> Resource:
    return Resource.example(WEB_ACL, {"scope": "REGIONAL", "rules": list(rules), **props}, name)


def _own_rule(**props: object) -> Resource:
    return Resource.example(WEB_ACL_RULE, props, "rule", webAclArn="acl")


def _joined_group(override: str | None = None, **group: object) -> Resource:
    props = {"managedRuleGroup": {**_KNOWN_BAD, **group}, "overrideAction": override}
    return Resource.example(GROUP_ASSOCIATION, props, "group", webAclArn="acl")


def _managed(override: object, **group: object) -> dict[str, object]:
    return {
        "name": "known-bad-inputs",
        "overrideAction": override,
        "statement": {"managedRuleGroupStatement": {**_KNOWN_BAD, **group}},
    }


_KNOWN_BAD: Final = {"vendorName": "AWS", "name": "AWSManagedRulesKnownBadInputsRuleSet"}
_GEO: Final = {"name": "geo", "action": {"block": {}}, "statement": {"geoMatchStatement": {"countryCodes": ["XX"]}}}
_KNOWN_BAD_AS_JSON: Final = {
    "Name": "known-bad-inputs",
    "OverrideAction": {"None": {}},
    "Statement": {
        "ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesKnownBadInputsRuleSet"},
    },
}

RULES_PRESENT = StackRule(
    name="waf-web-acl-require-rules",
    description="Every web ACL has rules, in it or beside it.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("CC6.6",), iso27001_2022=("A.8.20", "A.8.26"), nist_800_53_r5=("SC-7", "SI-4")),
    remediation="Give the web ACL rules: managed groups, a limit of requests, or rules of yours.",
    checkov=("CKV_AWS_175",),
    check=_has_rules,
    obeys={
        "listed": (_acl(_GEO),),
        "as JSON": (_acl(ruleJson=json.dumps([_KNOWN_BAD_AS_JSON])),),
        "a rule of its own": (_acl(), _own_rule(**_GEO)),
        "a group joined to it": (_acl(), _joined_group()),
    },
    breaks={
        "left out": (Resource.example(WEB_ACL),),
        "an empty list": (_acl(),),
        "JSON without a rule": (_acl(ruleJson="[]"),),
        "JSON that is none": (_acl(ruleJson="["),),
        "JSON that is no list": (_acl(ruleJson='{"Name": "geo"}'),),
        "a rule of another web ACL": (_acl(name="other"), _own_rule(**_GEO)),
        "one of two": (_acl(_GEO), _acl(name="other")),
    },
    neighbours={
        "a group of rules": (Resource.example(RULE_GROUP, {"rules": []}),),
        "a list of addresses": (Resource.example(_IP_SET, {"addresses": []}),),
    },
)


def _stops_known_bad_inputs(stack: Stack) -> Iterator[Outcome]:
    acls = stack.of_type(WEB_ACL)
    yield from () if acls else (_NO_ACL,)
    for acl in acls:
        truth = any_of(*(_stops_log4j(one) for one in rules_of(stack, acl)))
        yield from demand(truth, "lets Log4j lookups pass", _subject(acl), acl.urn)


def _stops_log4j(rule: View) -> Truth:
    group = rule.at("statement.managedRuleGroupStatement")
    return all_of(
        group.at("vendorName").equals("AWS"),
        group.at("name").equals("AWSManagedRulesKnownBadInputsRuleSet"),
        negate(rule.at("overrideAction.count").is_given()),
        negate(group.at("ruleActionOverrides").any(_lets_log4j_pass)),
        negate(group.at("excludedRules").any(_is_about_log4j)),
        negate(group.at("scopeDownStatement").is_given()),
    )


def _is_about_log4j(override: View) -> Truth:
    return override.at("name").matches("Log4JRCE.*")


def _lets_log4j_pass(override: View) -> Truth:
    return all_of(_is_about_log4j(override), negate(override.at("actionToUse.block").is_given()))


def _override(name: str, action: str) -> dict[str, object]:
    return {"name": name, "actionToUse": {action: {}}}


KNOWN_BAD_INPUTS = StackRule(
    name="waf-web-acl-require-known-bad-inputs",
    description="Every web ACL stops Log4j lookups, and what else AWS knows to be bad, in every request.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6", "CC7.1"),
        iso27001_2022=("A.8.8", "A.8.26"),
        nist_800_53_r5=("SI-3", "SI-10", "SC-7"),
        atlas=("AML.T0049",),
    ),
    remediation="Add AWSManagedRulesKnownBadInputsRuleSet of AWS with override_action none.",
    checkov=("CKV_AWS_192",),
    check=_stops_known_bad_inputs,
    obeys={
        "the managed group": (_acl(_GEO, _managed({"none": {}})),),
        "as JSON": (_acl(ruleJson=json.dumps([_KNOWN_BAD_AS_JSON])),),
        "as a rule of its own": (_acl(), _own_rule(**_managed({"none": {}}))),
        "joined to it, and AWS's default is to override nothing": (_acl(), _joined_group()),
        "another of its rules only counts": (
            _acl(_managed({"none": {}}, ruleActionOverrides=[_override("PROPFIND_METHOD", "count")])),
        ),
        "blocked by name": (_acl(_managed({"none": {}}, ruleActionOverrides=[_override("Log4JRCE_HEADER", "block")])),),
        "another of its rules is left out": (
            _acl(_managed({"none": {}}, excludedRules=[{"name": "PROPFIND_METHOD"}])),
        ),
    },
    breaks={
        "none of the rules": (_acl(_GEO),),
        "no rule at all": (_acl(),),
        "it only counts": (_acl(_managed({"count": {}})),),
        "joined, and only counts": (_acl(), _joined_group("count")),
        "its rule for Log4j only counts": (
            _acl(_managed({"none": {}}, ruleActionOverrides=[_override("Log4JRCE_BODY", "count")])),
        ),
        "its rule for Log4j is left out": (
            _acl(_managed({"none": {}}, excludedRules=[{"name": "Log4JRCE_HEADER"}, {"name": "PROPFIND_METHOD"}])),
        ),
        "for some requests only": (_acl(_managed({"none": {}}, scopeDownStatement={"byteMatchStatement": {}})),),
        "another group of AWS": (_acl(_managed({"none": {}}, name="AWSManagedRulesLinuxRuleSet")),),
        "a group of that name by somebody else": (_acl(_managed({"none": {}}, vendorName="Somebody")),),
        "in one web ACL of two": (_acl(_managed({"none": {}})), _acl(_GEO, name="other")),
    },
    neighbours={
        "a group of rules": (Resource.example(RULE_GROUP, {"rules": [_GEO]}),),
        "other groups beside it": (_acl(_managed({"none": {}}), _managed({"count": {}}, name="AWSManagedRulesLinux")),),
    },
)


def _every_rule_acts(resource: Resource) -> Iterator[Outcome]:
    for rule in _listed_in(resource):
        yield from demand(_acts(rule), "the rule matches, and nothing happens", rule)


def _acts(rule: View) -> Truth:
    own = [rule.at(f"action.{one}").is_given() for one in _ACTIONS]
    return any_of(*own, *(rule.at(f"overrideAction.{one}").is_given() for one in ("none", "count")))


RULES_ACT = Rule(
    name="waf-rule-require-action",
    description="Every rule of a web ACL or a group says what happens to the requests it matches.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("CC6.6",), iso27001_2022=("A.8.20", "A.8.26"), nist_800_53_r5=("SC-7", "SI-4")),
    remediation="Set action (block, allow, captcha, challenge, count), or override_action for a group of rules.",
    checkov=("CKV_AWS_342",),
    resource_types=(WEB_ACL, RULE_GROUP, WEB_ACL_RULE),
    check=_every_rule_acts,
    obeys={
        **{
            f"{one}": _acl({**_GEO, "action": {one: {}}}) for one in ("allow", "block", "captcha", "challenge", "count")
        },
        "what the group says": _acl(_managed({"none": {}})),
        "a group on trial": _acl(_managed({"count": {}})),
        "as JSON": _acl(ruleJson=json.dumps([_KNOWN_BAD_AS_JSON])),
        "a rule of its own": _own_rule(**_GEO),
        "in a group": Resource.example(RULE_GROUP, {"rules": [_GEO]}),
    },
    breaks={
        "left out": _acl({**_GEO, "action": None}),
        "empty": _acl({**_GEO, "action": {}}),
        "a group without a word": _acl(_managed({})),
        "one of two": _acl(_GEO, {**_GEO, "action": {}}),
        "as JSON": _acl(ruleJson=json.dumps([{"Name": "geo", "Statement": {}}])),
        "a rule of its own": _own_rule(**{**_GEO, "action": None}),
        "in a group": Resource.example(RULE_GROUP, {"rules": [{**_GEO, "action": {}}]}),
        "in a group, as JSON": Resource.example(RULE_GROUP, {"rulesJson": '[{"Name": "geo", "Action": {}}]'}),
    },
    neighbours={
        "a web ACL without rules": _acl(),
        "a list of addresses": Resource.example(_IP_SET, {"addresses": []}),
    },
)


def _is_logged(stack: Stack) -> Iterator[Outcome]:
    acls = stack.of_type(WEB_ACL)
    yield from () if acls else (_NO_ACL,)
    for acl in acls:
        related = stack.related(acl, (LOGGING,), by="resourceArn")
        logged = [one.at("logDestinationConfigs").is_given() for one in related.certain]
        truth = any_of(*logged, *([Truth.UNKNOWN] if related.is_unclear else []))
        yield from demand(truth, "what it stops and lets pass is not logged", _subject(acl), acl.urn)


def _logging(*destinations: str) -> Resource:
    return Resource.example(LOGGING, {"logDestinationConfigs": list(destinations)}, "logging", resourceArn="acl")


LOGGED = StackRule(
    name="waf-web-acl-require-logging",
    description="Every web ACL keeps a log of the requests it judges.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.8.16"), nist_800_53_r5=("AU-2", "AU-12"), atlas=("AML.M0024",)
    ),
    remediation="Add aws.wafv2.WebAclLoggingConfiguration for the web ACL; redact the headers that hold tokens.",
    checkov=("CKV2_AWS_31",),
    check=_is_logged,
    obeys={"logged": (_acl(_GEO), _logging("arn:aws:logs:eu-central-1:111122223333:log-group:aws-waf-logs-edge"))},
    breaks={
        "left out": (_acl(_GEO),),
        "to nowhere": (_acl(_GEO), _logging()),
        "another's log": (_acl(_GEO, name="other"), _logging("arn:aws:s3:::aws-waf-logs-edge")),
        "one of two": (_acl(_GEO), _acl(_GEO, name="other"), _logging("arn:aws:s3:::aws-waf-logs-edge")),
    },
    neighbours={
        "a group of rules": (Resource.example(RULE_GROUP, {"rules": [_GEO]}),),
        "the log of a web ACL elsewhere": (_logging("arn:aws:s3:::aws-waf-logs-edge"),),
    },
)


def endpoints(stack: Stack) -> tuple[Resource, ...]:
    """Those that a web ACL can stand before."""
    return stack.of_type(load_balancing.BALANCER, api_gateway.STAGE)


def is_public(stack: Stack, endpoint: Resource) -> Truth:
    if endpoint.type == api_gateway.STAGE:
        return negate(_answers_inside_only(stack, endpoint))
    reads_requests = endpoint.at("loadBalancerType").equals("application")
    return all_of(reads_requests, negate(endpoint.at("internal").equals(True)))


def _answers_inside_only(stack: Stack, stage: Resource) -> Truth:
    apis = [one for one in stack.of_type(api_gateway.REST_API) if _has_stage(stack, one, stage)]
    kinds = [one.at("endpointConfiguration.types") for one in apis]
    return any_of(*(all_of(one.is_given(), one.every(lambda kind: kind.equals("PRIVATE"))) for one in kinds))


def _has_stage(stack: Stack, api: Resource, stage: Resource) -> bool:
    return stage.urn in {one.urn for one in stack.related(api, (api_gateway.STAGE,), by="restApi").certain}


def _stands_behind_acl(stack: Stack) -> Iterator[Outcome]:
    yield from () if endpoints(stack) else (NotApplicable("nothing that a web ACL can stand before"),)
    for endpoint in endpoints(stack):
        related = stack.related(endpoint, (ASSOCIATION,), by="resourceArn")
        guarded = Truth.YES if related.certain else Truth.UNKNOWN if related.is_unclear else Truth.NO
        truth = any_of(guarded, negate(is_public(stack, endpoint)))
        subject = View(None, f"'{endpoint.name}'")
        yield from demand(truth, "is public, and no web ACL stands before it", subject, endpoint.urn)


def balancer(**props: object) -> Resource:
    return Resource.example(load_balancing.BALANCER, props, "front")


def association(endpoint: str, acl: str = "acl") -> Resource:
    return Resource.example(ASSOCIATION, {}, "association", resourceArn=endpoint, webAclArn=acl)


def rest_api(*kinds: str) -> tuple[Resource, ...]:
    """An API with one stage."""
    api = Resource.example(api_gateway.REST_API, {"endpointConfiguration": {"types": list(kinds)}}, "api")
    return api, Resource.example(api_gateway.STAGE, {"stageName": "live"}, "stage", restApi="api")


BEFORE_PUBLIC = StackRule(
    name="waf-require-web-acl-before-public-endpoints",
    description="A public application load balancer or REST API stands behind a web ACL.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.26"),
        nist_800_53_r5=("SC-7", "SI-4", "SC-5"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049", "AML.T0029"),
    ),
    remediation="Add aws.wafv2.WebAclAssociation for the endpoint's ARN, or make the endpoint private.",
    checkov=("CKV2_AWS_28", "CKV2_AWS_29"),
    check=_stands_behind_acl,
    obeys={
        "a load balancer": (balancer(), association("front")),
        "an API": (*rest_api("REGIONAL"), association("stage")),
        "a load balancer inside the network": (balancer(internal=True),),
    },
    breaks={
        "a load balancer: AWS's default is public": (balancer(),),
        "asked for by name": (balancer(internal=False, loadBalancerType="application"),),
        "an API": rest_api("REGIONAL"),
        "an API at the edge": rest_api("EDGE"),
        "an API that says nothing: AWS's default is the edge": rest_api(),
        "an API inside the network and outside": rest_api("PRIVATE", "REGIONAL"),
        "a stage of an API elsewhere": (rest_api("PRIVATE")[1],),
        "another API is private": (
            rest_api("PRIVATE")[0],
            Resource.example(api_gateway.STAGE, {}, "stage", restApi="other"),
        ),
        "the web ACL of something else": (balancer(), association("stage")),
        "one of two": (*rest_api("REGIONAL"), balancer(), association("front")),
    },
    neighbours={
        "one that opens no request": (balancer(loadBalancerType="network"),),
        "an API inside the network": rest_api("PRIVATE"),
        "an HTTP API, which knows no web ACL": (Resource.example(api_gateway.HTTP_STAGE),),
    },
)
