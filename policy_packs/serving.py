"""Rules as Pulumi serves them: one policy a rule, mandatory, violations first, then what is unknown.

Unknown properties end in the SDK's own "can't run policy" note (setting `on_unknown: report`, the default:
`up` judges again when the values are known) or in a violation (`deny`). What is exempted is named as Pulumi
names what does not apply. A remedy runs only where the user sets a policy's enforcement level to `remediate`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
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

from policy_packs.decoding import share_decoding
from policy_packs.exemption import SCHEMA, Clock, today_utc
from policy_packs.remediation import REMEDIES, Remedy
from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Judgement, Rule, StackRule
from policy_packs.view import View, plain

_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", tuple: "array", list: "array"}


def as_policies(rules: Iterable[AnyRule], clock: Clock = today_utc) -> list[Policy]:
    """Every rule, and beside a rule about the whole stack, which Pulumi cannot remedy, its remedy."""
    share_decoding()
    reading = _Reading()
    return [policy for rule in rules for policy in _policies(rule, clock, reading)]


class _Reading(threading.local):
    """The resources of a stack, read once for all the rules that are asked about it one after the other.

    Each rule is asked once a stack: whoever comes again is asked about another one.
    """

    def __init__(self) -> None:
        self._urns: list[str] = []
        self._resources: tuple[Resource, ...] = ()
        self._asked: set[str] = set()

    def by(self, rule: str, args: StackValidationArgs) -> tuple[Resource, ...]:
        urns = [one.urn for one in args.resources]
        if rule in self._asked or urns != self._urns:
            self._urns, self._asked = urns, set()
            self._resources = tuple(_stack_resource(one) for one in args.resources)
        self._asked.add(rule)
        return self._resources


def _policies(rule: AnyRule, clock: Clock, reading: _Reading) -> Iterator[Policy]:
    remedy = REMEDIES.get(rule.name)
    if isinstance(rule, Rule):
        yield _resource_policy(rule, remedy, clock)
        return
    yield _stack_policy(rule, clock, reading)
    if remedy is not None:
        yield _remedy_policy(rule, remedy)


def _resource_policy(rule: Rule, remedy: Remedy | None, clock: Clock) -> ResourceValidationPolicy:
    def judged(args: ResourceValidationArgs) -> Judgement:
        return rule.judge(_resource(args), _settings(rule, args), clock)

    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        if rule.is_about(args.resource_type):
            judgement = judged(args)
            _report(judgement, report_violation, _settings(rule, args), args.urn)
            _mention(judgement, args)

    def remediate(args: ResourceValidationArgs) -> Any:  # Pulumi's hint leaves out what its own code takes
        if remedy is None or not remedy.is_for(args.resource_type) or not judged(args).violations:
            return None
        return args.props if remedy.apply(args.props, _settings(rule, args)) else None

    return ResourceValidationPolicy(
        validate=validate,
        remediate=remediate if remedy else None,
        config_schema=PolicyConfigSchema(properties=_schema(rule)),
        **_metadata(rule),
    )


def _stack_policy(rule: StackRule, clock: Clock, reading: _Reading) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report_violation: ReportViolation) -> None:
        judgement = rule.judge(reading.by(rule.name, args), _settings(rule, args), clock)
        _report(judgement, report_violation, _settings(rule, args))
        _mention(judgement, args)

    return StackValidationPolicy(
        validate=validate, config_schema=PolicyConfigSchema(properties=_schema(rule)), **_metadata(rule)
    )


def _remedy_policy(rule: StackRule, remedy: Remedy) -> ResourceValidationPolicy:
    """It judges nothing: whatever it leaves as it is, the rule still reports."""

    def validate(_args: ResourceValidationArgs, _report_violation: ReportViolation) -> None:
        """Pulumi would otherwise say of every resource that this policy does not apply."""

    def remediate(args: ResourceValidationArgs) -> Any:  # Pulumi's hint leaves out what its own code takes
        is_changed = remedy.is_for(args.resource_type) and remedy.apply(args.props, args.get_config())
        return args.props if is_changed else None

    name = remedy_name(rule.name)
    schema = PolicyConfigSchema(properties=_own_schema(remedy.settings))
    metadata = {**_metadata(rule), "name": name}
    return ResourceValidationPolicy(validate=validate, remediate=remediate, config_schema=schema, **metadata)


def remedy_name(rule_name: str) -> str:
    return f"{rule_name}-remedy"


def _settings(rule: AnyRule, args: ResourceValidationArgs | StackValidationArgs) -> Mapping[str, object]:
    """The configuration beside the rule's defaults. It travels with every number a float; a count stays a count."""
    given = {name: _as_default(value, rule.settings.get(name)) for name, value in args.get_config().items()}
    return {"on_unknown": "report", **rule.settings, **given}


def _as_default(value: object, default: object) -> object:
    return int(value) if isinstance(value, float) and type(default) is int and value.is_integer() else value


def _report(
    judgement: Judgement, report_violation: ReportViolation, settings: Mapping[str, object], urn: str = ""
) -> None:
    for violation in judgement.violations:
        report_violation(violation.message, violation.urn or urn or None)
    if not judgement.unclear:
        return
    if settings["on_unknown"] == "report":
        raise UnknownValueError(
            UNKNOWN_STRING_VALUE, [", ".join(_place(one.path, one.urn) for one in judgement.unclear)]
        )
    for unclear in judgement.unclear:  # whatever else stands there: what is misspelt must not admit more
        report_violation(f"{unclear.path}: not known yet, and this rule may not wait", unclear.urn or urn or None)


def _mention(judgement: Judgement, args: ResourceValidationArgs | StackValidationArgs) -> None:
    """Pulumi shows for a policy why it does not apply; what it reported before stands all the same."""
    reasons = [*map(str, judgement.exempted), *filter(None, [judgement.not_applicable])]
    if reasons:
        args.not_applicable("; ".join(dict.fromkeys(reasons)))


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
    }


def _schema(rule: AnyRule) -> dict[str, Any]:
    """The SDK has no place for a default of our own: it stands in the JSON schema, and in the rule."""
    on_unknown = {"type": "string", "enum": ["report", "deny"], "default": "report"}
    return {"on_unknown": on_unknown, "exemptions": dict(SCHEMA), **_own_schema(rule.settings)}


def _own_schema(settings: Mapping[str, object]) -> dict[str, Any]:
    return {name: {"type": _JSON_TYPES[type(value)], "default": value} for name, value in settings.items()}
