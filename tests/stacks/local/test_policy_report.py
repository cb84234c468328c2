"""`make policy`: a planted insecure stack is rejected by name, a clean one passes, the unjudgeable does neither."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from stacks.local import policy_report
from stacks.local.policy_runs import RULES, Fault, Mode, Run, Target, own_targets
from stacks.local.policy_sarif import sarif

# pulumi_aws warns about names of its own while it is imported.
pytestmark = pytest.mark.filterwarnings(r"ignore:.* has been deprecated in favor of:DeprecationWarning")

PROJECT = """
name: planted
runtime: python
"""

INSECURE = """
import json

import pulumi
import pulumi_aws as aws

vpc = aws.ec2.Vpc("network", cidr_block="10.0.0.0/16")
aws.ec2.InternetGateway("way-out", vpc_id=vpc.id)
group = aws.ec2.SecurityGroup("servers", vpc_id=vpc.id)
aws.vpc.SecurityGroupIngressRule(
    "everybody", security_group_id=group.id, ip_protocol="tcp", from_port=8000, to_port=8000, cidr_ipv4="0.0.0.0/0"
)
aws.ec2.VpcEndpoint(
    "models", vpc_id=vpc.id, service_name="com.amazonaws.eu-west-1.bedrock-runtime", vpc_endpoint_type="Interface"
)
aws.s3.Bucket("prompts", force_destroy=True)
aws.kms.Key("data")
aws.cloudwatch.LogGroup("chat")
aws.rds.ClusterInstance(
    "vectors", cluster_identifier="vectors", engine="aurora-postgresql", instance_class="db.r6g.large",
    publicly_accessible=True,
)
aws.lb.Listener(
    "plain", load_balancer_arn="arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/a/b", port=80,
    protocol="HTTP", default_actions=[{"type": "fixed-response", "fixed_response": {"content_type": "text/plain"}}],
)
aws.ecs.TaskDefinition(
    "server", family="server", container_definitions=json.dumps([{"name": "vllm", "image": "vllm/vllm-openai:latest"}])
)
role = aws.iam.Role("app", assume_role_policy="{}")
aws.iam.RolePolicy("app", role=role.name, policy=json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "bedrock:*", "Resource": "*"}],
}))
aws.iam.RolePolicyAttachment("all", role=role.name, policy_arn="arn:aws:iam::aws:policy/AmazonBedrockFullAccess")
aws.iam.User("robot")
aws.bedrock.Guardrail("soft", name="soft", blocked_input_messaging="no", blocked_outputs_messaging="no")
"""

REJECTED_BY = {
    "bedrock-disallow-api-keys-and-mantle",
    "bedrock-guardrail-require-numbered-version",
    "bedrock-guardrail-require-strength",
    "bedrock-invoke-require-guardrail",
    "bedrock-invoke-require-named-model",
    "bedrock-require-invocation-logging",
    "cloudwatch-log-group-require-key-and-retention",
    "dns-firewall-require-block-and-fail-closed",
    "ec2-security-group-disallow-open-cidr",
    "ecs-task-definition-require-hardened-containers",
    "iam-disallow-broad-managed-policies",
    "iam-disallow-static-credentials",
    "iam-policy-disallow-service-wide-allow",
    "kms-key-require-rotation",
    "lb-listener-require-tls13",
    "rds-database-disallow-public-address",
    "rds-instance-require-performance-insights",
    "s3-bucket-require-policy",
    "s3-bucket-require-public-access-block",
    "s3-log-archive-require-object-lock",
    "vpc-disallow-internet-beside-models",
    "vpc-endpoint-require-scoped-model-policy",
}

SECURE = """
import json

import pulumi_aws as aws

