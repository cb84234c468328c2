"""The one way data takes downward, as tables: who redacts, who approves, who pulls, and every other attempt.

Each request passes all layers at once: the caller's policy, the resource's, the key's, the network's, and the
organization's on both sides. What is denied is asked with an identity that may everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from stacks.local.iam.pattern import ContextValue
from stacks.local.policy_evaluator import PolicyDocument
from tests.contracts.governed import ANYTHING, Call, role_of
from tests.contracts.programs import captured, of_type, only, statements
from tests.contracts.rendered_policies import Policies, policies
from tests.stacks.configurations import environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once

Keys = dict[str, ContextValue]
Ask = Callable[[], Call]
ACCOUNTS: dict[str, str] = environment_values("prod")["accounts"]
APPROVER = environment_values("prod")["redaction_approver_role"]
MANIFEST = "a" * 64
TAGGED: Keys = {
    "s3:RequestObjectTag/redaction": "approved",
    "s3:RequestObjectTag/manifest": MANIFEST,
    "s3:RequestObjectTagKeys": ("redaction", "manifest"),
}
APPROVED: Keys = {"s3:ExistingObjectTag/redaction": "approved", "s3:ExistingObjectTag/manifest": MANIFEST}
ALIAS = "alias/llm-pipelines-prod-redaction"
SSE, SSE_KEY = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"


def prod() -> Policies:
    return policies("prod")


def staging() -> Policies:
    return policies("staging")


def without(keys: Mapping[str, ContextValue], *names: str) -> Keys:
    return {key: value for key, value in keys.items() if key not in names}


def bucket_key(environment: str, bucket: str) -> Keys:
    """How S3 asks KMS for an object of a bucket with a bucket key."""
    arn = policies(environment).bucket(bucket)
    return {"kms:ViaService": "s3.us-east-1.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": arn}


def ask(table: Mapping[str, Ask]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("question", table.values(), ids=table.keys())


# --- production: the job ---------------------------------------------------------------------------


def content(key: str = "bedrock/1.gz") -> str:
    return f"{prod().bucket('content')}/{key}"


def quarantined(key: str = "runs/7/part-0") -> str:
    return f"{prod().bucket('redaction')}/{key}"


def released(key: str = "releases/7/part-0") -> str:
    return f"{prod().bucket('release')}/{key}"


def job(action: str, resource: str, keys: Keys | None = None, endpoint: str = "s3") -> Call:
    """With its own policy, in production's network; without an endpoint: S3 asks KMS for it."""
    caller = prod().role("redact-dataset")
    own = tuple(prod().identity(caller))
    return Call(caller, action, resource, "prod", "prod", "prod", endpoint, keys or {}, own)


def unbound(call: Call) -> Call:
    """The same caller with an identity that may everything."""
    return replace(call, identity=tuple(ANYTHING))


VIA_S3: Keys = {"kms:ViaService": "s3.us-east-1.amazonaws.com", "aws:ViaAWSService": True}
JOB_MAY: dict[str, Ask] = {
    "read content": lambda: job("s3:GetObject", content()),
    "open content": lambda: job("kms:Decrypt", prod().key("content"), VIA_S3, ""),
    "make tokens": lambda: job(
        "kms:GenerateMac", prod().key("redaction-mac"), {"kms:MacAlgorithm": "HMAC_SHA_256"}, "kms"
    ),
    "write into quarantine": lambda: job("s3:PutObject", quarantined()),
    "encrypt what it writes": lambda: job(
        "kms:GenerateDataKey", prod().key("redaction"), bucket_key("prod", "redaction"), ""
    ),
}
JOB_MAY_NOT: dict[str, Ask] = {
    "release": lambda: unbound(job("s3:PutObject", released(), TAGGED)),
    "tag what is released": lambda: unbound(job("s3:PutObjectTagging", released(), TAGGED)),
    "read what is released": lambda: unbound(job("s3:GetObject", released(), APPROVED)),
    "tag in quarantine": lambda: unbound(job("s3:PutObjectTagging", quarantined(), TAGGED)),
    "write an approved object into quarantine": lambda: unbound(job("s3:PutObject", quarantined(), TAGGED)),
    "encrypt for the release": lambda: unbound(
        job("kms:GenerateDataKey", prod().key("redaction"), bucket_key("prod", "release"), "")
    ),
    "write outside its runs": lambda: job("s3:PutObject", quarantined("other/x")),
    "release with its own policy": lambda: job("s3:PutObject", released(), TAGGED),
    "write into staging": lambda: replace(
        unbound(job("s3:PutObject", f"{staging().bucket('datasets')}/x", TAGGED)), owner="staging"
    ),
}


