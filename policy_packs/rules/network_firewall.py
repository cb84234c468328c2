"""Network Firewall: it cannot be deleted by mistake, keeps its rules under our key and tells what it saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

FIREWALL: Final = "aws:networkfirewall/firewall:Firewall"
FIREWALL_POLICY: Final = "aws:networkfirewall/firewallPolicy:FirewallPolicy"
RULE_GROUP: Final = "aws:networkfirewall/ruleGroup:RuleGroup"
LOGGING: Final = "aws:networkfirewall/loggingConfiguration:LoggingConfiguration"


def _stays(firewall: Resource) -> Iterator[Outcome]:
    protection = firewall.at("deleteProtection")
    yield from demand(protection.equals(True), "the firewall can be deleted by mistake", protection)


DELETE_PROTECTION = Rule(
    name="networkfirewall-firewall-require-delete-protection",
    description="A firewall is protected against deletion.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.6", "A1.2"), iso27001_2022=("A.8.20", "A.8.9"), nist_800_53_r5=("SC-7", "CM-5"), atlas=("AML.M0019",)
    ),
    remediation="Set delete_protection=True.",
    checkov=("CKV_AWS_344",),
    resource_types=(FIREWALL,),
    check=_stays,
    obeys={"protected": Resource.example(FIREWALL, {"deleteProtection": True})},
    breaks={
        "left out, and AWS's default is off": Resource.example(FIREWALL, {}),
        "turned off": Resource.example(FIREWALL, {"deleteProtection": False}),
    },
    neighbours={
        "subnets may change where zones come and go": Resource.example(
            FIREWALL, {"deleteProtection": True, "subnetChangeProtection": False}
        ),
    },
)


def _under_own_key(resource: Resource) -> Iterator[Outcome]:
    kind, key = resource.at("encryptionConfiguration.type"), resource.at("encryptionConfiguration.keyId")
    is_own = all_of(kind.equals("CUSTOMER_KMS"), is_customer_key(key))
    yield from demand(is_own, "AWS's own key opens what the firewall knows", resource.at("encryptionConfiguration"))


def _encrypted(kind: str, key: str = OWN_KEY, type_: str = FIREWALL) -> Resource:
    return Resource.example(type_, {"encryptionConfiguration": {"type": kind, "keyId": key}})


CUSTOMER_KEY = Rule(
    name="networkfirewall-require-customer-key",
    description="Firewalls, their policies and rule groups are encrypted under a key of our own.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation="Set encryption_configuration to type CUSTOMER_KMS with a key of ours.",
    checkov=("CKV_AWS_345", "CKV_AWS_346"),
    resource_types=(FIREWALL, FIREWALL_POLICY, RULE_GROUP),
    check=_under_own_key,
    obeys={
        "a firewall under our key": _encrypted("CUSTOMER_KMS"),
        "a policy under our key": _encrypted("CUSTOMER_KMS", type_=FIREWALL_POLICY),
        "a rule group under our key": _encrypted("CUSTOMER_KMS", type_=RULE_GROUP),
    },
    breaks={
        "left out, and AWS uses a key of its own": Resource.example(FIREWALL, {}),
        "a policy without": Resource.example(FIREWALL_POLICY, {}),
        "a rule group without": Resource.example(RULE_GROUP, {}),
        "AWS's own, said aloud": _encrypted("AWS_OWNED_KMS_KEY"),
        "no key named": _encrypted("CUSTOMER_KMS", ""),
        "AWS's managed key": _encrypted("CUSTOMER_KMS", "alias/aws/network-firewall"),
    },
    neighbours={"an alias of ours": _encrypted("CUSTOMER_KMS", "alias/firewall")},
)


def _tells(stack: Stack) -> Iterator[Outcome]:
    firewalls = stack.of_type(FIREWALL)
    if not firewalls:
        yield NotApplicable("the stack has no firewall")
        return
    for firewall in firewalls:
        found = stack.related(firewall, (LOGGING,), by="firewallArn")
        open_question = Truth.UNKNOWN if found.is_unclear else Truth.NO
        told = any_of(*(_has_destination(one) for one in found.certain), open_question)
        subject = View(None, f"Firewall '{firewall.name}'")
        yield from demand(told, "tells nobody what it saw", subject, firewall.urn)


def _has_destination(logging: Resource) -> Truth:
    return logging.at("loggingConfiguration.logDestinationConfigs").is_given()


_FIREWALL = Resource.example(FIREWALL, {"arn": "arn:firewall"}, "firewall")
_DESTINATIONS = {"logDestinationConfigs": [{"logType": "ALERT", "logDestinationType": "S3"}]}


def _logging(content: object, **props: object) -> Resource:
    joins = {} if props else {"firewallArn": "firewall"}
    return Resource.example(LOGGING, {"loggingConfiguration": content, **props}, "logs", **joins)


LOGGED = StackRule(
    name="networkfirewall-firewall-require-logging",
    description="Every firewall hands on what it saw.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC7.2",),
        iso27001_2022=("A.8.15", "A.8.16"),
        nist_800_53_r5=("AU-2", "AU-12", "SI-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0024", "AML.T0025"),
    ),
    remediation="Make a LoggingConfiguration for the firewall, with a destination for alerts and flows.",
    checkov=("CKV2_AWS_63",),
    check=_tells,
    obeys={
        "logs to a bucket": (_FIREWALL, _logging(_DESTINATIONS)),
        "the firewall by its ARN": (_FIREWALL, _logging(_DESTINATIONS, firewallArn="arn:firewall")),
    },
    breaks={
        "no logging": (_FIREWALL,),
        "logging of another firewall": (_FIREWALL, _logging(_DESTINATIONS, firewallArn="arn:other")),
        "logging without a destination": (_FIREWALL, _logging({"logDestinationConfigs": []})),
        "one of two": (_FIREWALL, _logging(_DESTINATIONS), Resource.example(FIREWALL, {}, "second")),
    },
    neighbours={
        "a policy without a firewall sees nothing": (Resource.example(FIREWALL_POLICY, {}),),
        "logging of a firewall that another stack owns": (_logging(_DESTINATIONS, firewallArn="arn:other"),),
    },
)
