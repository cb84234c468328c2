"""Every rule stands in the one table with the ids of all frameworks, and every Checkov id is accounted for once."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from rich.console import Console

from policy_packs import checkov, coverage, coverage_report
from policy_packs.packs import PACKS
from policy_packs.rule import AnyRule
from policy_packs.running_account import TWINS, twins_of
from policy_packs.table import FRAMEWORKS, frameworks_csv, page

RULES = tuple(rule for pack in PACKS.values() for rule in pack)
NAMES = {rule.name for rule in RULES}
COVERED = tuple(checkov.covered(RULES))


def lines() -> dict[str, dict[str, str]]:
    return {line["rule"]: line for line in csv.DictReader(io.StringIO(FRAMEWORKS.read_text(encoding="utf-8")))}


def test_the_table_of_frameworks_is_current() -> None:
    assert FRAMEWORKS.read_text(encoding="utf-8") == frameworks_csv(PACKS), "run: python -m policy_packs.table --write"


def test_every_rule_says_what_its_twins_are_if_only_that_it_has_none() -> None:
    assert set(TWINS) == NAMES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_line_of_the_table_holds_every_tag_of_its_rule_and_no_other(rule: AnyRule) -> None:
    line = lines()[rule.name]
    prefix = {"security_hub": "securityhub"}
    frameworks = (*coverage.FRAMEWORKS, *coverage.RUNNING_ACCOUNT, "checkov")

    told = {f"{prefix.get(one, one)}:{control}" for one in frameworks for control in line[one].split()}

    assert told == set(rule.tags())
    assert (line["severity"], rule.name in {one.name for one in PACKS[line["pack"]]}) == (rule.severity.value, True)


@pytest.mark.parametrize("rule", sorted(NAMES))
def test_every_twin_has_the_form_of_one(rule: str) -> None:
    twins = twins_of(rule)

    assert [one for one in twins.security_hub if not re.fullmatch(r"[A-Z][A-Za-z0-9]+\.[1-9]\d*", one)] == []
    assert [one for one in twins.prowler if not re.fullmatch(r"[a-z0-9]+(_[A-Za-z0-9]+)+", one)] == []


def test_the_twins_of_a_rule_are_among_its_tags() -> None:
    rule = next(one for one in RULES if one.name == "s3-bucket-require-public-access-block")

    assert {"securityhub:S3.8", "prowler:s3_bucket_level_public_access_block"} <= set(rule.tags())


def test_a_rule_outside_the_packs_has_no_twin() -> None:
    assert twins_of("somebody-elses-rule").tags() == ()


def test_all_224_checkov_ids_are_accounted_for() -> None:
    assert len(COVERED) == len({one.checkov_id for one in COVERED}) == 224
    assert [one.checkov_id for one in COVERED if one.state is checkov.State.OPEN] == []


def test_an_id_that_loses_its_rule_is_open() -> None:
    (own,) = (one for one in COVERED if one.checkov_id == "CKV_AWS_7")
    without = [rule for rule in RULES if rule.name not in own.rules]

    assert next(one for one in checkov.covered(without) if one.checkov_id == "CKV_AWS_7").state is checkov.State.OPEN


def test_no_id_is_both_matched_and_excused() -> None:
    matched = set(coverage.rules_by_checkov_id(RULES))

    assert matched.isdisjoint({*checkov.DIFFERENT, *checkov.NOT_APPLICABLE})
    assert set(checkov.DIFFERENT).isdisjoint(checkov.NOT_APPLICABLE)
    assert set(checkov.PARTLY) <= matched, "only what is matched is matched in part"


def test_nobody_is_excused_from_an_id_that_is_not_to_be_covered() -> None:
    ids = {one.checkov_id for one in COVERED}

    assert {*checkov.DIFFERENT, *checkov.NOT_APPLICABLE, *checkov.PARTLY} <= ids


def test_whatever_is_not_matched_has_a_reason() -> None:
    assert all(one.reason for one in COVERED if one.state is not checkov.State.MATCHED)


def test_the_page_shows_every_checkov_id_with_its_state() -> None:
    section = page(PACKS).partition("\n## Checkov ids\n")[2].partition("\n## ")[0]

    for one in COVERED:
        assert f"| {one.checkov_id} | {one.subject} | {one.state.value} | " in section
        assert all(f"`{rule}`" in section for rule in one.rules)


def test_the_report_names_all_ten_risks_and_shows_what_nobody_serves_as_a_gap() -> None:
    found = coverage_report.report({"pack": [one for one in RULES if "LLM01:2026" not in one.controls.owasp_llm]})

    assert list(found.risks) == [f"LLM{number:02}:2026" for number in range(1, 11)]
    assert found.risks["LLM01:2026"] == ()
    assert "LLM01:2026" in found.gaps
    assert all(found.risks[risk] == () for risk in found.gaps)


def test_the_report_counts_what_the_rules_say() -> None:
    found = coverage_report.report(PACKS)

    assert found.rules == len(NAMES)
    assert set(found.frameworks) == {*coverage.FRAMEWORKS.values(), *coverage.RUNNING_ACCOUNT.values(), "Checkov"}
    told = {(control, rule) for control, rules in found.frameworks["SOC 2"].items() for rule in rules}
    assert told == {(control, rule.name) for rule in RULES for control in rule.controls.soc2}


def test_the_report_on_a_terminal_shows_frameworks_and_gaps() -> None:
    console = Console(width=120, record=True, quiet=False, file=io.StringIO())

    coverage_report.show(coverage_report.report({"pack": ()}), console)

    shown = console.export_text()
    assert all(title in shown for title in (*coverage.FRAMEWORKS.values(), *coverage.RUNNING_ACCOUNT.values()))
    assert shown.count("gap: no rule serves it") == 10


def test_a_report_as_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    coverage_report.main(["--json"])

    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"rules", "frameworks", "risks", "gaps"}
    assert told["risks"]["LLM01:2026"] == list(coverage_report.report(PACKS).risks["LLM01:2026"])
    assert told["frameworks"]["AWS Security Hub"]["S3.8"] == ["s3-bucket-require-public-access-block"]