@ask(JOB_MAY)
def test_d_9_the_job_may(question: Ask) -> None:
    decision = question().judged()
    assert decision.allowed, decision.reason


@ask(JOB_MAY_NOT)
def test_d_9_the_job_may_not(question: Ask) -> None:
    assert not question().judged().allowed


def test_d_9_tokens_are_made_by_the_job_alone() -> None:
    """Whoever cannot use this key cannot compute a token again, and so cannot test a guess."""
    key = prod().key("redaction-mac")
    callers = {
        **{name: ("prod", prod().role(name)) for name in ("gateway", "gateway-ingest", "gateway-migrate")},
        "the job": ("prod", prod().role("redact-dataset")),
        "the approver": ("prod", role_of("prod", APPROVER)),
        "an administrator": ("prod", role_of("prod", "administrator")),
        "break-glass": ("prod", role_of("prod", "llm-pipelines-prod-break-glass")),
        "staging's reader": ("staging", staging().role("import-dataset")),
        "an administrator of staging": ("staging", role_of("staging", "administrator")),
    }
    mac: Keys = {"kms:MacAlgorithm": "HMAC_SHA_256"}
    able = [
        name
        for name, (environment, arn) in callers.items()
        for action in ("kms:GenerateMac", "kms:VerifyMac")
        if Call(arn, action, key, environment, "prod", context=mac).judged().allowed
    ]

    assert able == ["the job"]
    assert [one.name for one in of_type(captured("platform", "prod"), "Key") if one.name == "redaction-mac-key"]
    for below in ("local", "dev", "staging"):
        assert "redaction-mac-key" not in {one.name for one in of_type(captured("platform", below), "Key")}


# --- production: the approval ------------------------------------------------------------------------


def approver(action: str, resource: str, keys: Keys | None = None) -> Call:
    """A person's role, made elsewhere: from outside the network, with an identity that may everything."""
    return Call(role_of("prod", APPROVER), action, resource, "prod", "prod", context=keys or {})


def administrator(action: str, resource: str, keys: Keys | None = None) -> Call:
    return Call(role_of("prod", "administrator"), action, resource, "prod", "prod", context=keys or {})


APPROVER_MAY: dict[str, Ask] = {
    "read what waits": lambda: approver("s3:GetObject", quarantined()),
    "open what waits": lambda: approver("kms:Decrypt", prod().key("redaction"), bucket_key("prod", "redaction")),
    "release with both tags": lambda: approver("s3:PutObject", released(), TAGGED),
    "release without rights of its own": lambda: replace(approver("s3:PutObject", released(), TAGGED), identity=()),
    "encrypt for the release": lambda: approver(
        "kms:GenerateDataKey", prod().key("redaction"), bucket_key("prod", "release")
    ),
    "take a release back": lambda: approver("s3:DeleteObject", released()),
}
GATE_REFUSES: dict[str, Ask] = {
    "a release without the tag": lambda: approver(
        "s3:PutObject", released(), without(TAGGED, "s3:RequestObjectTag/redaction")
    ),
    "a release with another word": lambda: approver(
        "s3:PutObject", released(), {**TAGGED, "s3:RequestObjectTag/redaction": "pending"}
    ),
    "a release without a manifest": lambda: approver(
        "s3:PutObject", released(), without(TAGGED, "s3:RequestObjectTag/manifest")
    ),
    "a release with half a manifest": lambda: approver(
        "s3:PutObject", released(), {**TAGGED, "s3:RequestObjectTag/manifest": MANIFEST[:63]}
    ),
    "a release under another key": lambda: approver(
        "s3:PutObject", released(), {**TAGGED, SSE: "aws:kms", SSE_KEY: prod().key("content")}
    ),
    "approval inside quarantine": lambda: approver("s3:PutObjectTagging", quarantined(), TAGGED),
    "a quarantined object put by whoever approves": lambda: approver("s3:PutObject", quarantined()),
    "content opened by whoever approves": lambda: approver("kms:Decrypt", prod().key("content"), VIA_S3),
    "a release by an administrator": lambda: administrator("s3:PutObject", released(), TAGGED),
    "a tag by an administrator": lambda: administrator("s3:PutObjectTagging", released(), TAGGED),
    "an approved object read by the deployer's colleague without approval": lambda: administrator(
        "s3:GetObject", released()
    ),
    "quarantine read by an administrator": lambda: administrator("s3:GetObject", quarantined()),
    "the release bucket's policy changed": lambda: administrator("s3:PutBucketPolicy", prod().bucket("release")),
}


