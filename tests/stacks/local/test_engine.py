"""The engine returns the whole graph of an unmodified program, each run by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from stacks.local.engine import UNKNOWN, EngineError, run
from tests.stacks.local.planted import plant

GRAPH = """
    class Store(pulumi.ComponentResource):
        def __init__(self, name, opts=None):
            super().__init__("planted:components:Store", name, None, opts)
            inner = pulumi.ResourceOptions(parent=self)
            self.key = aws.kms.Key("key", opts=pulumi.ResourceOptions(parent=self, protect=True))
            self.bucket = aws.s3.Bucket("bucket", tags={"of": name}, opts=inner)
            policy = self.bucket.arn.apply(lambda arn: json.dumps({"Statement": [{"Resource": f"{arn}/*"}]}))
            aws.s3.BucketPolicy("policy", bucket=self.bucket.id, policy=policy, opts=inner)
            self.register_outputs({"arn": self.key.arn})

    store = Store("store", pulumi.ResourceOptions(providers=[provider]))
    pulumi.export("key", store.key.arn)
    pulumi.export("nested", {"bucket": store.bucket.bucket, "region": "eu-west-1"})
    pulumi.export("hidden", pulumi.Output.secret("word"))
    """


def test_graph_holds_parents_dependencies_and_options(tmp_path: Path) -> None:
    deployment = run(plant(tmp_path, GRAPH), "dev")

    key = deployment.named("aws:kms/key:Key", "key")
    policy = deployment.named("aws:s3/bucketPolicy:BucketPolicy", "policy")
    bucket = deployment.named("aws:s3/bucket:Bucket", "bucket")
    assert key.urn == "urn:pulumi:dev::planted::planted:components:Store$aws:kms/key:Key::key"
    assert (key.protect, bucket.protect) == (True, False)
    assert policy.property_dependencies == {"bucket": (bucket.urn,), "policy": (bucket.urn,)}
    assert policy.inputs["policy"] == '{"Statement": [{"Resource": "' + bucket.outputs["arn"] + '/*"}]}'
    assert policy.provider.startswith("urn:pulumi:dev::planted::pulumi:providers:aws::aws::")
    assert deployment.outputs["key"] == key.outputs["arn"]
    assert deployment.resources[0].secrets == ()


def test_secret_outputs_are_plain_and_marked(tmp_path: Path) -> None:
    body = 'aws.ssm.Parameter("p", type="SecureString", value=pulumi.Output.secret("word"), opts=mine)'
    parameter = run(plant(tmp_path, body), "dev").named("aws:ssm/parameter:Parameter", "p")

    assert parameter.inputs["value"] == "word"
    assert parameter.secrets == ("value",)


def test_preview_leaves_ids_and_computed_outputs_unknown(tmp_path: Path) -> None:
    deployment = run(plant(tmp_path, GRAPH), "dev", preview=True)

    policy = deployment.named("aws:s3/bucketPolicy:BucketPolicy", "policy")
    assert policy.inputs == {"bucket": UNKNOWN, "policy": UNKNOWN}
    assert deployment.outputs["key"] == UNKNOWN
    assert deployment.outputs["nested"]["region"] == "eu-west-1"
    assert deployment.preview


def test_both_transports_return_the_same_graph(tmp_path: Path) -> None:
    program = plant(tmp_path, GRAPH)

    in_process = run(program, "dev", transport="in process")
    over_grpc = run(program, "dev", transport="grpc")

    by_urn = [{one.urn: one for one in deployment.resources} for deployment in (in_process, over_grpc)]
    assert by_urn[0] == by_urn[1]
    assert in_process.outputs == over_grpc.outputs


def test_both_transports_refuse_with_the_same_sentence(tmp_path: Path) -> None:
    body = """
        first = aws.kms.Key("key", opts=mine)
        after = pulumi.ResourceOptions(provider=provider, depends_on=[first])  # what is independent comes in any order
        aws.kms.Key("key", opts=after)
        """
    program, sentences = plant(tmp_path, body), []
    for transport in ("in process", "grpc"):
        with pytest.raises(EngineError) as refused:
            run(program, "dev", transport=transport)
        sentences.append(str(refused.value))

    assert sentences[0] == sentences[1]
    assert "duplicate URN" in sentences[0]


def test_two_runs_in_one_process_know_nothing_of_each_other(tmp_path: Path) -> None:
    first = plant(tmp_path / "first", 'import settings\naws.sqs.Queue(settings.NAME, opts=mine)\npulumi.export("a", 1)')
    (first / "settings.py").write_text('NAME = "one"\n')
    second = plant(tmp_path / "second", "import settings\naws.sqs.Queue(settings.NAME, opts=mine)")
    (second / "settings.py").write_text('NAME = "two"\n')
    before = (os.getcwd(), list(sys.path), dict(os.environ))

    one, two, again = run(first, "dev"), run(second, "prod", preview=True), run(first, "dev")

    assert [resource.name for resource in one.of_type("aws:sqs/queue:Queue")] == ["one"]
    assert [resource.name for resource in two.of_type("aws:sqs/queue:Queue")] == ["two"]
    assert (two.stack, two.outputs, again) == ("prod", {}, one)
    assert (os.getcwd(), list(sys.path), dict(os.environ)) == before
    assert "settings" not in sys.modules


def test_a_failed_run_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    broken = plant(tmp_path / "broken", 'aws.sqs.Queue("jobs", opts=mine)\nraise RuntimeError("halt")')
    with pytest.raises(EngineError, match="RuntimeError: halt"):
        run(broken, "dev")

    whole = run(plant(tmp_path / "whole", 'aws.sqs.Queue("jobs", opts=mine)'), "dev")
    assert len(whole.resources) == 3


def test_program_runs_from_its_own_folder_first_on_the_path(tmp_path: Path) -> None:
    body = """
        import os, sys
        pulumi.export("folder", os.getcwd())
        pulumi.export("first", sys.path[0])
        """
    program = plant(tmp_path, body)

    assert run(program, "dev").outputs == {"folder": str(program), "first": str(program)}


def test_transforms_of_the_stack_are_applied(tmp_path: Path) -> None:
    body = """
        def protect(args):
            if args.type_ != "aws:sqs/queue:Queue":
                return None
            args.props["tags"] = {"transformed": "yes"}
            return pulumi.ResourceTransformResult(args.props, pulumi.ResourceOptions.merge(
                args.opts, pulumi.ResourceOptions(protect=True)))

        pulumi.runtime.register_resource_transform(protect)
        aws.sqs.Queue("jobs", opts=mine)
        aws.kms.Key("key", opts=mine)
        """
    deployment = run(plant(tmp_path, body), "dev")

    queue = deployment.named("aws:sqs/queue:Queue", "jobs")
    assert (queue.inputs["tags"], queue.protect) == ({"transformed": "yes"}, True)
    assert deployment.named("aws:kms/key:Key", "key").protect is False


def test_default_tags_of_the_provider_reach_every_resource(tmp_path: Path) -> None:
    body = """
        tagged = aws.Provider("tagged", region="eu-west-1", default_tags={"tags": {"owner": "a", "kind": "b"}})
        aws.sqs.Queue("jobs", tags={"kind": "own"}, opts=pulumi.ResourceOptions(provider=tagged))
        aws.sqs.Queue("bare", opts=mine)
        """
    deployment = run(plant(tmp_path, body), "dev")

    assert deployment.named("aws:sqs/queue:Queue", "jobs").outputs["tagsAll"] == {"owner": "a", "kind": "own"}
    assert deployment.named("aws:sqs/queue:Queue", "bare").outputs["tagsAll"] == {}


def test_region_of_the_provider_holds_for_functions_and_arns(tmp_path: Path) -> None:
    body = """
        abroad = aws.Provider("abroad", region="us-west-2", allowed_account_ids=["111122223333"])
        aws.sqs.Queue("jobs", opts=pulumi.ResourceOptions(provider=abroad))
        here = aws.get_region_output(opts=pulumi.InvokeOutputOptions(provider=abroad))
        who = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(provider=abroad))
        pulumi.export("at", {"region": here.region, "account": who.account_id})
        """
    deployment = run(plant(tmp_path, body), "dev")

    assert deployment.outputs["at"] == {"region": "us-west-2", "account": "111122223333"}
    assert (
        deployment.named("aws:sqs/queue:Queue", "jobs").outputs["arn"].startswith("arn:aws:sqs:us-west-2:111122223333:")
    )


def test_stack_reference_gives_the_outputs_it_was_given(tmp_path: Path) -> None:
    body = """
        platform = pulumi.StackReference("organization/other/dev").require_output("platform")
        pulumi.export("vpc", platform["vpc"])
        """
    references = {"organization/other/dev": {"platform": {"vpc": "vpc-1"}}}

    assert run(plant(tmp_path, body), "dev", references=references).outputs == {"vpc": "vpc-1"}


def test_required_output_that_is_missing_is_refused(tmp_path: Path) -> None:
    body = 'pulumi.export("x", pulumi.StackReference("organization/other/dev").require_output("absent"))'

    with pytest.raises(EngineError, match=r"KeyError.*absent"):
        run(plant(tmp_path, body), "dev", references={"organization/other/dev": {}})


SETTINGS = """\
name: planted
runtime: python
main: app/
stackConfigDir: settings
config:
  size: {type: integer, default: 3}
  zone: {type: string}
  shape: {type: object, default: {a: 1}}
