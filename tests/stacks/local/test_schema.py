"""Inputs are checked against the SDK's own annotations, for every type of every installed provider SDK."""

from __future__ import annotations

import pytest

from stacks.local import schema
from stacks.local.engine import UNKNOWN, EngineError
from stacks.local.schema_enums import allowed, described

BUCKET = "aws:s3/bucket:Bucket"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"


def sentences(token: str, inputs: dict[str, object]) -> list[str]:
    return [str(problem) for problem in schema.problems(token, inputs)]


def test_correct_inputs_have_no_problem() -> None:
    rule = {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}, "bucketKeyEnabled": True}
    assert sentences(ENCRYPTION, {"bucket": "b", "rules": [rule]}) == []


def test_unknown_values_are_accepted_wherever_they_stand() -> None:
    assert sentences(ENCRYPTION, {"bucket": UNKNOWN, "rules": UNKNOWN}) == []
    assert sentences(RULE, {"securityGroupId": UNKNOWN, "ipProtocol": UNKNOWN, "fromPort": UNKNOWN}) == []


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"buckett": "b"}, "buckett: unknown property; did you mean bucket?"),
        ({"bucket": 5}, "bucket: must be text (got int)"),
        ({"forceDestroy": 1}, "forceDestroy: must be a boolean (got int)"),
        ({"tags": ["a"]}, "tags: must be a mapping (got list)"),
        ({"tags": {"a": 1}}, "tags['a']: must be text (got int)"),
    ],
)
def test_problem_names_path_and_what_is_allowed(inputs: dict[str, object], sentence: str) -> None:
    assert sentences(BUCKET, inputs) == [sentence]


def test_missing_inputs_are_named() -> None:
    assert sentences(RULE, {"fromPort": 1.5}) == [
        "ipProtocol: is required and missing",
        "securityGroupId: is required and missing",
        "fromPort: must be a whole number (got float)",
    ]


def test_type_that_no_sdk_knows_is_refused() -> None:
    with pytest.raises(EngineError, match="no installed provider SDK knows the resource type 'aws:s3/bucket:Buckett'"):
        schema.problems("aws:s3/bucket:Buckett", {})


def test_every_aws_type_has_a_readable_schema() -> None:
    """A sample: reading all of them takes half a minute."""
    tokens = sorted(schema.tokens("aws"))
    unreadable = [token for token in tokens[::60] if not schema.input_shape(token).properties]

    assert len(tokens) > 1700
    assert unreadable == []


def test_every_row_of_the_api_enumerations_names_a_real_property_and_shape() -> None:
    for token, path, service, shape in described():
        properties = schema.input_shape(token).properties
        assert path.split(".")[0] in properties, (token, path)
        assert allowed(service, shape), (service, shape)


def test_value_that_the_api_refuses_is_refused() -> None:
    key = "aws:kms/key:Key"
    assert sentences(key, {"keyUsage": "SIGN_VERIFY"}) == []
    refusal = sentences(key, {"keyUsage": "SIGN"})[0]
    assert refusal.startswith("keyUsage: must be one of ")
    assert refusal.endswith("ENCRYPT_DECRYPT, GENERATE_VERIFY_MAC, KEY_AGREEMENT, SIGN_VERIFY (got 'SIGN')")


# --- Kubernetes --------------------------------------------------------------------------------------

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SCALED_OBJECT = "kubernetes:keda.sh/v1alpha1:ScaledObject"


def deployment(**container: object) -> dict[str, object]:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i", **container}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def test_kubernetes_objects_are_checked_to_their_last_field() -> None:
    probe = {"httpGet": {"path": "/", "port": 80}}

    assert sentences(DEPLOYMENT, deployment(startupProbe=probe)) == []
    assert sentences(DEPLOYMENT, deployment(startupProb=probe)) == [
        "spec.template.spec.containers[0].startupProb: unknown property; did you mean startupProbe?"
    ]
    assert sentences(DEPLOYMENT, deployment(args="serve")) == [
        "spec.template.spec.containers[0].args: must be a list (got str)"
    ]


def test_custom_resources_are_checked_by_their_envelope() -> None:
    """What is inside belongs to a definition that no SDK has."""
    scaled: dict[str, object] = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "s"},
        "spec": {"any": 1},
    }

    assert sentences(SCALED_OBJECT, scaled) == []
    assert sentences(SCALED_OBJECT, {**scaled, "specs": {}}) == ["specs: unknown property; did you mean spec?"]
    assert sentences(SCALED_OBJECT, {"kind": "ScaledObject"}) == ["apiVersion: is required and missing"]


@pytest.mark.parametrize("token", ["kubernetes:apps/v1:Deploymint", "kubernetes:networking.k8s.io/v1:NetworkPolice"])
def test_a_misspelt_kind_of_kubernetes_is_no_custom_resource(token: str) -> None:
    with pytest.raises(EngineError, match="no installed provider SDK knows the resource type"):
        schema.problems(token, {})


def test_text_that_happens_to_be_json_stays_text() -> None:
    """A kubeconfig may be written as JSON; a provider's account list travels as JSON and is none."""
    assert "kubeconfig" in schema.text_properties("pulumi:providers:kubernetes")
    assert "allowedAccountIds" not in schema.text_properties("pulumi:providers:aws")


def test_two_types_of_one_name_keep_their_own_properties() -> None:
    """A classic and a newer load balancer hold access logs of different shapes under the same name."""
    logs = {"bucket": "logs", "enabled": True}
    for token in ("aws:elb/loadBalancer:LoadBalancer", "aws:lb/loadBalancer:LoadBalancer"):
        assert "accessLogs" in schema.input_shape(token).properties
    newer = {"accessLogs": {**logs, "prefix": "front"}}
    assert [str(one) for one in schema.problems("aws:lb/loadBalancer:LoadBalancer", newer)] == []
    older = {"accessLogs": {**logs, "interval": 5}, "listeners": []}
    assert [str(one) for one in schema.problems("aws:elb/loadBalancer:LoadBalancer", older)] == []
    assert schema.problems("aws:lb/loadBalancer:LoadBalancer", {"accessLogs": {**logs, "interval": 5}})
