"""Restricted data: each tenant under a key of its own, used by grants that name the tenant, and gone with it."""

from __future__ import annotations

import functools
import json
import warnings
from hashlib import sha256
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from services.gateway.adapters.registration_document import RegistrationError, read
from services.gateway.exchange import Registration
from stacks.local import engine
from stacks.local.policy_evaluator import FULL_AWS_ACCESS, Request, evaluate
from tests.contracts.programs import captured, of_type, only
from tests.stacks.configurations import WORKLOAD, changed, environment_values, workload_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
TENANTS = ("acme", "globex")
ACCOUNT = workload_values("prod")["account_id"]
CONFIGURATION = "llm-pipelines-document-assistant:workload"
BOUND = {"workload": "document-assistant", "environment": "prod", "purpose": "documents"}


@functools.cache
def restricted() -> engine.Deployment:
    """The workload of prod as it would be for restricted data."""
    stricter = {"data_class": "restricted", "boundary": "self_hosted", "key_tier": "tenant", "tenants": list(TENANTS)}
    platform = captured("platform", "prod").outputs
    offered = [model["id"] for model in environment_values("prod")["models"] if model["boundary"] == "self_hosted"]
    models = {f"roles.{name}.models": offered for name in workload_values("prod")["roles"]}
    values = changed(workload_values("prod"), {**stricter, **models})
    with warnings.catch_warnings():
        # The SDK warns of its own older resources while its modules are loaded.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        return engine.run(
            WORKLOAD,
            "prod",
            config={CONFIGURATION: json.dumps(values)},
            references={"organization/llm-pipelines/prod": platform},
        )


def policy(kind: str, name: str) -> Any:
    return json.loads(only(restricted(), kind, name).inputs["policy"])


def allowed(key: str, role: str, action: str, **context: Any) -> bool:
    known = {"kms:CallerAccount": ACCOUNT, **{name.replace("__", ":"): value for name, value in context.items()}}
    arn = str(only(restricted(), "Key", f"{key}-key").outputs["arn"])
    caller = f"arn:aws:iam::{ACCOUNT}:role/llm-pipelines-prod-{role}"
    return evaluate(
        Request(caller, action, arn, known, resource_account=ACCOUNT),
        identity=[FULL_AWS_ACCESS],
        resource=[policy("Key", f"{key}-key")],
    ).allowed


def test_c_7_each_tenant_has_a_key_and_grants_that_name_the_tenant() -> None:
    keys = {tenant: only(restricted(), "Key", f"tenant-{tenant}-key") for tenant in TENANTS}
    grants = of_type(restricted(), "Grant")

    assert len({key.outputs["arn"] for key in keys.values()}) == len(TENANTS)
    assert all(key.protect and key.inputs["enableKeyRotation"] for key in keys.values())
    assert len(grants) == 2 * len(TENANTS)
    for tenant, key in keys.items():
        of_tenant = [grant.inputs for grant in grants if grant.inputs["keyId"] == key.outputs["arn"]]
        assert sorted(one["operations"] for one in of_tenant) == [["Decrypt"], ["Decrypt", "GenerateDataKey"]]
        for one in of_tenant:
            assert one["constraints"] == [{"encryptionContextEquals": {**BOUND, "tenant": tenant}}]
            assert one["granteePrincipal"].startswith(f"arn:aws:iam::{ACCOUNT}:role/llm-pipelines-prod-gateway")


def test_c_7_without_a_grant_nobody_opens_a_tenants_key() -> None:
    """Not even in the right context: the policy hands out no use, so that taking the grant takes the use."""
    right = {f"kms:EncryptionContext:{name}": value for name, value in {**BOUND, "tenant": "acme"}.items()}

    for role in ("gateway", "gateway-ingest", "document-assistant-deployer", "break-glass"):
        assert not allowed("tenant-acme", role, "kms:Decrypt", **right)
    assert not allowed("workload", "gateway", "kms:Decrypt", **right)
    assert not allowed("workload", "gateway-ingest", "kms:GenerateDataKey", **right)


GRANT = {
    "kms__GrantConstraintType": "EncryptionContextEquals",
    "kms__GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:role/llm-pipelines-prod-gateway",
    "kms__GrantOperations": ("Decrypt",),
}
WRONG_GRANTS: dict[str, dict[str, Any]] = {
    "for itself": {
        "kms__GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:role/llm-pipelines-prod-document-assistant-deployer"
    },
    "for another account": {"kms__GranteePrincipal": "arn:aws:iam::999988887777:role/llm-pipelines-prod-gateway"},
    "bound to a part of the context only": {"kms__GrantConstraintType": "EncryptionContextSubset"},
    "to hand it on": {"kms__GrantOperations": ("Decrypt", "CreateGrant")},
    "to re-encrypt": {"kms__GrantOperations": ("ReEncryptFrom",)},
}


