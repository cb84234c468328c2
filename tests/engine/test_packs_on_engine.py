"""What the packs do on the real engine: what is wrong never comes to exist, and what waits is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stacks.local.policy_report import main as policy
from tests.engine.pulumi_cli import PACKS, Pulumi, attached_provider, is_installed, planted_program, policy_options

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not is_installed(), reason="needs the real `pulumi` on PATH"),
]

INSECURE = """\
import json

import pulumi_aws as aws

account = {"AWS": "arn:aws:iam::111122223333:root"}
policy = json.dumps({"Statement": [{"Effect": "Allow", "Principal": account, "Action": "kms:*", "Resource": "*"}]})
aws.kms.Key("fine", enable_key_rotation=True, policy=policy)
aws.kms.Key("weak", enable_key_rotation=False, policy=policy)
"""

# Its metadata service answers without a token, which a remedy repairs; a secret stands beside it.
REPAIRABLE = """\
import pulumi
import pulumi_aws as aws

aws.ec2.LaunchTemplate(
    "servers",
    user_data=pulumi.Output.secret("IyEvYmluL3NoCg=="),
    block_device_mappings=[{"device_name": "/dev/xvda", "ebs": {
        "encrypted": "true",
        "kms_key_id": "arn:aws:kms:eu-central-1:111122223333:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11",
    }}],
    metadata_options={"http_tokens": "optional", "http_put_response_hop_limit": 2},
)
"""

# The ARN of a queue that does not exist yet makes the whole document unknown at preview.
WRITTEN_LATER = """\
import json

import pulumi_aws as aws

