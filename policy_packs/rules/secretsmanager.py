"""Secrets Manager: secrets are under our key, and a stolen one soon opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, Outcome, Rule, Severity, StackRule, demand
from policy_packs.satellite import any_satellite
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

STORED: Final = "aws:secretsmanager/secret:Secret"
ROTATION: Final = "aws:secretsmanager/secretRotation:SecretRotation"


def _under_own_key(secret: Resource) -> Iterator[Outcome]:
    key = secret.at("kmsKeyId")
    yield from demand(is_customer_key(key), "the secret is not under a key of ours", key)


CUSTOMER_KEY = Rule(
    name="secretsmanager-secret-require-customer-key",
    description="Every secret is encrypted under a customer managed key.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.24"),
        nist_800_53_r5=("IA-5", "SC-12", "SC-28(1)"),
        atlas=("AML.M0012",),
    ),
    remediation="Set kms_key_id to the ARN of a key whose policy names those who read the secret.",
    checkov=("CKV_AWS_149",),
    resource_types=(STORED,),
    check=_under_own_key,
    obeys={
        "a key by ARN": Resource.example(STORED, {"kmsKeyId": OWN_KEY}),
        "a key by an alias of ours": Resource.example(STORED, {"kmsKeyId": "alias/secrets"}),
    },
    breaks={
        "left out, and AWS's default is its own key": Resource.example(STORED, {}),
        "empty": Resource.example(STORED, {"kmsKeyId": ""}),
        "the key that AWS manages": Resource.example(STORED, {"kmsKeyId": "alias/aws/secretsmanager"}),
    },
    neighbours={"a version of a secret": Resource.example("aws:secretsmanager/secretVersion:SecretVersion")},
)


_NO_STORED: Final = "the stack has no secret"


def _is_on(rotation: Resource) -> Truth:
    return negate(rotation.at("rotationEnabled").equals(False))


def _has_rotation(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(STORED), _NO_STORED)
    for secret in stack.of_type(STORED):
        truth = any_satellite(stack, secret, ROTATION, "secretId", _is_on)
        yield from demand(truth, "never rotates", View(None, f"secret '{secret.name}'"), secret.urn)


_PASSWORD: Final = Resource.example(STORED, {"tags": {}}, "password")
_CONTROLS: Final = Controls(
    soc2=("CC6.1",), iso27001_2022=("A.5.17",), nist_800_53_r5=("IA-5", "IA-5(1)"), atlas=("AML.M0019",)
)


def _rotation(**rules: object) -> Resource:
    return Resource.example(ROTATION, {"rotationRules": rules}, "rotation", secretId="password")


ROTATED = StackRule(
    name="secretsmanager-secret-require-rotation",
    description="Every secret rotates by itself.",
    severity=Severity.MEDIUM,
    controls=_CONTROLS,
    remediation="Add aws.secretsmanager.SecretRotation for the secret, or let the service that uses it own the secret.",
    checkov=("CKV2_AWS_57",),
    check=_has_rotation,
    obeys={
        "a rotation of its own": (_PASSWORD, _rotation(automaticallyAfterDays=30)),
        "a rotation that is on": (
            _PASSWORD,
            Resource.example(ROTATION, {"rotationEnabled": True}, "rotation", secretId="password"),
        ),
    },
    breaks={
        "none": (_PASSWORD,),
        "another secret's": (Resource.example(STORED, {}, "other"), _PASSWORD, _rotation()),
        "switched off": (
            _PASSWORD,
            Resource.example(ROTATION, {"rotationEnabled": False}, "rotation", secretId="password"),
        ),
    },
    neighbours={"the rotation of a secret in another stack": (_rotation(),)},
)

_UNITS_A_DAY: Final = {"day": 1, "hour": 24, "minute": 24 * 60}


def _rotates_soon(rotation: Resource) -> Iterator[Outcome]:
    rules, days_max = rotation.at("rotationRules"), float(str(rotation.settings["rotation_days_max"]))
    days, schedule = rules.at("automaticallyAfterDays"), rules.at("scheduleExpression")
    soon = all_of(days.at_least(1), negate(days.at_least(days_max + 1)))
    yield from demand(any_of(soon, _is_frequent(schedule, days_max)), "rotates too seldom", rules)


def _is_frequent(schedule: View, days_max: float) -> Truth:
    """A rate within the limit, or a cron expression: that names days of every month, or of some."""
    rates = [
        all_of(schedule.matches(rf"rate\(\d+ {unit}s?\)"), _at_most(schedule, days_max * units))
        for unit, units in _UNITS_A_DAY.items()
    ]
    return any_of(*rates, schedule.matches(r"cron\(\S+ \S+ \S+ (\*|\*/[123]|1/[123]) \S+ \S+\)"))


def _at_most(schedule: View, maximum: float) -> Truth:
    digits = "".join(one for one in schedule.text if one.isdecimal() and one.isascii())
    return Truth.UNKNOWN if schedule.is_unknown else Truth.of(bool(digits) and int(digits[:9]) <= maximum)


ROTATED_SOON = Rule(
    name="secretsmanager-rotation-require-90-days",
    description="A secret that rotates does so within the days that the pack allows, 90 unless configured.",
    severity=Severity.MEDIUM,
    controls=_CONTROLS,
    remediation="Set automatically_after_days, or a schedule_expression, to 90 days or less.",
    settings={"rotation_days_max": 90},
    checkov=("CKV_AWS_304",),
    resource_types=(ROTATION,),
    check=_rotates_soon,
    obeys={
        "every 90 days": _rotation(automaticallyAfterDays=90.0),
        "every day": _rotation(automaticallyAfterDays=1.0),
        "at a rate of days": _rotation(scheduleExpression="rate(90 days)"),
        "at a rate of one day": _rotation(scheduleExpression="rate(1 day)"),
        "at a rate of hours": _rotation(scheduleExpression="rate(2160 hours)"),
        "on the first of every month": _rotation(scheduleExpression="cron(0 8 1 * ? *)"),
        "every third month": _rotation(scheduleExpression="cron(0 8 1 1/3 ? *)"),
    },
    breaks={
        "nothing said": _rotation(),
        "every 91 days": _rotation(automaticallyAfterDays=91.0),
        "after no day": _rotation(automaticallyAfterDays=0.0),
        "at a rate of 91 days": _rotation(scheduleExpression="rate(91 days)"),
        "at a rate of too many hours": _rotation(scheduleExpression="rate(2161 hours)"),
        "at a rate of too many minutes": _rotation(scheduleExpression="rate(129601 minutes)"),
        "once a year": _rotation(scheduleExpression="cron(0 8 1 1 ? *)"),
        "not a schedule": _rotation(scheduleExpression="quarterly"),
    },
    neighbours={"at a rate of minutes": _rotation(scheduleExpression="rate(129600 minutes)")},
)