def test_c_7_the_deployer_hands_out_grants() -> None:
    assert allowed("tenant-acme", "document-assistant-deployer", "kms:CreateGrant", **GRANT)
    assert not allowed("tenant-acme", "deployer", "kms:CreateGrant", **GRANT)


@pytest.mark.parametrize("what", WRONG_GRANTS)
def test_c_7_no_grant_opens_more_than_its_tenant(what: str) -> None:
    assert not allowed(
        "tenant-acme", "document-assistant-deployer", "kms:CreateGrant", **{**GRANT, **WRONG_GRANTS[what]}
    )


KEY_ID = "s3:x-amz-server-side-encryption-aws-kms-key-id"


def _stored(tenant: str, key: str) -> bool:
    """A document of a tenant, put under a key, by somebody who may everything."""
    bucket = only(restricted(), "Bucket", "documents-bucket").outputs["bucket"]
    context: dict[str, Any] = {"aws:SecureTransport": True, "s3:TlsVersion": "1.3"}
    if key:
        arn = str(only(restricted(), "Key", f"{key}-key").outputs["arn"])
        context |= {"s3:x-amz-server-side-encryption": "aws:kms", KEY_ID: arn}
    request = Request(
        f"arn:aws:iam::{ACCOUNT}:role/writer",
        "s3:PutObject",
        f"arn:aws:s3:::{bucket}/{tenant}/handbook/a.txt",
        context,
        resource_account=ACCOUNT,
    )
    return evaluate(request, identity=[FULL_AWS_ACCESS], resource=[policy("BucketPolicy", "documents-policy")]).allowed


def test_c_7_a_tenants_documents_are_under_its_own_key_only() -> None:
    assert _stored("acme", "tenant-acme")
    assert not _stored("acme", "tenant-globex")
    assert not _stored("acme", "workload")
    assert not _stored("acme", "")


# --- in a KMS that keeps them ---------------------------------------------------------------------


def test_c_7_ciphertext_of_one_tenant_opens_in_no_other_context() -> None:
    with mock_aws():
        kms = boto3.client("kms", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        key = kms.create_key()["KeyMetadata"]["Arn"]
        made = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={**BOUND, "tenant": "acme"})
        blob = made["CiphertextBlob"]

        opened = kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionContext={**BOUND, "tenant": "acme"})
        assert opened["Plaintext"] == made["Plaintext"]
        for wrong in ({**BOUND, "tenant": "globex"}, BOUND, {}):
            with pytest.raises(ClientError, match="InvalidCiphertext"):
                kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionContext=wrong)


# --- what the gateway takes -----------------------------------------------------------------------


def _registered(**changes: Any) -> Registration:
    document = {
        "version": 1,
        "workload": "w",
        "environment": "prod",
        "data_class": "restricted",
        "boundary": "self_hosted",
        "claims": {"workload": "w"},
        "tenants": list(TENANTS),
        "key_arn": "k",
        "tenant_key_arns": {"acme": "a", "globex": "g"},
        "documents": {"bucket": "b", "queue_url": "q", "dead_letter_queue_url": "d"},
        "roles": {"analyst": _role()},
        **changes,
    }
    return read(json.dumps(document).encode(), "w", "prod", lambda _key: TEMPLATE)


TEMPLATE = b'id = "answer"\nversion = "1"\nsystem = "Answer from these passages."\n'


def _role() -> dict[str, Any]:
    digest = sha256(TEMPLATE).hexdigest()
    limits = [f"{what}_per_minute" for what in ("requests", "input_tokens", "output_tokens")]
    limits += [f"{what}_max" for what in ("concurrent_requests", "input_tokens", "output_tokens")]
    return {
        "template": {"id": "answer", "digest": f"sha256:{digest}", "key": f"templates/w/{digest}.toml"},
        "models": ["m"],
        "collections": ["c"],
        "tools": {},
        "limits": dict.fromkeys(limits, 1),
        "budget": {"usd_per_day_user": "1", "usd_per_day_workload": "1"},
    }


def test_c_7_the_gateway_makes_a_tenants_data_keys_under_its_key() -> None:
    registration = _registered()

    assert [registration.key_for(tenant) for tenant in TENANTS] == ["a", "g"]
    assert _registered(data_class="confidential", tenant_key_arns={}).key_for("acme") == "k"


@pytest.mark.parametrize(
    "keys", [{}, {"acme": "a"}, {"acme": "a", "globex": "a"}, {"acme": "k", "globex": "g"}, {"acme": "a", "else": "g"}]
)
def test_c_7_the_gateway_refuses_restricted_data_without_a_key_for_each_tenant(keys: dict[str, str]) -> None:
    with pytest.raises(RegistrationError, match="tenant_key_arns must name"):
        _registered(tenant_key_arns=keys)
