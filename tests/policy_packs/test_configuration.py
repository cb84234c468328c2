"""The packs' configuration: what is misspelt is refused, and what stands there agrees with the stacks' own."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_packs.configuration import __main__ as command
from policy_packs.configuration.loading import (
    FOLDER,
    ConfigurationError,
    Settings,
    checked,
    data_classes,
    environments,
    for_first_preview,
    merged,
    read,
    settings_for,
)
from policy_packs.packs import LLM_GUARDRAILS, PACKS
from stacks.classification import TREATMENTS, DataClass, Residency, strictest
from stacks.environment.name import EnvironmentName
from stacks.local.policy_runs import REPOSITORY, judged_resource
from tests.contracts.programs import captured

pytestmark = pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning")

ARCHIVE = "s3-log-archive-require-object-lock"
STRENGTH = "bedrock-guardrail-require-strength"
ENDPOINTS = "vpc-require-private-model-endpoints"
EVERY_CASE = [(environment, data_class) for environment in environments() for data_class in data_classes()]


@functools.cache
def environment_of(stack: str) -> Any:  # Any: configuration as it stands in the file
    file = REPOSITORY / "stacks" / "platform" / f"Pulumi.{stack}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))["config"]["llm-pipelines:environment"]


# --- what may be written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "here: must be an object"),
        ({STRENGTH: 1}, f"here: {STRENGTH}: must be an object"),
        ({"bedrock-guardrail-require-strenght": {}}, f"is no rule of this pack (near: {STRENGTH}"),
        ({"kms-key-require-rotation": {}}, "'kms-key-require-rotation' is no rule of this pack"),
        (
            {STRENGTH: {"grounding_min": 0.7}},
            f"here: {STRENGTH}.grounding_min: is no setting of this rule "
            "(allowed: enforcementLevel, exemptions, grounding_threshold_min, harm_strengths, on_unknown)",
        ),
        ({STRENGTH: {"enforcementLevel": "disabled"}}, "enforcementLevel: must be one of mandatory"),
        ({STRENGTH: {"enforcementLevel": "remediate"}}, "enforcementLevel: must be one of mandatory"),
        ({STRENGTH: {"grounding_threshold_min": "0.7"}}, "grounding_threshold_min: must be a number"),
        ({STRENGTH: {"grounding_threshold_min": True}}, "grounding_threshold_min: must be a number"),
        ({STRENGTH: {"grounding_threshold_min": None}}, "grounding_threshold_min: must be a number"),
        ({STRENGTH: {"harm_strengths": "HIGH"}}, "harm_strengths: must be a list, each element a text"),
        ({STRENGTH: {"harm_strengths": ["HIGH", 1]}}, "harm_strengths: must be a list, each element a text"),
        ({ENDPOINTS: {"endpoints_elsewhere": [1]}}, "endpoints_elsewhere: must be a list, each element a text"),
        ({STRENGTH: {"on_unknown": "allow"}}, "on_unknown: must be one of report, deny"),
        ({STRENGTH: {"on_unknown": ["deny"]}}, "on_unknown: must be one of report, deny"),
        ({STRENGTH: {"exemptions": {}}}, "exemptions: must be a list of objects"),
        ({STRENGTH: {"exemptions": ["urn:*"]}}, "exemptions: must be a list of objects"),
        ({STRENGTH: {"exemptions": [{"urn": "urn:*"}]}}, "exemptions: must be a list of objects"),
        (
            {STRENGTH: {"exemptions": [{"urn": "urn:*", "reason": "none yet", "ends": 2027}]}},
            "exemptions: must be a list of objects with the texts urn, reason and ends",
        ),
    ],
)
def test_what_nobody_can_mean_is_refused_with_its_place(content: object, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked(content, LLM_GUARDRAILS, "here")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"grounding_threshold_min": 1},
        {"harm_strengths": []},
        {"on_unknown": "deny"},
        {"exemptions": [{"urn": "urn:*", "reason": "a reason", "ends": "2027-01-31"}]},
    ],
)
def test_what_a_rule_takes_is_left_as_it_is(settings: dict[str, object]) -> None:
    assert checked({STRENGTH: settings}, LLM_GUARDRAILS, "here") == {STRENGTH: settings}


REMEDIED, REMEDY = "ec2-launch-template-require-imdsv2", "s3-bucket-require-customer-key-remedy"


@pytest.mark.parametrize(
    "content",
    [
        {REMEDIED: {"enforcementLevel": "remediate"}},
        {REMEDY: {"enforcementLevel": "remediate", "kms_key_arn": "arn:aws:kms:…"}},
        {REMEDY: {"enforcementLevel": "disabled"}},
    ],
)
def test_a_remedy_is_switched_on_where_there_is_one(content: dict[str, object]) -> None:
    assert checked(content, PACKS["baseline-security"], "here") == content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({REMEDIED: {"enforcementLevel": "advisory"}}, "must be one of mandatory, remediate"),
        ({REMEDY: {"enforcementLevel": "mandatory"}}, "must be one of disabled, remediate"),
        ({REMEDY: {"kms_key_arn": 1}}, "kms_key_arn: must be a text"),
        ({REMEDY: {"on_unknown": "deny"}}, "is no setting of this rule (allowed: enforcementLevel, kms_key_arn)"),
        ({f"{REMEDIED}-remedy": {}}, "is no rule of this pack"),
        ({"kms-key-require-rotation-remedy": {}}, "is no rule of this pack (near: kms-key-require-rotation"),
    ],
)
def test_a_remedy_that_is_none_is_refused(content: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked(content, PACKS["baseline-security"], "here")
    assert sentence in str(refused.value)


def test_a_whole_number_stays_one() -> None:
    rules = PACKS["baseline-security"]
    name = "cloudwatch-log-group-require-key-and-retention"
    assert checked({name: {"retention_days_min": 7}}, rules, "here") == {name: {"retention_days_min": 7}}
    for wrong in (7.5, True, "7"):
        with pytest.raises(ConfigurationError, match="retention_days_min: must be a whole number"):
            checked({name: {"retention_days_min": wrong}}, rules, "here")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "a/b/llm-guardrails.json: is not JSON"),
        (f'{{"{STRENGTH}": {{"on_unknown": "deny", "on_unknown": "report"}}}}', "twice: on_unknown"),
        ('{"no-such-rule": {}}', "a/b/llm-guardrails.json: 'no-such-rule' is no rule"),
    ],
)
def test_a_file_is_refused_by_its_name(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "a" / "b" / "llm-guardrails.json"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        read(file, LLM_GUARDRAILS)
    assert sentence in str(refused.value)


def test_no_file_is_no_setting(tmp_path: Path) -> None:
    assert read(tmp_path / "llm-guardrails.json", LLM_GUARDRAILS) == {}


def test_the_later_layer_wins_setting_by_setting() -> None:
    layers: list[Settings] = [{"a": {"x": 1, "y": 1}}, {"a": {"y": 2}, "b": {"z": 3}}]
    assert merged(layers) == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}
    assert layers[0] == {"a": {"x": 1, "y": 1}}


@pytest.mark.parametrize(
    ("environment", "data_class", "sentence"),
    [
        ("production", "public", "environment: must be one of dev, local, prod, staging"),
        ("prod", "secret", "data class: must be one of confidential, internal, public, restricted"),
        ("prod", "../public", "data class: must be one of"),
    ],
)
def test_an_unknown_case_is_refused(environment: str, data_class: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        settings_for(environment, data_class)


# --- what a setting changes ----------------------------------------------------------------------------

# Rule, one of its own obeying or breaking examples, and settings under which the answer turns.
SETTING_CASES = [
    ("bedrock-invoke-require-allowed-model", "obeys", "a foundation model", {"allowed_models": ["vendor.*"]}),
    ("bedrock-invoke-require-allowed-model", "breaks", "another foundation model", {"allowed_models": ["vendor.*"]}),
    ("bedrock-require-allowed-geography", "obeys", "a job on an allowed profile", {"allowed_geographies": ["eu"]}),
    ("bedrock-require-allowed-geography", "breaks", "a foreign geography", {"allowed_geographies": ["apac"]}),
    ("stack-require-allowed-regions", "obeys", "the provider's region", {"allowed_regions": ["us-east-1"]}),
    (
        "stack-require-allowed-regions",
        "breaks",
        "another region",
        {"allowed_regions": ["eu-central-1", "us-east-1"]},
    ),
    (
        "sagemaker-model-require-private-registry",
        "obeys",
        "from ECR",
        {"allowed_registries": ["111122223333.dkr.ecr.eu-central-1.amazonaws"]},
    ),
    ("stack-disallow-opaque-resources", "obeys", "a chart that is allowed", {"allowed_charts": []}),
    (
        "stack-disallow-opaque-resources",
        "breaks",
        "a chart that is not allowed",
        {"allowed_charts": ["oci://ghcr.io/somebody/keda"]},
    ),
    (
        "stack-disallow-opaque-resources",
        "breaks",
        "another Cloud Control type",
        {"allowed_cloud_control_types": ["AWS::S3::*"]},
    ),
    (ENDPOINTS, "breaks", "no endpoint", {"endpoints_elsewhere": ["bedrock-runtime"]}),
    (ARCHIVE, "obeys", "for a day", {"modes": ["COMPLIANCE"]}),
    (ARCHIVE, "obeys", "for a day", {"modes": []}),
    (ARCHIVE, "obeys", "for a day", {"retention_days_min": 2}),
    (ARCHIVE, "obeys", "for years", {"retention_days_min": 366}),
    (STRENGTH, "obeys", "all of it", {"harm_strengths": ["HIGH"]}),
    (STRENGTH, "obeys", "all of it", {"harm_strengths": []}),
    (STRENGTH, "obeys", "all of it", {"grounding_threshold_min": 0.51}),
    (STRENGTH, "breaks", "a threshold just too low", {"grounding_threshold_min": 0.49}),
]


def test_an_archive_locked_for_long_enough_is_let_be() -> None:
    rule: Any = next(one for one in LLM_GUARDRAILS if one.name == ARCHIVE)
    assert rule.judge(rule.obeys["for years"], {"retention_days_min": 365}).is_compliant
    assert rule.judge(rule.obeys["locked, retained, versioned"], {"modes": ["COMPLIANCE"]}).is_compliant
    assert rule.judge(rule.obeys["for a day"], {"modes": ["COMPLIANCE"]}).violations


@pytest.mark.parametrize(("name", "kind", "example", "settings"), SETTING_CASES)
def test_a_setting_turns_the_answer(name: str, kind: str, example: str, settings: dict[str, object]) -> None:
    rule: Any = next(one for one in LLM_GUARDRAILS if one.name == name)  # Any: a rule of either kind
    given = getattr(rule, kind)[example]
    assert rule.judge(given).is_compliant is (kind == "obeys")
    assert rule.judge(given, settings).is_compliant is (kind == "breaks")


def test_a_registry_that_is_listed_is_allowed() -> None:
    rule: Any = next(one for one in LLM_GUARDRAILS if one.name == "sagemaker-model-require-private-registry")
    listed = {"allowed_registries": ["111122223333.dkr.ecr.eu-central-1.amazonaws.com"]}
    assert rule.judge(rule.obeys["from ECR"], listed).is_compliant
    assert not rule.judge(rule.breaks["a public gallery"], {"allowed_registries": ["public.ecr.aws"]}).is_compliant


# --- what is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("environment", "data_class"), EVERY_CASE)
def test_every_case_has_settings_for_both_packs(environment: str, data_class: str) -> None:
    found = settings_for(environment, data_class)
    assert set(found) == set(PACKS)
    assert all(found.values())


def test_environments_and_data_classes_are_those_of_the_stacks() -> None:
    assert set(environments()) == {one.value for one in EnvironmentName}
    assert set(data_classes()) == {one.value for one in DataClass}


def test_every_file_belongs_to_a_case() -> None:
    files = {file.relative_to(FOLDER) for file in FOLDER.rglob("*.json")}
    kinds = {"environment": environments(), "data_class": data_classes()}
    named = {Path(kind) / one / f"{pack}.json" for kind, names in kinds.items() for one in names for pack in PACKS}
    assert files <= named


def test_environment_and_data_class_never_say_the_same_thing() -> None:
    """Whose word counts would depend on the order."""

    def said(kind: str, names: tuple[str, ...]) -> set[tuple[str, str]]:
        layers = [read(FOLDER / kind / one / f"{pack}.json", rules) for one in names for pack, rules in PACKS.items()]
        return {(rule, setting) for layer in layers for rule, own in layer.items() for setting in own}

    assert not said("environment", environments()) & said("data_class", data_classes())


@pytest.mark.parametrize("stack", environments())
def test_what_an_environment_may_use_is_what_its_stack_configures(stack: str) -> None:
    configured = environment_of(stack)
    baseline, guardrails = (settings_for(stack, "public")[pack] for pack in ("baseline-security", "llm-guardrails"))
    models = {one["foundation_model"] for one in configured["models"] if one["backend"] == "bedrock"}
    registry = f"{configured['accounts'][stack]}.dkr.ecr.{configured['region']}.amazonaws.com"
    retention = configured["retention"]

    assert set(guardrails["bedrock-invoke-require-allowed-model"]["allowed_models"]) == models  # type: ignore[call-overload]
    assert guardrails["stack-require-allowed-regions"]["allowed_regions"] == [configured["region"]]
    assert guardrails["sagemaker-model-require-private-registry"]["allowed_registries"] == [registry]
    assert guardrails["kubernetes-model-require-image-from-own-registry"]["registries"] == [registry]
    assert guardrails["stack-disallow-opaque-resources"]["allowed_charts"] == [
        f"oci://{registry}/llm-pipelines-{stack}-charts/keda"
    ]
    archive = guardrails["s3-log-archive-require-object-lock"]
    assert archive.get("modes", ["COMPLIANCE"]) == ["COMPLIANCE"]
    assert ("modes" in archive) is (retention["evidence_lock"] == "COMPLIANCE")
    assert archive["retention_days_min"] == retention["evidence_days"]
    logs = baseline["cloudwatch-log-group-require-key-and-retention"]["retention_days_min"]
    assert logs == min(retention["content_days"], retention["log_days"])
    assert baseline["rds-database-require-backups"]["backup_days_min"] == configured["database"]["backup_days"]


def test_the_organization_admits_the_same_models_and_regions() -> None:
    file = REPOSITORY / "stacks" / "organization" / "Pulumi.organization.yaml"
    organization = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]["llm-pipelines-organization:governance"]
    for stack in ("dev", "staging", "prod"):
        guardrails = settings_for(stack, "public")["llm-guardrails"]
        models = guardrails["bedrock-invoke-require-allowed-model"]["allowed_models"]
        assert models == organization["allowed_models"]
        assert guardrails["stack-require-allowed-regions"]["allowed_regions"] == organization["allowed_regions"]


@pytest.mark.parametrize("stack", environments())
def test_production_is_known_by_its_account_outside_it(stack: str) -> None:
    own = settings_for(stack, "public")["llm-guardrails"].get("stack-disallow-production-data", {})
    elsewhere = [environment_of(stack)["accounts"]["prod"]] if stack != "prod" else None
    assert own.get("production_accounts") == elsewhere


@pytest.mark.parametrize("data_class", DataClass)
def test_content_is_kept_as_long_as_its_class_lets_it(data_class: DataClass) -> None:
    own = settings_for("prod", data_class.value)["llm-guardrails"]["bedrock-log-require-end"]
    assert own["content_days_max"] == TREATMENTS[data_class].content_retention_days_max


@pytest.mark.parametrize("data_class", DataClass)
def test_data_leaves_its_region_only_where_its_class_lets_it(data_class: DataClass) -> None:
    guardrails = settings_for("prod", data_class.value)["llm-guardrails"]
    geographies = guardrails["bedrock-require-allowed-geography"]["allowed_geographies"]
    assert bool(geographies) is (TREATMENTS[data_class].residency is Residency.GEOGRAPHY)


def test_a_stricter_class_never_asks_for_less() -> None:
    ordered = [settings_for("prod", one.value)["llm-guardrails"] for one in DataClass]
    strengths = [set(one[STRENGTH]["harm_strengths"]) for one in ordered]  # type: ignore[call-overload]
    thresholds = [float(str(one[STRENGTH]["grounding_threshold_min"])) for one in ordered]
    denying = [{rule for rule, own in one.items() if own.get("on_unknown") == "deny"} for one in ordered]
    for looser, stricter in zip(range(len(ordered)), range(1, len(ordered)), strict=False):
        assert strengths[stricter] <= strengths[looser]
        assert thresholds[stricter] >= thresholds[looser]
        assert denying[stricter] >= denying[looser]


def test_documents_may_not_wait_where_data_is_confidential() -> None:
    denying = {
        data_class: {
            rule
            for rules in settings_for("prod", data_class).values()
            for rule, own in rules.items()
            if own.get("on_unknown") == "deny"
        }
        for data_class in data_classes()
    }
    assert not denying["public"] | denying["internal"]
    assert denying["confidential"] == denying["restricted"]
    assert {"bedrock-invoke-require-guardrail", "iam-policy-disallow-service-wide-allow"} <= denying["confidential"]


def test_before_anything_exists_nobody_denies_what_is_unknown() -> None:
    settings = settings_for("prod", "restricted")
    waiting = for_first_preview(settings)
    assert {own.get("on_unknown") for rules in waiting.values() for own in rules.values()} == {None, "report"}
    assert {pack: set(rules) for pack, rules in waiting.items()} == {
        pack: set(rules) for pack, rules in settings.items()
    }
    assert waiting["llm-guardrails"][STRENGTH] == settings["llm-guardrails"][STRENGTH]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_our_platform_obeys_under_the_settings_of_its_strictest_class(stack: str) -> None:
    configured = environment_of(stack)
    data_class = strictest(DataClass(one) for one in configured["data_classes"])
    graph = [judged_resource(one) for one in captured("platform", stack).resources]
    rules = {rule.name: rule for pack in PACKS.values() for rule in pack}
    for pack in settings_for(stack, data_class.value).values():
        for name, settings in pack.items():
            rule: Any = rules[name]  # Any: a rule of either kind
            judged = (
                [rule.judge(one, settings) for one in graph]
                if hasattr(rule, "resource_types")
                else [rule.judge(graph, settings)]
            )
            assert [one for one in judged if not one.is_compliant] == [], name


def test_the_command_prints_a_file_for_the_cli(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["prod", "confidential", "llm-guardrails"])
    assert json.loads(capsys.readouterr().out) == settings_for("prod", "confidential")["llm-guardrails"]
    command.main(["prod", "confidential", "llm-guardrails", "--first-preview"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == for_first_preview(settings_for("prod", "confidential"))["llm-guardrails"]


def test_the_command_knows_no_other_environment(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["production", "confidential", "llm-guardrails"])
    assert "production" in capsys.readouterr().err