account = {"AWS": "arn:aws:iam::111122223333:root"}
policy = {"Statement": [{"Effect": "Allow", "Principal": account, "Action": "kms:*", "Resource": "*"}]}
aws.kms.Key("data", enable_key_rotation=True, policy=json.dumps(policy))
"""


def plant(folder: Path, program: str) -> Path:
    (folder / "Pulumi.yaml").write_text(PROJECT, encoding="utf-8")
    (folder / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (folder / "__main__.py").write_text(dedent(program), encoding="utf-8")
    return folder


def judge(folder: Path, *more: str) -> tuple[int, Mapping[str, Any]]:
    """The exit code and the JSON report."""
    destination = folder / "report" / "policy.json"
    arguments = ["--program", str(folder), "--stack", "dev", "--json", str(destination), *more]
    code = policy_report.main(arguments)
    return code, json.loads(destination.read_text(encoding="utf-8"))


def violated(run: Mapping[str, Any]) -> set[str]:
    return {fault["rule"] for fault in run["violations"]}


def test_a_planted_insecure_stack_is_rejected_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = judge(plant(tmp_path, INSECURE), "--in-process")
    shown = capsys.readouterr().out
    assert [run["error"] for run in report["runs"]] == ["", ""]
    assert code == 1
    assert report["verdict"] == "violated"
    known, preview = report["runs"]
    assert REJECTED_BY - violated(known) == set()
    # Everything this program does wrong is literal: the preview, which prevents, sees all of it.
    assert REJECTED_BY - violated(preview) == set()
    assert all(name in shown for name in REJECTED_BY)
    assert "__main__.py:" in known["violations"][0]["source"]


def test_a_stack_that_obeys_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = judge(plant(tmp_path, SECURE), "--in-process")
    assert code == 0
    assert "clean" in capsys.readouterr().out
    assert [run["violations"] for run in report["runs"]] == [[], []]


def test_the_packs_as_pulumi_serves_them_say_the_same(tmp_path: Path) -> None:
    folder = plant(tmp_path, INSECURE)
    served, in_process = judge(folder), judge(folder, "--in-process")
    assert served == in_process
    assert REJECTED_BY - violated(served[1]["runs"][0]) == set()


def test_a_program_that_fails_is_neither_clean_nor_violated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = judge(plant(tmp_path, "raise RuntimeError('no such thing')"), "--in-process")
    assert code == 2
    assert report["verdict"] == "not judged"
    assert "no such thing" in report["runs"][0]["error"]
    assert "not judged" in capsys.readouterr().out


WAITS = """
import json

import pulumi_aws as aws

key = aws.kms.Key("data", enable_key_rotation=True, policy="{}")
aws.iam.RolePolicy("app", role="app", policy=key.arn.apply(lambda arn: json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": arn}]}
)))
"""


@pytest.mark.parametrize(
    ("options", "words"), [((), "waits for up"), (("--nothing-waits",), "not judged")], ids=["may wait", "may not"]
)
def test_a_rule_that_waits_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    rule = "iam-policy-disallow-service-wide-allow"
    _, report = judge(plant(tmp_path, WAITS), "--in-process", *options)

    known, preview = report["runs"]
    assert rule in {fault["rule"] for fault in preview["waiting"]}
    assert known["waiting"] == []
    assert any(rule in line and words in line for line in capsys.readouterr().out.splitlines())


def test_what_waits_although_everything_is_known_was_not_judged(tmp_path: Path) -> None:
    """A value that stays unknown where ids are known would otherwise pass unseen."""
    waiting = Run(Target(tmp_path, "dev"), Mode.PREVIEW)
    faults = _faults(tmp_path)
    assert policy_report.verdict([Run(waiting.target, Mode.PREVIEW, waiting=faults)]) == 0
    assert policy_report.verdict([Run(waiting.target, Mode.KNOWN, waiting=faults)]) == 2
    assert policy_report.verdict([Run(waiting.target, Mode.PREVIEW, waiting=faults, may_wait=False)]) == 2


def _faults(folder: Path) -> tuple[Fault, ...]:
    return (Fault("baseline-security", "kms-key-require-rotation", "urn:key", f"{folder}/__main__.py:3", "not yet"),)


def test_sarif_names_rule_place_and_severity(tmp_path: Path) -> None:
    run = Run(Target(tmp_path, "dev"), Mode.KNOWN, violations=_faults(tmp_path))
    document = sarif([run, run])
    [judged] = document["runs"]
    assert [rule["id"] for rule in judged["tool"]["driver"]["rules"]] == list(RULES)
    [result] = judged["results"]
    assert (result["ruleId"], result["level"]) == ("kms-key-require-rotation", "error")
    [location] = result["locations"]
    assert location["physicalLocation"]["region"] == {"startLine": 3}
    assert sarif([Run(run.target, Mode.KNOWN)])["runs"][0]["results"] == []


def test_an_unknown_environment_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy_report.main(["--environment", "production"]) == 2
    assert "no program has a stack named 'production'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--program", "."], "--program and --stack go together"),
        (["--program", "nowhere", "--stack", "dev"], "nowhere is no folder"),
        (["--config", "a"], "write KEY=VALUE"),
        (["--json", "-", "--sarif", "-"], "only one can go to standard output"),
    ],
)
def test_a_wrong_command_line_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        policy_report.main(arguments)
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_platform_is_judged_before_the_programs_that_read_it() -> None:
    labels = [target.label for target in own_targets()]
    assert labels[0] == "stacks/platform"
    assert {target.stack for target in own_targets("prod")} == {"prod"}
    assert own_targets("nowhere") == ()
