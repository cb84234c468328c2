"""The page of rules is true: every rule and every control stands in it, and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest

from policy_packs import coverage
from policy_packs.packs import PACKS
from policy_packs.rule import AnyRule, Controls, StackRule
from policy_packs.running_account import twins_of
from policy_packs.table import PAGE, page

RULES = tuple(rule for pack in PACKS.values() for rule in pack)
# Restated on purpose: the page and the rules must be able to disagree.
FORMS = {
    "soc2": r"(CC[1-9]|A1|C1|PI1|P[1-8])\.\d+",
    "iso27001_2022": r"A\.([5]\.([1-9]|[12]\d|3[0-7])|6\.[1-8]|7\.([1-9]|1[0-4])|8\.([1-9]|[12]\d|3[0-4]))",
    "nist_800_53_r5": r"(AC|AT|AU|CA|CM|CP|IA|IR|MA|MP|PE|PL|PM|PS|PT|RA|SA|SC|SI|SR)-[1-9]\d?(\([1-9]\d?\))?",
    "owasp_llm": r"LLM(0[1-9]|10):2026",
    "atlas": r"AML\.(T\d{4}(\.\d{3})?|M\d{4})",
}


def written() -> str:
    return PAGE.read_text(encoding="utf-8")


def rows(text: str, section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_the_page_is_current() -> None:
    assert written() == page(PACKS), "run: python -m policy_packs.table --write"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_stands_in_the_page_with_what_it_carries(rule: AnyRule) -> None:
    (row,) = (row for row in rows(written(), "Rules") if names(row[0]) == {rule.name})

    assert row[2] == rule.severity.value
    assert rule.name in {one.name for one in PACKS[row[1]]}
    assert names(row[4]) == set(coverage.resource_types(rule))
    assert names(row[4]), "a rule is about some type"
    assert set(re.findall(r"CKV2?_[A-Z0-9]+_\d+", row[6])) == set(rule.checkov)
    assert names(row[7]) == {*twins_of(rule.name).security_hub, *twins_of(rule.name).prowler}


def test_no_row_is_cut_by_what_a_rule_says() -> None:
    assert {len(row) for row in rows(written(), "Rules")} == {8}
    assert {len(row) for row in rows(written(), "Controls")} == {3}
    assert all(row[3] and row[5] for row in rows(written(), "Rules")), "each rule says what it demands and the remedy"


def test_the_table_of_controls_says_what_the_rules_say() -> None:
    framework_of = {title: name for name, title in coverage.FRAMEWORKS.items()}
    told = {(framework_of[row[0]], row[1], name) for row in rows(written(), "Controls") for name in names(row[2])}

    own = {(tag.partition(":")[0], tag.partition(":")[2], rule.name) for rule in RULES for tag in rule.controls.tags()}

    assert told == own


def test_every_framework_of_a_rule_is_in_the_table() -> None:
    assert set(coverage.FRAMEWORKS) == {field.name for field in fields(Controls)} == set(FORMS)


@pytest.mark.parametrize("framework", FORMS)
def test_every_control_has_the_form_of_its_framework(framework: str) -> None:
    served = coverage.rules_by_control(RULES, framework)

    assert served, "some rule serves the framework"
    assert [one for one in served if not re.fullmatch(FORMS[framework], one)] == []


@pytest.mark.parametrize("checkov", sorted(coverage.rules_by_checkov_id(RULES)))
def test_every_checkov_id_has_the_form_of_one(checkov: str) -> None:
    assert re.fullmatch(r"CKV2?_(AWS|K8S)_[1-9]\d*", checkov)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_names_a_control_or_an_id_twice(rule: AnyRule) -> None:
    assert len(set(rule.tags())) == len(rule.tags())


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES), "Pulumi does not refuse two policies of one name"


def test_a_missing_rule_is_seen() -> None:
    pack, rules = next(iter(PACKS.items()))

    for missing in rules:
        without = page({**PACKS, pack: tuple(one for one in rules if one is not missing)})
        assert without != written()
        assert f"| `{missing.name}` |" not in without


def test_what_a_rule_says_stays_in_its_cell() -> None:
    said = replace(RULES[0], name="one-rule", description="Either a | b,\n or <c> on s3:*.")

    ((_, _, _, cell, *others),) = rows(page({"pack": (said,)}), "Rules")

    assert cell == r"Either a \| b, or \<c> on s3:\*."
    assert len(others) == 4


def test_numbers_in_a_control_count_as_numbers() -> None:
    found = sorted(["AC-17", "AU-2", "AC-3(10)", "AC-3(4)", "AC-3"], key=coverage.in_order)

    assert found == ["AC-3", "AC-3(4)", "AC-3(10)", "AC-17", "AU-2"]


def test_a_stack_rule_is_about_the_types_of_its_examples() -> None:
    rule = next(one for one in RULES if one.name == "s3-bucket-require-public-access-block")

    assert isinstance(rule, StackRule)
    assert coverage.resource_types(rule) == (
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    )
