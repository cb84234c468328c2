"""`--state`: an insecure state of any program is rejected, a secured one passes, a malformed one does neither."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from policy_packs.bucket import BUCKET as BUCKET_TYPE
from policy_packs.packs import PACKS
from policy_packs.rules import s3
from stacks.local import engine, policy_report
from stacks.local.engine import UNKNOWN
from stacks.local.policy_junit import junit
from stacks.local.policy_runs import RULES, Fault, Mode, Run, Target
from stacks.local.policy_state import StateError, read_state
from tests.stacks.local.test_policy_report import INSECURE, REJECTED_BY, SECURE
from tests.stacks.local.test_policy_report import plant as plant_program

# pulumi_aws warns about names of its own while it is imported.
pytestmark = pytest.mark.filterwarnings(r"ignore:.* has been deprecated in favor of:DeprecationWarning")

Json = dict[str, Any]

MARK = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
HIDDEN = "not-for-anyone-to-see"
TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::prompts", "arn:aws:s3:::prompts/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
FOUR_BLOCKS = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:live::shop::{token}::{name}"


def resource(token: str, name: str, inputs: Json, bucket: str = "", **more: Any) -> Json:
    """As `pulumi stack export` writes one, null lists included."""
    joined = {"bucket": [urn(BUCKET_TYPE, bucket)]} if bucket else None
    return {
        "urn": urn(token, name),
        "type": token,
        "custom": True,
        "id": name,
        "inputs": {"__defaults": [], **inputs},
        "outputs": {"id": name, **inputs},
        "dependencies": None,
        "propertyDependencies": joined,
        "provider": f"{urn('pulumi:providers:aws', 'default')}::0b1c",
        **more,
    }


STACK = {"urn": urn("pulumi:pulumi:Stack", "shop-live"), "type": "pulumi:pulumi:Stack", "custom": False}
FOREIGN = resource("cloudflare:index/record:Record", "www", {"name": "www", "ttl": 300})
OWN_KEY = "arn:aws:kms:eu-central-1:111122223333:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"
KEY_POLICY = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kms:*", "Resource": "*"}]}
)
BUCKET = resource(BUCKET_TYPE, "prompts", {"bucket": "prompts"})
BLOCK = resource(s3.PUBLIC_ACCESS_BLOCK, "block", FOUR_BLOCKS, bucket="prompts")
POLICY = resource(s3.POLICY, "policy", {"policy": json.dumps({"Statement": [TLS_ONLY]})}, bucket="prompts")
REST = [
    resource(
        "aws:s3/bucketVersioning:BucketVersioning",
        "versioning",
        {"versioningConfiguration": {"status": "Enabled"}},
        bucket="prompts",
    ),
    resource(
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "ownership",
        {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
        bucket="prompts",
    ),
    resource(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "encryption",
        {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": OWN_KEY}}]},
        bucket="prompts",
    ),
]
SECURED = [STACK, FOREIGN, BUCKET, BLOCK, POLICY, *REST]


def exported(*resources: Json) -> Json:
    return {"version": 3, "deployment": {"manifest": {}, "resources": list(resources)}}


def previewed(*resources: Json, op: str = "create", **more: Any) -> Json:
    return {"steps": [{"op": op, "urn": one["urn"], "newState": one} for one in resources], **more}


def key(rotation: Any, **more: Any) -> Json:
    return resource("aws:kms/key:Key", "data", {"enableKeyRotation": rotation, "policy": KEY_POLICY, **more})


def secret(value: Any) -> Json:
    return {MARK: SECRET, "plaintext": json.dumps(value)}


def encrypted() -> Json:
    return {MARK: SECRET, "ciphertext": HIDDEN}


def plant(folder: Path, document: Any) -> Path:
    file = folder / "state.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return file


def judge(folder: Path, document: Any, *more: str) -> tuple[int, Mapping[str, Any]]:
    """The exit code and the one run of the JSON report."""
    destination = folder / "report.json"
    arguments = ["--state", str(plant(folder, document)), "--json", str(destination), "--in-process", *more]
    code = policy_report.main(arguments)
    [run] = json.loads(destination.read_text(encoding="utf-8"))["runs"]
    return code, run


def violated(run: Mapping[str, Any]) -> set[str]:
    return {fault["rule"] for fault in run["violations"]}


def test_a_state_with_an_insecure_bucket_is_violated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, run = judge(tmp_path, exported(STACK, FOREIGN, BUCKET))
    assert (code, run["error"]) == (1, "")
    assert violated(run) >= {s3.PUBLIC_ACCESS.name, s3.POLICY_PRESENT.name}
    assert (run["program"], run["environment"], run["mode"], run["resources"]) == ("state.json", "live", "known", 3)
    assert "'prompts'" in capsys.readouterr().out


def test_the_same_bucket_secured_is_clean(tmp_path: Path) -> None:
    code, run = judge(tmp_path, exported(*SECURED))
    assert (code, run["violations"], run["waiting"], run["error"]) == (0, [], [], "")
    assert {s3.PUBLIC_ACCESS.name, s3.POLICY_PRESENT.name, s3.TLS_ONLY.name} <= set(run["rules_applied"])


def test_resource_rules_see_inputs_and_stack_rules_outputs(tmp_path: Path) -> None:
    drifted = {**BLOCK, "outputs": {**BLOCK["outputs"], "blockPublicAcls": False}}
    undemanded = {**key(True), "inputs": {"policy": KEY_POLICY}}
    assert violated(judge(tmp_path, exported(STACK, BUCKET, drifted, POLICY, *REST))[1]) == {s3.PUBLIC_ACCESS.name}
    assert violated(judge(tmp_path, exported(undemanded))[1]) == {"kms-key-require-rotation"}
    assert judge(tmp_path, exported(key(True)))[0] == 0


def state_of(deployment: engine.Deployment) -> list[Json]:
    """What a deployment leaves in its state."""
    return [
        {
            "urn": one.urn,
            "type": one.type,
            "custom": one.custom,
            "id": one.id,
            "inputs": one.inputs,
            "outputs": one.outputs,
            "parent": one.parent,
            "provider": one.provider,
            "dependencies": list(one.dependencies),
            "propertyDependencies": {key: list(urns) for key, urns in one.property_dependencies.items()},
        }
        for one in deployment.resources
    ]


@pytest.mark.parametrize(("program", "rejected_by"), [(INSECURE, REJECTED_BY), (SECURE, set())])
def test_a_state_is_judged_as_the_program_that_made_it(program: str, rejected_by: set[str], tmp_path: Path) -> None:
    folder = plant_program(tmp_path, program)
    deployed, planned = (state_of(engine.run(folder, "dev", preview=preview)) for preview in (False, True))
    found = [violated(judge(tmp_path, document)[1]) for document in (exported(*deployed), previewed(*planned))]
    assert [rejected_by - one for one in found] == [set(), set()]
    assert rejected_by or found == [set(), set()]


@pytest.mark.parametrize("mark", ["delete", "pendingReplacement"])
def test_what_is_deleted_or_pending_does_not_count(mark: str, tmp_path: Path) -> None:
    """Neither as an offender nor as the protection of another resource."""
    assert judge(tmp_path, exported(STACK, {**key(False), mark: True}))[0] == 0
    assert judge(tmp_path, exported(STACK, key(False)))[0] == 1
    assert judge(tmp_path, exported(STACK, BUCKET, POLICY, {**BLOCK, mark: True}))[0] == 1


def test_what_is_only_read_is_judged_by_stack_rules_alone(tmp_path: Path) -> None:
    """Its inputs are what it was looked up by; the rule that did not judge it does not count as passed."""
    code, run = judge(tmp_path, exported(STACK, {**key(False), "external": True}))
    assert (code, "kms-key-require-rotation" in run["rules_applied"]) == (0, False)
    code, run = judge(tmp_path, exported(STACK, {**BUCKET, "external": True}))
    assert (code, s3.PUBLIC_ACCESS.name in run["rules_applied"]) == (1, True)


def test_a_preview_is_judged_as_what_would_be(tmp_path: Path) -> None:
    code, run = judge(tmp_path, previewed(STACK, BUCKET))
    assert (code, run["mode"]) == (1, "preview")
    assert judge(tmp_path, previewed(*SECURED))[0] == 0
    assert judge(tmp_path, previewed(STACK, key(False)))[0] == 1
    assert judge(tmp_path, previewed(STACK, key(False), op="delete-replaced"))[1]["resources"] == 0


def test_an_unknown_value_waits_in_a_preview_and_is_no_pass_in_a_state(tmp_path: Path) -> None:
    code, run = judge(tmp_path, previewed(key(UNKNOWN)))
    assert (code, violated(run)) == (0, set())
    assert "kms-key-require-rotation" in {fault["rule"] for fault in run["waiting"]}
    assert judge(tmp_path, exported(key(UNKNOWN)))[0] == 2


def test_outputs_that_a_preview_does_not_name_are_unknown(tmp_path: Path) -> None:
    """A block of a bucket whose name nobody knows yet is neither its block nor surely another's."""
    planned = [{**one, "id": "", "outputs": {}} for one in (STACK, BUCKET, BLOCK, POLICY, *REST)]
    assert judge(tmp_path, previewed(*planned))[0] == 0
    elsewhere = {**planned[2], "propertyDependencies": {}, "inputs": {**FOUR_BLOCKS, "bucket": UNKNOWN}}
    code, run = judge(tmp_path, previewed(*planned[:2], elsewhere, *planned[3:]))
    assert code == 0
    assert s3.PUBLIC_ACCESS.name in {fault["rule"] for fault in run["waiting"]}