@ask(APPROVER_MAY)
def test_d_9_whoever_approves_may(question: Ask) -> None:
    decision = question().judged()
    assert decision.allowed, decision.reason


@ask(GATE_REFUSES)
def test_d_9_the_gate_refuses(question: Ask) -> None:
    assert not question().judged().allowed


# --- staging: the pull --------------------------------------------------------------------------------


def reader(
    action: str,
    resource: str,
    keys: Keys | None = None,
    *,
    owner: str = "prod",
    endpoint: str = "s3",
    role: str = "import-dataset",
    identity: tuple[PolicyDocument, ...] = (),
) -> Call:
    """The importing role in staging's network, with its own policy unless another is given."""
    caller = staging().role(role)
    own = identity or tuple(staging().identity(caller))
    return Call(caller, action, resource, "staging", owner, "staging", endpoint, keys or {}, own)


OPENED: Keys = {"kms:ResourceAliases": (ALIAS,), "aws:ViaAWSService": True}
EVERYTHING = tuple(ANYTHING)


def opened(bucket: str) -> Keys:
    return {**bucket_key("prod", bucket), **OPENED}


READER_MAY: dict[str, Ask] = {
    "read an approved object": lambda: reader("s3:GetObject", released(), APPROVED),
    "open it through S3": lambda: reader("kms:Decrypt", prod().key("redaction"), opened("release"), endpoint=""),
    "store it, tagged, under staging's key": lambda: reader("s3:PutObject", taken_in(), stored(), owner="staging"),
    "tag it at home": lambda: reader("s3:PutObjectTagging", taken_in(), TAGGED, owner="staging"),
    "encrypt it with staging's key": lambda: reader(
        "kms:GenerateDataKey",
        staging().key("redaction"),
        bucket_key("staging", "datasets"),
        owner="staging",
        endpoint="",
    ),
}
# Denied whatever the caller's own policy says; the reader's own policy is narrower still.
READER_MAY_NOT: dict[str, Ask] = {
    "read an object without approval": lambda: reader("s3:GetObject", released(), identity=EVERYTHING),
    "read an object whose approval was taken back": lambda: reader(
        "s3:GetObject", released(), {"s3:ExistingObjectTag/redaction": "revoked"}, identity=EVERYTHING
    ),
    "read outside the releases": lambda: reader("s3:GetObject", released("drafts/x"), APPROVED, identity=EVERYTHING),
    "list the releases": lambda: reader("s3:ListBucket", prod().bucket("release"), identity=EVERYTHING),
    "write into the release": lambda: reader("s3:PutObject", released(), TAGGED, identity=EVERYTHING),
    "delete a release": lambda: reader("s3:DeleteObject", released(), APPROVED, identity=EVERYTHING),
    "read quarantine": lambda: reader("s3:GetObject", quarantined(), APPROVED, identity=EVERYTHING),
    "read content": lambda: reader("s3:GetObject", content(), APPROVED, identity=EVERYTHING),
    "read evidence": lambda: reader(
        "s3:GetObject", f"{prod().bucket('evidence')}/heads/1.json", APPROVED, identity=EVERYTHING
    ),
    "open quarantine": lambda: reader(
        "kms:Decrypt", prod().key("redaction"), opened("redaction"), endpoint="", identity=EVERYTHING
    ),
    "open a release without S3": lambda: reader(
        "kms:Decrypt", prod().key("redaction"), OPENED, endpoint="", identity=EVERYTHING
    ),
    "encrypt with production's key": lambda: reader(
        "kms:GenerateDataKey", prod().key("redaction"), opened("release"), endpoint="", identity=EVERYTHING
    ),
    "open content": lambda: reader(
        "kms:Decrypt", prod().key("content"), bucket_key("prod", "content"), endpoint="", identity=EVERYTHING
    ),
    "read a release as another role of staging": lambda: reader(
        "s3:GetObject", released(), APPROVED, role="gateway-ingest", identity=EVERYTHING
    ),
    "open a key that only looks like the release's": lambda: reader(
        "kms:Decrypt", prod().key("redaction"), {**opened("release"), "kms:ResourceAliases": ("alias/x",)}, endpoint=""
    ),
    "read a bucket of that name outside the organization": lambda: reader(
        "s3:GetObject", "arn:aws:s3:::llm-pipelines-prod-release-999988887777/releases/x", APPROVED, owner=""
    ),
}