key = "arn:aws:kms:eu-central-1:111122223333:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"
queue = aws.sqs.Queue("inbox", kms_master_key_id=key)
document = queue.arn.apply(lambda arn: json.dumps({{"Version": "2012-10-17", "Statement": [{statement}]}}))
aws.sqs.QueuePolicy("inbox", queue_url=queue.url, policy=document)
"""
TLS_ONLY = """
    {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": arn,
     "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
"""
FOR_ALL = TLS_ONLY + '    {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn},'
RULE = "sqs-queue-policy-disallow-public"


@pytest.fixture
def pulumi(tmp_path: Path) -> Iterator[Pulumi]:
    with attached_provider("recording", environment={}) as aws:
        yield Pulumi(tmp_path, {"aws": aws})


@pytest.fixture
def insecure(pulumi: Pulumi) -> Iterator[Path]:
    with planted_program(INSECURE) as program:
        pulumi(program, "stack", "init", "dev")
        yield program


@pytest.fixture(params=[FOR_ALL, TLS_ONLY], ids=["for everybody", "for its owners"])
def written_later(request: pytest.FixtureRequest, pulumi: Pulumi) -> Iterator[tuple[Path, bool]]:
    """A program whose policy is unknown at preview, and whether it will turn out to be wrong."""
    with planted_program(WRITTEN_LATER.format(statement=request.param)) as program:
        pulumi(program, "stack", "init", "dev")
        yield program, request.param is FOR_ALL


def deployed_types(pulumi: Pulumi, program: Path) -> set[str]:
    exported: Any = json.loads(pulumi(program, "stack", "export", "--stack", "dev").stdout)
    return {one["type"] for one in exported["deployment"].get("resources", [])}


def test_an_insecure_program_is_rejected_at_preview(pulumi: Pulumi, insecure: Path) -> None:
    refused = pulumi(insecure, "preview", "--stack", "dev", *policy_options(), check=False)

    assert refused.returncode != 0
    assert "[mandatory]" in refused.stdout
    assert "weak" in refused.stdout
    assert "fine" not in refused.stdout.partition("Policies:")[2]


def test_the_variable_of_the_cli_names_the_packs_too(pulumi: Pulumi, insecure: Path) -> None:
    """`PULUMI_OPTION_POLICY_PACK`: CI sets it once, and no call can forget the option."""
    by_variable = replace(pulumi, options={"PULUMI_OPTION_POLICY_PACK": ",".join(map(str, PACKS))})

    refused = by_variable(insecure, "preview", "--stack", "dev", check=False)

    assert refused.returncode != 0
    assert "kms-key-require-rotation" in refused.stdout
    assert pulumi(insecure, "preview", "--stack", "dev").returncode == 0


def test_what_is_unknown_at_preview_is_judged_before_it_exists(
    pulumi: Pulumi, written_later: tuple[Path, bool]
) -> None:
    program, is_wrong = written_later
    previewed = pulumi(program, "preview", "--stack", "dev", *policy_options())
    assert RULE in previewed.stdout, "the rule that waits is named"

    made = pulumi(program, "up", "--yes", "--skip-preview", "--stack", "dev", *policy_options(), check=False)

    assert (made.returncode != 0) is is_wrong
    assert ("aws:sqs/queuePolicy:QueuePolicy" in deployed_types(pulumi, program)) is not is_wrong
    assert "aws:sqs/queue:Queue" in deployed_types(pulumi, program)


def test_the_report_says_which_rules_wait(
    pulumi: Pulumi, written_later: tuple[Path, bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, _ = written_later
    preview, report = tmp_path / "preview.json", tmp_path / "report.json"
    preview.write_text(pulumi(program, "preview", "--json", "--show-sames", "--stack", "dev").stdout)

    code = policy(["--state", str(preview), "--json", str(report), "--in-process"])

    run = json.loads(report.read_text())["runs"][0]
    assert code == 0
    assert RULE in {fault["rule"] for fault in run["waiting"]}
    assert policy(["--state", str(preview), "--nothing-waits", "--in-process"]) == 2
    assert RULE in capsys.readouterr().out


def test_an_exemption_in_the_configuration_of_the_cli_holds_until_it_ends(
    pulumi: Pulumi, insecure: Path, tmp_path: Path
) -> None:
    exempted = {"urn": "urn:pulumi:dev::planted::aws:kms/key:Key::weak", "reason": "a partner rotates it"}
    codes = []
    for days in (30, -1):
        ends = (datetime.now(UTC).date() + timedelta(days=days)).isoformat()
        file = tmp_path / f"{days}.json"
        file.write_text(json.dumps({"kms-key-require-rotation": {"exemptions": [{**exempted, "ends": ends}]}}))
        options = ["--policy-pack", str(PACKS[0]), "--policy-pack-config", str(file)]
        codes.append(pulumi(insecure, "preview", "--stack", "dev", *options, check=False).returncode)

    assert codes[0] == 0
    assert codes[1] != 0


def test_a_remedy_repairs_what_the_program_left_open(pulumi: Pulumi, tmp_path: Path) -> None:
    """Only where the user asks for it, and the secret beside it stays one."""
    file = tmp_path / "remedies.json"
    rule = "ec2-launch-template-require-imdsv2"
    file.write_text(json.dumps({rule: {"enforcementLevel": "remediate"}}))
    with planted_program(REPAIRABLE) as program:
        pulumi(program, "stack", "init", "dev")
        refused = pulumi(program, "preview", "--stack", "dev", *policy_options(PACKS[:1]), check=False)
        options = ["--policy-pack", str(PACKS[0]), "--policy-pack-config", str(file)]
        made = pulumi(program, "up", "--yes", "--skip-preview", "--stack", "dev", *options, check=False)
        exported = pulumi(program, "stack", "export", "--stack", "dev").stdout

    assert made.returncode == 0, made.stdout
    [template] = [one for one in json.loads(exported)["deployment"]["resources"] if "LaunchTemplate" in one["type"]]
    assert rule in refused.stdout
    assert template["inputs"]["metadataOptions"]["httpTokens"] == "required"
    assert "IyEvYmluL3NoCg" not in exported
    assert "ciphertext" in template["inputs"]["userData"]


def test_a_file_analysed_by_the_cli_gets_the_same_answer(pulumi: Pulumi, insecure: Path, tmp_path: Path) -> None:
    pulumi(insecure, "up", "--yes", "--skip-preview", "--stack", "dev")
    state = tmp_path / "state.json"
    state.write_text(pulumi(insecure, "stack", "export", "--stack", "dev").stdout)

    analysed = pulumi(insecure, "policy", "analyze", "--file", str(state), *policy_options(), check=False)

    assert analysed.returncode != 0
    assert "kms-key-require-rotation" in analysed.stdout + analysed.stderr
    assert policy(["--state", str(state), "--in-process"]) == 1
