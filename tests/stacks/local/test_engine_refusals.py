"""What mocks hide is refused, in one sentence with the place; the same program without the mistake runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pulumi.runtime.proto import resource_pb2

from stacks.local.engine import EngineError, run
from stacks.local.engine_backend import Invented
from stacks.local.engine_packs import Packs
from stacks.local.engine_project import load_project
from stacks.local.monitor import Monitor
from tests.stacks.local.planted import FIRST_LINE, Mistake, plant

MISTAKES = (
    Mistake(
        "duplicate URN",
        """
        aws.sqs.Queue("jobs", opts=mine)
        aws.sqs.Queue("jobs", opts=mine)
        """,
        """
        aws.sqs.Queue("jobs", opts=mine)
        aws.sqs.Queue("others", opts=mine)
        """,
        "duplicate URN: a second aws:sqs/queue:Queue named 'jobs'",
    ),
    Mistake(
        "misspelt nested property",
        """
        aws.s3.BucketVersioning("versions", bucket="b", versioning_configuration={"state": "Enabled"}, opts=mine)
        """,
        """
        aws.s3.BucketVersioning("versions", bucket="b", versioning_configuration={"status": "Enabled"}, opts=mine)
        """,
        "versioningConfiguration.state: unknown property; did you mean status?",
    ),
    Mistake(
        "misspelt property in a list",
        """
        rule = {"apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_key": "k"}}
        aws.s3.BucketServerSideEncryptionConfiguration("encryption", bucket="b", rules=[rule], opts=mine)
        """,
        """
        rule = {"apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": "k"}}
        aws.s3.BucketServerSideEncryptionConfiguration("encryption", bucket="b", rules=[rule], opts=mine)
        """,
        "rules[0].applyServerSideEncryptionByDefault.kms_key: unknown property; did you mean kmsMasterKeyId?",
    ),
    Mistake(
        "value outside an enumeration of the SDK",
        """
        aws.rds.ClusterInstance(
            "one", cluster_identifier="c", engine="aurora-postgresql", instance_class="db.serverless",
            opts=mine)
        aws.rds.Cluster("c", engine="aurora-postgresql", engine_mode="provisoned", opts=mine)
        """,
        """
        aws.rds.ClusterInstance(
            "one", cluster_identifier="c", engine="aurora-postgresql", instance_class="db.serverless",
            opts=mine)
        aws.rds.Cluster("c", engine="aurora-postgresql", engine_mode="provisioned", opts=mine)
        """,
        "engineMode: must be one of",
    ),
    Mistake(
        "value outside an enumeration of the AWS API",
        """
        aws.s3.BucketOwnershipControls("o", bucket="b", rule={"object_ownership": "BucketOwnerEnforcd"}, opts=mine)
        """,
        """
        aws.s3.BucketOwnershipControls("o", bucket="b", rule={"object_ownership": "BucketOwnerEnforced"}, opts=mine)
        """,
        "rule.objectOwnership: must be one of BucketOwnerEnforced, BucketOwnerPreferred, ObjectWriter",
    ),
    Mistake(
        "missing required input inside a dictionary",
        """
        aws.s3.BucketVersioning("versions", bucket="b", versioning_configuration={}, opts=mine)
        """,
        """
        aws.s3.BucketVersioning("versions", bucket="b", versioning_configuration={"status": "Enabled"}, opts=mine)
        """,
        "versioningConfiguration.status: is required and missing",
    ),
    Mistake(
        "wrong type",
        """
        aws.kms.Key("key", enable_key_rotation="yes", opts=mine)
        """,
        """
        aws.kms.Key("key", enable_key_rotation=True, opts=mine)
        """,
        "enableKeyRotation: must be a boolean (got str)",
    ),
    Mistake(
        "null in a policy document",
        """
        statement = {"Effect": "Allow", "Principal": None, "Action": "s3:*", "Resource": "*"}
        aws.s3.BucketPolicy("policy", bucket="b", policy=json.dumps({"Statement": [statement]}), opts=mine)
        """,
        """
        statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}
        aws.s3.BucketPolicy("policy", bucket="b", policy=json.dumps({"Statement": [statement]}), opts=mine)
        """,
        "policy: the document holds None at Statement[0].Principal",
    ),
    Mistake(
        "a missing value formatted into a policy document",
        """
        arn = {}.get("arn")
        statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"{arn}/*"}
        aws.s3.BucketPolicy("policy", bucket="b", policy=json.dumps({"Statement": [statement]}), opts=mine)
        """,
        """
        arn = {"arn": "arn:aws:s3:::b"}.get("arn")
        statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"{arn}/*"}
        aws.s3.BucketPolicy("policy", bucket="b", policy=json.dumps({"Statement": [statement]}), opts=mine)
        """,
        "policy: the document holds 'None/*' at Statement[0].Resource",
    ),
    Mistake(
        "un-mocked invoke",
        """
        aws.ec2.get_vpc_output(id="vpc-1", opts=pulumi.InvokeOutputOptions(provider=provider))
        """,
        """
        aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(provider=provider))
        """,
        "un-mocked invoke aws:ec2/getVpc:getVpc",
    ),
    Mistake(
        "un-mocked invoke that is waited for",
        """
        aws.ec2.get_vpc(id="vpc-1", opts=pulumi.InvokeOptions(provider=provider))
        """,
        """
        aws.get_region(opts=pulumi.InvokeOptions(provider=provider))
        """,
        "un-mocked invoke aws:ec2/getVpc:getVpc",
    ),
    Mistake(
        "an Output formatted into a string",
        """
        queue = aws.sqs.Queue("jobs", opts=mine)
        aws.ssm.Parameter("where", type="String", value=f"{queue.url}", opts=mine)
        """,
        """
        queue = aws.sqs.Queue("jobs", opts=mine)
        aws.ssm.Parameter("where", type="String", value=pulumi.Output.format("{0}", queue.url), opts=mine)
        """,
        "_OutputToStringError: Calling __str__ on an Output[T] is not supported",
    ),
    Mistake(
        "the representation of an Output in a string",
        """
        queue = aws.sqs.Queue("jobs", opts=mine)
        aws.ssm.Parameter("where", type="String", value=f"{queue.url!r}", opts=mine)
        """,
        """
        queue = aws.sqs.Queue("jobs", opts=mine)
        aws.ssm.Parameter("where", type="String", value=queue.url, opts=mine)
        """,
        "value: an Output was formatted into a string",
    ),
    Mistake(
        "no explicit provider where default providers are disabled",
        """
        aws.sqs.Queue("jobs")
        """,
        """
        aws.sqs.Queue("jobs", opts=mine)
        """,
        "has no explicit provider, and default providers are disabled",
    ),
    Mistake(
        "a function without a provider where default providers are disabled",
        """
        aws.get_region()
        """,
        """
        aws.get_region(opts=pulumi.InvokeOptions(provider=provider))
        """,
        "has no explicit provider, and default providers are disabled",
    ),
    Mistake(
        "unknown keyword",
        """
        aws.sqs.Queue("jobs", visibility_timeout=30, opts=mine)
        """,
        """
        aws.sqs.Queue("jobs", visibility_timeout_seconds=30, opts=mine)
        """,
        "TypeError",
    ),
    Mistake(
        "a stack nobody gave outputs for",
        """
        pulumi.StackReference("organization/planted/elsewhere").require_output("x")
        """,
        """
        pulumi.StackReference("organization/planted/there").require_output("x")
        """,
        "no outputs are given for the stack 'organization/planted/elsewhere' (there are: organization/planted/there)",
    ),
)

REFERENCES = {"organization/planted/there": {"x": 1}}


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "known"])
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_mistake_is_refused_with_its_place(mistake: Mistake, preview: bool, tmp_path: Path) -> None:
    program = plant(tmp_path, mistake.bad)

    with pytest.raises(EngineError) as refused:
        run(program, "dev", preview=preview, references=REFERENCES)

    assert mistake.says in str(refused.value)
    place = re.match(r"^(/\S+__main__\.py):(\d+): ", str(refused.value))
    assert place is not None
    assert Path(place[1]) == program / "__main__.py"
    assert FIRST_LINE <= int(place[2]) < FIRST_LINE + mistake.bad.count("\n")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_program_without_the_mistake_runs(mistake: Mistake, tmp_path: Path) -> None:
    deployment = run(plant(tmp_path, mistake.good), "dev", references=REFERENCES)

    assert [resource.type for resource in deployment.resources][:2] == ["pulumi:pulumi:Stack", "pulumi:providers:aws"]
    assert deployment.messages == ()


def test_unknown_parent_is_refused(tmp_path: Path) -> None:
    """This SDK sends only parents that it registered; the protocol lets a program send any."""
    project = load_project(plant(tmp_path, ""), "dev", {})
    packs = Packs((), stop_at_mandatory=False)
    monitor = Monitor(project, Invented(preview=False), packs, {}, preview=False)
    request = resource_pb2.RegisterResourceRequest(
        type="a:b:C", name="child", parent="urn:pulumi:dev::planted::a:b:C::x"
    )

    with pytest.raises(EngineError, match="'child' has the unknown parent urn:pulumi:dev::planted::a:b:C::x"):
        monitor.RegisterResource(request)


def test_known_parent_is_accepted(tmp_path: Path) -> None:
    body = """
        parent = aws.sqs.Queue("parent", opts=mine)
        aws.sqs.Queue("jobs", opts=pulumi.ResourceOptions(provider=provider, parent=parent))
        """
    deployment = run(plant(tmp_path, body), "dev")

    child = deployment.named("aws:sqs/queue:Queue", "jobs")
    assert child.urn == "urn:pulumi:dev::planted::aws:sqs/queue:Queue$aws:sqs/queue:Queue::jobs"
    assert child.parent == deployment.named("aws:sqs/queue:Queue", "parent").urn


def test_error_inside_apply_names_its_line(tmp_path: Path) -> None:
    body = """
        queue = aws.sqs.Queue("jobs", opts=mine)
        queue.url.apply(lambda url: 1 / 0)
        """
    with pytest.raises(EngineError, match=rf"__main__\.py:{FIRST_LINE + 1}: ZeroDivisionError"):
        run(plant(tmp_path, body), "dev")