"""


def _configured(folder: Path, stack: str) -> Path:
    program = plant(
        folder / "app", 'pulumi.export("c", [pulumi.Config().require(k) for k in ("size", "zone", "shape")])'
    )
    (program / "Pulumi.yaml").unlink()
    (folder / "Pulumi.yaml").write_text(SETTINGS)
    (folder / "settings").mkdir()
    (folder / "settings" / "Pulumi.dev.yaml").write_text(stack)
    return program


def test_settings_are_found_and_merged_as_the_cli_does(tmp_path: Path) -> None:
    program = _configured(tmp_path, "config:\n  planted:zone: a\n  shape: {b: true}\n")

    assert run(program, "dev").outputs["c"] == ["3", "a", '{"b": true}']
    assert run(program, "dev", config={"zone": "z", "planted:size": "9"}).outputs["c"] == ["9", "z", '{"b": true}']


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("config: {}\n", "stack 'dev' sets no value for planted:zone"),
        ("config:\n  zone: 5\n", "planted:zone must be of type string"),
        ("config:\n  zone: a\n  size: true\n", "planted:size must be of type integer"),
        ("config:\n  zone: {secure: AAAB}\n", "planted:zone is encrypted"),
    ],
)
def test_incomplete_or_wrong_settings_are_refused(settings: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=sentence):
        run(_configured(tmp_path, settings), "dev")


def test_folder_that_is_no_program_of_its_project_is_refused(tmp_path: Path) -> None:
    _configured(tmp_path, "config:\n  zone: a\n")
    (tmp_path / "other").mkdir()

    with pytest.raises(EngineError, match="the project's program is"):
        run(tmp_path / "other", "dev")
