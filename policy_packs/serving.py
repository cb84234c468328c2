"""Rules as Pulumi serves them: one policy a rule, mandatory, violations first, then what is unknown.

Unknown properties end in the SDK's own "can't run policy" note (setting `on_unknown: report`, the default:
`up` judges again when the values are known) or in a violation (`deny`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy import Severity as PulumiSeverity
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError

from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Judgement, Rule, StackRule
from policy_packs.view import View, plain

_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", tuple: "array", list: "array"}


def as_policies(rules: Iterable[AnyRule]) -> list[Policy]:
    return [_resource_policy(rule) if isinstance(rule, Rule) else _stack_policy(rule) for rule in rules]


def _resource_policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        if not rule.is_about(args.resource_type):
            return
        config = args.get_config()
        judgement = rule.judge(_resource(args), config)
        _report(judgement, report_violation, config)
        if judgement.not_applicable:
            args.not_applicable(judgement.not_applicable)

    return ResourceValidationPolicy(validate=validate, **_metadata(rule))


def _stack_policy(rule: StackRule) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report_violation: ReportViolation) -> None:
        config = args.get_config()
        judgement = rule.judge((_stack_resource(one) for one in args.resources), config)
        _report(judgement, report_violation, config)
        if judgement.not_applicable:
            args.not_applicable(judgement.not_applicable)

    return StackValidationPolicy(validate=validate, **_metadata(rule))


def _report(judgement: Judgement, report_violation: ReportViolation, config: Mapping[str, object]) -> None:
    for violation in judgement.violations:
        report_violation(violation.message, violation.urn or None)
    if not judgement.unclear:
        return
    if config.get("on_unknown") == "deny":
        for unclear in judgement.unclear:
            report_violation(f"{unclear.path}: not known yet, and this rule may not wait", unclear.urn or None)
    else:
        raise UnknownValueError(
            UNKNOWN_STRING_VALUE, [", ".join(_place(one.path, one.urn) for one in judgement.unclear)]
        )


def _place(path: str, urn: str) -> str:
    return f"{urn.rpartition('::')[2]}.{path}" if urn else path


def _resource(args: ResourceValidationArgs) -> Resource:
    return Resource(args.resource_type, args.name, args.urn, View(plain(args.props)))


def _stack_resource(resource: PolicyResource) -> Resource:
    joined = {key: tuple(one.urn for one in found) for key, found in resource.property_dependencies.items()}
    return Resource(resource.resource_type, resource.name, resource.urn, View(plain(resource.props)), joined)


def _metadata(rule: AnyRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "description": rule.description,
        "enforcement_level": EnforcementLevel.MANDATORY,
        "severity": PulumiSeverity(rule.severity.value),
        "framework": PolicyComplianceFramework(
            name="NIST SP 800-53", version="r5", specification=", ".join(rule.controls.nist_800_53_r5)
        ),
        "tags": list(rule.tags()),
        "remediation_steps": rule.remediation,
        "config_schema": PolicyConfigSchema(properties=_schema(rule)),
    }


def _schema(rule: AnyRule) -> dict[str, Any]:
    """The SDK has no place for a default of our own: it stands in the JSON schema, and in the rule."""
    own = {name: {"type": _JSON_TYPES[type(value)], "default": value} for name, value in rule.settings.items()}
    return {"on_unknown": {"type": "string", "enum": ["report", "deny"], "default": "report"}, **own}