@ask(READER_MAY)
def test_d_10_the_reader_may(question: Ask) -> None:
    decision = question().judged()
    assert decision.allowed, decision.reason


@ask(READER_MAY_NOT)
def test_d_10_the_reader_may_not(question: Ask) -> None:
    assert not question().judged().allowed


@pytest.mark.parametrize("layer", ["scp", "rcp", "endpoint", "resource"])
def test_d_10_another_role_stays_out_without_any_one_layer(layer: str) -> None:
    other = reader("s3:GetObject", released(), APPROVED, role="gateway-ingest", identity=EVERYTHING)

    assert set(other.judged().refused_by) == {"scp", "rcp", "endpoint", "resource"}
    assert not other.judged(without=layer).allowed


def test_d_10_dev_has_no_such_role() -> None:
    """Its name in dev's account opens nothing."""
    pretender = role_of("dev", "llm-pipelines-dev-import-dataset")
    call = Call(pretender, "s3:GetObject", released(), "dev", "prod", "dev", "s3", APPROVED)

    assert {"scp", "rcp", "endpoint", "resource"} <= set(call.judged().refused_by)


# --- staging: what is kept -----------------------------------------------------------------------------


def taken_in() -> str:
    return f"{staging().bucket('datasets')}/releases/7/part-0"


def stored(**changes: ContextValue | None) -> Keys:
    names = {"state": "s3:RequestObjectTag/redaction", "manifest": "s3:RequestObjectTag/manifest", "sse": SSE}
    names["key"] = SSE_KEY
    keys: Keys = {**TAGGED, SSE: "aws:kms", SSE_KEY: staging().key("redaction")}
    for change, value in changes.items():
        keys = without(keys, names[change]) | ({} if value is None else {names[change]: value})
    return keys


def store(role: str = "import-dataset", **changes: ContextValue | None) -> Call:
    return reader("s3:PutObject", taken_in(), stored(**changes), owner="staging", role=role, identity=EVERYTHING)


BUCKET_REFUSES: dict[str, Ask] = {
    "an object without the tag": lambda: store(state=None),
    "an object with another word": lambda: store(state="pending"),
    "an object without a manifest": lambda: store(manifest=None),
    "an object with half a manifest": lambda: store(manifest=MANIFEST[:63]),
    "an object that names no key": lambda: store(sse=None, key=None),
    "an object under S3's own key": lambda: store(sse="AES256", key=None),
    "an object under another key of staging": lambda: store(key=staging().key("content")),
    "an object of the gateway": lambda: store("gateway"),
    "an object of ingestion": lambda: store("gateway-ingest"),
    "a tag given afterwards": lambda: reader(
        "s3:PutObjectTagging", taken_in(), TAGGED, owner="staging", role="gateway-ingest", identity=EVERYTHING
    ),
}


def test_d_10_staging_keeps_what_is_approved_and_under_its_own_key() -> None:
    decision = store().judged()
    assert decision.allowed, decision.reason


@ask(BUCKET_REFUSES)
def test_d_10_staging_refuses(question: Ask) -> None:
    assert not question().judged().allowed


# --- no other way down ----------------------------------------------------------------------------------


def test_d_9_production_lets_one_principal_of_another_account_in() -> None:
    """Two statements in all its policies: the object and the key that opens it."""
    others = {account for name, account in ACCOUNTS.items() if name != "prod"}
    found = {
        (resource.name, str(statement["Sid"]))
        for program in ("platform", "document_assistant")
        for resource, statement in statements(captured(program, "prod"))
        if statement["Effect"] == "Allow" and any(one in json.dumps(statement) for one in others)
    }

    assert found == {("release-policy", "Pull"), ("redaction-key", "ReadReleased")}


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_d_9_there_is_no_end_of_the_way_elsewhere(stack: str) -> None:
    names = {one.name for one in captured("platform", stack).resources}

    assert not {"release-bucket", "redaction-bucket", "datasets-bucket", "import-dataset-role"} & names


def test_d_9_the_job_is_a_command_of_the_gateways_image_without_secrets_or_database() -> None:
    """Started by hand, with what to redact; what it may is its role's."""
    definition = only(captured("platform", "prod"), "TaskDefinition", "redact-dataset-task")
    [container] = json.loads(definition.inputs["containerDefinitions"])
    actions = {
        action
        for document in prod().identity(prod().role("redact-dataset"))
        for statement in json.loads(str(document))["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }

    assert (container["entryPoint"], container["command"], container["secrets"]) == (
        ["gateway"],
        ["redact-dataset"],
        [],
    )
    assert actions == {
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "kms:GenerateMac",
    }
