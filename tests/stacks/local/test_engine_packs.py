"""Policy packs judge every resource and the stack, as real packs served over their own protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from stacks.local.engine import EngineError, Finding, Pack, run
from tests.stacks.local.planted import plant

PACK = """\
from pulumi_policy import (
    EnforcementLevel, PolicyConfigSchema, PolicyPack, ResourceValidationPolicy, StackValidationPolicy,
)


def rotates(args, report):
    if args.resource_type == "aws:kms/key:Key" and args.props.get("enableKeyRotation") is not True:
        report("the key does not rotate")


def names(args, report):
    if args.resource_type == "aws:sqs/queue:Queue" and not args.props["name"].startswith(args.get_config()["prefix"]):
        report("another prefix is wanted")


def closed(args, report):
    if args.resource_type == "aws:s3/bucketPolicy:BucketPolicy" and "Deny" not in args.props["policy"]:
        report("nothing is denied")


def one_key(args, report):
    keys = [resource for resource in args.resources if resource.resource_type == "aws:kms/key:Key"]
    if len(keys) > 1:
        report(f"{len(keys)} keys", keys[0].urn)


PolicyPack(
    "planted-pack",
    [
        ResourceValidationPolicy("rotates", "Keys rotate.", rotates, EnforcementLevel.MANDATORY),
        ResourceValidationPolicy("names", "Queues are named.", names, EnforcementLevel.ADVISORY,
            PolicyConfigSchema(properties={"prefix": {"type": "string", "default": "job"}})),
        ResourceValidationPolicy("closed", "Buckets deny.", closed, EnforcementLevel.MANDATORY),
        StackValidationPolicy("one-key", "One key is enough.", one_key, EnforcementLevel.MANDATORY),
    ],
)
"""

PROGRAM = """
    key = aws.kms.Key("key", enable_key_rotation={rotates}, opts=mine)
    aws.sqs.Queue("other", name="other", opts=mine)
    policy = key.arn.apply(lambda arn: json.dumps({{"Statement": [{{"Effect": "{effect}", "Resource": arn}}]}}))
    aws.s3.BucketPolicy("policy", bucket="b", policy=policy, opts=mine)
    """

GOOD = PROGRAM.format(rotates=True, effect="Deny")
BAD = PROGRAM.format(rotates=False, effect="Allow")
TRANSPORTS = pytest.mark.parametrize("in_process", [True, False], ids=["in process", "as a process"])


def pack(folder: Path, *, in_process: bool, **config: dict[str, object]) -> Pack:
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (folder / "__main__.py").write_text(dedent(PACK))
    return Pack(
        folder, config={name.replace("_", "-"): values for name, values in config.items()}, in_process=in_process
    )


def told(findings: tuple[Finding, ...]) -> set[tuple[str, str, str]]:
    return {(finding.policy, finding.level, finding.urn.rpartition("::")[2]) for finding in findings}


@TRANSPORTS
def test_violations_are_found_with_level_and_place(in_process: bool, tmp_path: Path) -> None:
    packs = [pack(tmp_path / "pack", in_process=in_process)]

    deployment = run(plant(tmp_path / "program", BAD), "dev", packs=packs)

    assert told(deployment.findings) == {
        ("rotates", "mandatory", "key"),
        ("names", "advisory", "other"),
        ("closed", "mandatory", "policy"),
    }
    assert {finding.pack for finding in deployment.findings} == {"planted-pack"}
    assert deployment.rejected


@TRANSPORTS
def test_obedient_program_is_not_rejected(in_process: bool, tmp_path: Path) -> None:
    packs = [pack(tmp_path / "pack", in_process=in_process, names={"prefix": "oth"})]

    deployment = run(plant(tmp_path / "program", GOOD), "dev", packs=packs)

    assert deployment.findings == ()
    assert not deployment.rejected


@TRANSPORTS
def test_what_a_preview_cannot_judge_is_a_finding_of_its_own(in_process: bool, tmp_path: Path) -> None:
    packs = [pack(tmp_path / "pack", in_process=in_process, names={"enforcementLevel": "disabled"})]

    deployment = run(plant(tmp_path / "program", GOOD), "dev", packs=packs, preview=True)

    assert told(deployment.findings) == {("closed", "unknown", "policy")}
    assert not deployment.rejected


@TRANSPORTS
def test_stack_is_judged_as_a_whole(in_process: bool, tmp_path: Path) -> None:
    body = GOOD + 'aws.kms.Key("second", enable_key_rotation=True, opts=mine)\n'
    packs = [pack(tmp_path / "pack", in_process=in_process, names={"enforcementLevel": "disabled"})]

    found = run(plant(tmp_path / "program", dedent(body)), "dev", packs=packs).findings

    assert [(finding.policy, finding.level) for finding in found] == [("one-key", "mandatory")]


@TRANSPORTS
def test_pack_is_found_by_a_relative_path(in_process: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pack(tmp_path / "pack", in_process=in_process)
    program = plant(tmp_path / "program", BAD)
    monkeypatch.chdir(tmp_path)

    assert run(program, "dev", packs=[replace(whole, path=Path("pack"))]).rejected


def test_both_transports_find_the_same(tmp_path: Path) -> None:
    program = plant(tmp_path / "program", BAD)
    for preview in (True, False):
        runs = [
            run(program, "dev", packs=[pack(tmp_path / f"{preview}{way}", in_process=way)], preview=preview).findings
            for way in (True, False)
        ]
        assert sorted(runs[0], key=repr) == sorted(runs[1], key=repr)


def test_configuration_of_an_unknown_policy_is_refused(tmp_path: Path) -> None:
    packs = [pack(tmp_path / "pack", in_process=True, nmaes={"prefix": "x"})]

    with pytest.raises(EngineError, match="configures the unknown policy 'nmaes'"):
        run(plant(tmp_path / "program", GOOD), "dev", packs=packs)


@TRANSPORTS
def test_rule_that_fails_stops_the_run(in_process: bool, tmp_path: Path) -> None:
    broken = pack(tmp_path / "pack", in_process=in_process)
    text = (broken.path / "__main__.py").read_text()
    (broken.path / "__main__.py").write_text(text.replace('report("the key does not rotate")', "raise ValueError('x')"))

    with pytest.raises(EngineError, match="the pack failed on urn:pulumi:dev::planted::aws:kms/key:Key::key"):
        run(plant(tmp_path / "program", BAD), "dev", packs=[broken])


@TRANSPORTS
def test_pack_that_does_not_start_is_one_sentence(in_process: bool, tmp_path: Path) -> None:
    dead = pack(tmp_path / "pack", in_process=in_process)
    (dead.path / "__main__.py").write_text("import absent_module\n")

    with pytest.raises(EngineError, match="absent_module"):
        run(plant(tmp_path / "program", GOOD), "dev", packs=[dead])