def test_an_incomplete_preview_is_not_judged(tmp_path: Path) -> None:
    for more, sentence in (
        ({"diagnostics": [{"severity": "error", "message": HIDDEN}]}, "ended with an error"),
        ({"changeSummary": {"same": 3}}, "--show-sames"),
    ):
        code, run = judge(tmp_path, previewed(*SECURED, **more))
        assert code == 2
        assert sentence in run["error"]
    harmless = {"diagnostics": [{"severity": "warning"}], "changeSummary": {"same": 5}}
    assert judge(tmp_path, previewed(*SECURED, op="same", **harmless))[0] == 0


def test_a_secret_in_clear_is_judged_and_one_that_is_hidden_waits(tmp_path: Path) -> None:
    assert judge(tmp_path, exported(key(secret(value=False))))[0] == 1
    assert judge(tmp_path, exported(key(secret(value=True))))[0] == 0
    assert judge(tmp_path, exported(key(encrypted())))[0] == 2
    assert judge(tmp_path, exported(key("[secret]")))[0] == 2
    assert judge(tmp_path, exported(key(True, description=encrypted())))[0] == 0


@pytest.mark.parametrize("value", [secret(HIDDEN), encrypted(), {"deep": [secret([{"a": HIDDEN}])]}])
def test_a_secret_is_in_no_output(value: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = resource(s3.POLICY, "policy", {"policy": value}, bucket="prompts")
    files = [str(tmp_path / name) for name in ("findings.sarif", "findings.xml")]
    code, _ = judge(tmp_path, exported(STACK, BUCKET, wrong, key(value)), "--sarif", files[0], "--junit", files[1])
    shown = capsys.readouterr()
    written = "".join(Path(file).read_text(encoding="utf-8") for file in (*files, str(tmp_path / "report.json")))
    assert code == 1
    assert s3.PUBLIC_ACCESS.name in written
    assert HIDDEN not in shown.out + shown.err + written


def test_a_pack_that_fails_on_a_secret_does_not_repeat_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise ValueError(HIDDEN)

    monkeypatch.setattr("policy_packs.serving.plain", failing)
    code, run = judge(tmp_path, exported(key(secret(HIDDEN))))
    assert code == 2
    assert "the pack failed" in run["error"]
    assert HIDDEN not in run["error"]


WRONG: Mapping[str, tuple[Any, str]] = {
    "no JSON": (f"{{'{HIDDEN}'", "not JSON: line 1, column 2"),
    "no object": ([HIDDEN], "the document must be an object"),
    "neither kind of document": ({HIDDEN: HIDDEN}, "neither `deployment`"),
    "a deployment that is none": ({"deployment": HIDDEN}, "deployment must be an object"),
    "no resources": (exported(), "holds no resource"),
    "resources that are no list": ({"deployment": {"resources": HIDDEN}}, "deployment.resources must be a list"),
    "a resource that is none": (exported(STACK, HIDDEN), "deployment.resources[1] must be an object"),  # type: ignore[arg-type]  # wrong on purpose
    "no type": (exported({"urn": urn("a:b:C", HIDDEN)}), "deployment.resources[0].type is missing"),
    "no URN": (exported({**STACK, "urn": HIDDEN}), "deployment.resources[0].urn must be a Pulumi URN"),
    "a name with a control character": (exported({**STACK, "urn": urn("a:b:C", "\x1b[2J")}), "must be a Pulumi URN"),
    "inputs that are a list": (exported({**STACK, "inputs": [HIDDEN]}), "resources[0].inputs must be an object"),
    "a flag that is a text": (exported({**STACK, "delete": HIDDEN}), "resources[0].delete must be true or false"),
    "dependencies that are numbers": (exported({**STACK, "dependencies": [1]}), "dependencies must hold texts only"),
    "a plaintext that is no JSON": (
        exported({**STACK, "outputs": {"a": {MARK: SECRET, "plaintext": HIDDEN}}}),
        "outputs holds a secret whose plaintext is not JSON",
    ),
    "a step without its operation": ({"steps": [{"newState": STACK}]}, "steps[0].op is missing"),
    "nested too deeply": ("[" * 100_000, "not JSON that can be read"),
    "a number without end": (exported({**STACK, "inputs": {"a": 10**400}}), "OverflowError"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_malformed_file_is_named_and_not_judged(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, sentence = WRONG[case]
    code, run = judge(tmp_path, document)
    shown = capsys.readouterr()
    assert code == 2
    assert sentence in run["error"]
    assert HIDDEN not in shown.out + shown.err + json.dumps(run)


def test_a_file_that_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be read: No such file"):
        read_state(tmp_path / "nowhere.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StateError, match="not JSON that can be read: UnicodeDecodeError"):
        read_state(tmp_path / "binary")


def test_one_bad_file_among_good_ones_is_no_pass(tmp_path: Path) -> None:
    good = plant(tmp_path, exported(*SECURED))
    assert policy_report.main(["--state", str(good), "--in-process"]) == 0
    assert policy_report.main(["--state", str(good), "--state", str(tmp_path / "no"), "--in-process"]) == 2


def test_the_packs_as_pulumi_serves_them_say_the_same(tmp_path: Path) -> None:
    in_process = judge(tmp_path, exported(STACK, BUCKET, key(encrypted())))
    policy_report.main(["--state", str(tmp_path / "state.json"), "--json", str(tmp_path / "served.json")])
    [served] = json.loads((tmp_path / "served.json").read_text(encoding="utf-8"))["runs"]
    assert served == in_process[1]
    assert violated(served) >= {s3.PUBLIC_ACCESS.name, s3.POLICY_PRESENT.name}


def test_the_line_of_the_program_is_shown_where_the_state_has_it(tmp_path: Path) -> None:
    here = {**key(False), "sourcePosition": "project:///app/index.ts#12,3"}
    [fault] = judge(tmp_path, exported(here))[1]["violations"]
    assert fault["source"] == "app/index.ts:12"
    [fault] = judge(tmp_path, exported({**here, "sourcePosition": "file:///home/x/index.ts#1"}))[1]["violations"]
    assert fault["source"] == ""


def test_state_goes_with_no_program(capsys: pytest.CaptureFixture[str]) -> None:
    for more in (["--environment", "dev"], ["--program", ".", "--stack", "dev"], ["--junit", "-", "--json", "-"]):
        with pytest.raises(SystemExit) as stopped:
            policy_report.main(["--state", "state.json", *more])
        assert stopped.value.code == 2
    assert "--state judges files" in capsys.readouterr().err


# --- settings and exemptions of somebody else's packs


def configured(folder: Path, content: Any) -> list[str]:
    file = folder / "baseline-security.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return ["--pack-config", f"baseline-security={file}"]


def exemption(ends: date) -> Json:
    given = {
        "urn": urn("aws:kms/key:Key", "data"),
        "reason": "the partner rotates it by hand",
        "ends": ends.isoformat(),
    }
    return {"kms-key-require-rotation": {"exemptions": [given]}}


def test_what_is_exempted_is_listed_and_does_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends = datetime.now(UTC).date() + timedelta(days=30)
    code, run = judge(tmp_path, exported(STACK, key(False)), *configured(tmp_path, exemption(ends)))
    shown = " ".join(capsys.readouterr().out.split())
    assert (code, run["violations"]) == (0, [])
    assert [fault["rule"] for fault in run["exempted"]] == ["kms-key-require-rotation"]
    assert f"exempted until {ends.isoformat()}: the partner rotates it by hand" in shown


def test_an_exemption_that_has_ended_exempts_nothing(tmp_path: Path) -> None:
    ended = datetime.now(UTC).date() - timedelta(days=1)
    code, run = judge(tmp_path, exported(STACK, key(False)), *configured(tmp_path, exemption(ended)))
    assert (code, run["exempted"]) == (1, [])
    assert any("ends: has passed" in fault["message"] for fault in run["violations"])


def test_settings_of_a_pack_decide(tmp_path: Path) -> None:
    group = resource("aws:cloudwatch/logGroup:LogGroup", "chat", {"kmsKeyId": OWN_KEY, "retentionInDays": 30})
    rule = "cloudwatch-log-group-require-key-and-retention"
    strict = configured(tmp_path, {rule: {"retention_days_min": 365}})
    assert rule not in violated(judge(tmp_path, exported(STACK, group))[1])
    assert rule in violated(judge(tmp_path, exported(STACK, group), *strict)[1])


@pytest.mark.parametrize(
    ("content", "sentence"), [({"no-such-rule": {}}, "no rule of this pack"), ([], "must be an object")]
)
def test_settings_nobody_can_mean_are_refused(
    content: Any, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        judge(tmp_path, exported(STACK, key(True)), *configured(tmp_path, content))
    assert stopped.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


# --- JUnit


def cases(*runs: Run) -> dict[str, ElementTree.Element]:
    document = ElementTree.fromstring(junit(runs))  # noqa: S314 - written two lines above
    return {case.get("name", ""): case for case in document.iter("testcase")}


def test_junit_has_a_test_for_every_rule(tmp_path: Path) -> None:
    file = tmp_path / "findings.xml"
    _, run = judge(tmp_path, exported(STACK, BUCKET, key(encrypted())), "--junit", str(file))
    [suite] = ElementTree.parse(file).getroot()  # noqa: S314 - our own file
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert list(found) == list(RULES)
    assert (suite.get("name"), suite.get("tests")) == ("state.json live known", str(len(RULES)))
    assert found[s3.PUBLIC_ACCESS.name] == ["failure"]
    assert found["kms-key-require-rotation"] == ["error"]
    assert found["lb-listener-require-tls13"] == ["skipped"]
    assert (suite.get("failures"), suite.get("errors")) == (str(len(violated(run))), "1")
    assert len(violated(run)) >= 2
    assert {case.get("classname") for case in suite} == set(PACKS)


def test_junit_shows_a_rule_that_passed_without_a_mark(tmp_path: Path) -> None:
    target = Target(tmp_path, "dev")
    assert list(cases(Run(target, Mode.KNOWN, applied=frozenset(RULES)))["kms-key-require-rotation"]) == []


def test_what_waits_is_an_error_only_where_everything_is_known(tmp_path: Path) -> None:
    waits = (Fault("baseline-security", "kms-key-require-rotation", "urn:key", "", "not yet"),)
    for mode, mark in ((Mode.KNOWN, "error"), (Mode.PREVIEW, "skipped")):
        [child] = cases(Run(Target(tmp_path, "dev"), mode, waiting=waits))["kms-key-require-rotation"]
        assert child.tag == mark


def test_a_run_that_failed_passes_no_test(tmp_path: Path) -> None:
    found = cases(Run(Target(tmp_path, "dev"), Mode.KNOWN, error="a \x1b<sign> & another"))
    assert {child.tag for case in found.values() for child in case} == {"error"}
    assert {child.get("message") for case in found.values() for child in case} == {"a \ufffd<sign> & another"}
