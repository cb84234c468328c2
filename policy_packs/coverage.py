"""What the rules cover, told by the rules' own data: controls, ids of other tools, resource types. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import AnyRule, Controls, Rule
from policy_packs.running_account import twins_of

# The fields of Controls, as people call the frameworks.
FRAMEWORKS: Final[Mapping[str, str]] = {
    "soc2": "SOC 2",
    "iso27001_2022": "ISO 27001:2022",
    "nist_800_53_r5": "NIST 800-53 r5",
    "owasp_llm": "OWASP LLM 2026",
    "atlas": "MITRE ATLAS",
}


# The lists of a running account's checks, as people call them.
RUNNING_ACCOUNT: Final[Mapping[str, str]] = {"security_hub": "AWS Security Hub", "prowler": "Prowler"}

# What each risk is called: a report names those that no rule serves too.
OWASP_LLM_2026: Final[Mapping[str, str]] = {
    "LLM01:2026": "Prompt Injection",
    "LLM02:2026": "Sensitive Information Disclosure",
    "LLM03:2026": "Excessive Agency",
    "LLM04:2026": "Supply Chain",
    "LLM05:2026": "Data and Model Poisoning",
    "LLM06:2026": "Unbounded Consumption",
    "LLM07:2026": "Misinformation",
    "LLM08:2026": "Hidden Context Exposure",
    "LLM09:2026": "Vector and Embedding Weaknesses",
    "LLM10:2026": "Improper Output Handling",
}


def rules_by_control(rules: Iterable[AnyRule], framework: str) -> dict[str, tuple[str, ...]]:
    """Control → names of the rules that serve it, in the framework's own order."""
    return _inverted((rule.name, controls_of(rule.controls, framework)) for rule in rules)


def rules_by_checkov_id(rules: Iterable[AnyRule]) -> dict[str, tuple[str, ...]]:
    """Checkov id → names of the rules that ask for part of the same."""
    return _inverted((rule.name, rule.checkov) for rule in rules)


def rules_by_twin(rules: Iterable[AnyRule], product: str) -> dict[str, tuple[str, ...]]:
    """A running account's check → names of the rules that ask for part of the same before deployment."""
    return _inverted((rule.name, twins_in(rule, product)) for rule in rules)


def twins_in(rule: AnyRule, product: str) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(twins_of(rule.name), product)
    return found


def controls_of(controls: Controls, framework: str) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(controls, framework)
    return found


def resource_types(rule: AnyRule) -> tuple[str, ...]:
    """A stack rule looks at whatever stands together: its examples say what."""
    types = rule.resource_types if isinstance(rule, Rule) else (one.type for one in example_resources(rule))
    return tuple(sorted(set(types)))


def example_resources(rule: AnyRule) -> Iterator[Resource]:
    for example in (*rule.obeys.values(), *rule.breaks.values()):
        yield from (example,) if isinstance(example, Resource) else example


def in_order(name: str) -> tuple[tuple[str, int], ...]:
    """AC-3 before AC-17: numbers count as numbers."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name))


def _inverted(served: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for rule, names in served:
        for name in dict.fromkeys(names):
            found[name].append(rule)
    return {name: tuple(sorted(found[name])) for name in sorted(found, key=in_order)}
