"""One key for each tenant: who loses a key loses one tenant's data, and no other's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policy_packs.customer_key import OWN_KEY
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, Outcome, Severity, StackRule, forbid
from policy_packs.subject import needs
from policy_packs.tristate import Truth
from policy_packs.view import MISSING, View

KEY: Final = "aws:kms/key:Key"
BUCKET: Final = "aws:s3/bucket:Bucket"
ENCRYPTION: Final = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
_KEY_ARN: Final = r"arn:[^:]*:kms:.*|alias/.*"
# Properties below which keys are named: kmsKeyId, encryptionKey, serverSideEncryption, rules of a bucket.
_NAMES_KEY: Final = r"(?i).*(key|encrypt|sse).*|rules"


@dataclass(frozen=True, slots=True)
class Use:
    """A key, by URN or by what names it, and a tenant whose data is under it."""

    key: View
    tenant: View


_NO_TENANT: Final = "no resource belongs to a tenant"


def _one_tenant_a_key(stack: Stack) -> Iterator[Outcome]:
    uses = [use for one in stack.resources for use in _uses(stack, one)]
    yield from needs(uses, _NO_TENANT)
    for key, tenants in _tenants_by_key(uses).items():
        urn = key if key.startswith("urn:") else ""  # a key of another program has none here
        yield from forbid(_differ(tenants), "data of more than one tenant is under this key", View(None, "key"), urn)
    for use in uses:
        if use.key.is_unknown:
            yield from forbid(Truth.UNKNOWN, "may be another tenant's key", use.key)


def _tenants_by_key(uses: list[Use]) -> dict[str, list[View]]:
    found: dict[str, list[View]] = {}
    for one in uses:
        if not one.key.is_unknown:
            found.setdefault(one.key.text, []).append(one.tenant)
    return found


def _differ(tenants: list[View]) -> Truth:
    known = {one.text for one in tenants if not one.is_unknown}
    unknown = any(one.is_unknown for one in tenants)
    return Truth.YES if len(known) > 1 else Truth.UNKNOWN if unknown else Truth.NO


def _uses(stack: Stack, resource: Resource) -> Iterator[Use]:
    tenant = _tenant(stack, resource)
    if tenant.value is MISSING:
        return
    if resource.type == KEY:
        yield Use(View(resource.urn), tenant)
    content = resource.props.value
    for name in content if isinstance(content, dict) else ():
        if re.fullmatch(_NAMES_KEY, name):
            yield from (Use(key, tenant) for key in _keys(stack, resource, name))


def _tenant(stack: Stack, resource: Resource) -> View:
    """By the resource's own tags, or by those of the bucket it says something about."""
    key = str(resource.settings["tenant_tag"])
    owners = stack.find((BUCKET,), resource.joined.get("bucket", ()))
    found = [one.at(tags).at(key) for one in (resource, *owners) for tags in ("tags", "tagsAll")]
    return next((one for one in found if one.value is not MISSING), View(MISSING))


def _keys(stack: Stack, resource: Resource, name: str) -> Iterator[View]:
    joined = stack.find((KEY,), resource.joined.get(name, ()))
    if joined:
        yield from (View(one.urn) for one in joined)
    else:
        yield from (_own(stack, one) for one in _named(resource.at(name)))


def _own(stack: Stack, key: View) -> View:
    """A key of this stack goes by its URN, whatever names it."""
    return next((View(one.urn) for one in stack.find((KEY,), names=[key.text], keys=("arn",))), key)


def _named(view: View) -> Iterator[View]:
    inner = [view.at(one) for one in view.value] if isinstance(view.value, dict) else []
    inner += view.items() if isinstance(view.value, list) else []
    for one in inner:
        yield from _named(one)
    if not inner and view.matches(_KEY_ARN) is not Truth.NO:
        yield view


def _table(tenant: object, key: str = "", name: str = "table", **joined: str) -> Resource:
    encryption = {"enabled": True, "kmsKeyArn": key or None}
    content = {"serverSideEncryption": encryption, "tags": {"tenant": tenant}}
    return Resource.example("aws:dynamodb/table:Table", content, name, **joined)


def _key(tenant: str | None, name: str) -> Resource:
    return Resource.example(KEY, {"tags": {"tenant": tenant}, "arn": f"{OWN_KEY}-{name}"}, name)


def _bucket(tenant: str) -> Resource:
    return Resource.example(BUCKET, {"tagsAll": {"tenant": tenant}}, f"bucket-{tenant}")


def _encryption(tenant: str, key: str) -> Resource:
    rule = {"applyServerSideEncryptionByDefault": {"kmsMasterKeyId": key}}
    return Resource.example(ENCRYPTION, {"rules": [rule]}, f"encryption-{tenant}", bucket=f"bucket-{tenant}")


_ACME, _GLOBEX = _key("acme", "acme"), _key("globex", "globex")
_BUCKETS: Final = (_bucket("acme"), _bucket("globex"))
_SHARED: Final = _key(None, "shared")

ONE_TENANT = StackRule(
    name="kms-key-require-single-tenant",
    description="A customer managed key encrypts the data of one tenant: two tenants never share one.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("C1.1", "CC6.1"),
        iso27001_2022=("A.8.24", "A.8.3"),
        nist_800_53_r5=("SC-12", "SC-28(1)"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.M0012",),
    ),
    remediation="Make a key for each tenant, tag it and what it encrypts with the tenant's name.",
    settings={"tenant_tag": "tenant"},
    check=_one_tenant_a_key,
    obeys={
        "a key for each": (
            _ACME,
            _GLOBEX,
            _table("acme", serverSideEncryption="acme"),
            _table("globex", name="other", serverSideEncryption="globex"),
        ),
        "two tables of one tenant": (
            _SHARED,
            _table("acme", serverSideEncryption="shared"),
            _table("acme", name="other", serverSideEncryption="shared"),
        ),
        "keys of another stack": (_table("acme", f"{OWN_KEY}-1"), _table("globex", f"{OWN_KEY}-2", "other")),
        "buckets": (_bucket("acme"), _bucket("globex"), _encryption("acme", OWN_KEY), _encryption("globex", "alias/g")),
        "keys of another stack beside one of this": (
            _SHARED,
            _table("acme", f"{OWN_KEY}-1"),
            _table("globex", f"{OWN_KEY}-2", "other"),
        ),
        "by ARN of a key of this stack": (_ACME, _table("acme", f"{OWN_KEY}-acme")),
    },
    breaks={
        "a shared key": (
            _SHARED,
            _table("acme", serverSideEncryption="shared"),
            _table("globex", name="other", serverSideEncryption="shared"),
        ),
        "another tenant's key": (_ACME, _table("globex", serverSideEncryption="acme")),
        "another tenant's key, by a bucket": (_ACME, *_BUCKETS, _encryption("globex", f"{OWN_KEY}-acme")),
        "another tenant's key by ARN": (_ACME, _table("globex", f"{OWN_KEY}-acme")),
        "a shared key of another stack": (_table("acme", OWN_KEY), _table("globex", OWN_KEY, "other")),
        "a shared alias": (_table("acme", "alias/data"), _table("globex", "alias/data", "other")),
        "buckets under one key": (
            _bucket("acme"),
            _bucket("globex"),
            _encryption("acme", OWN_KEY),
            _encryption("globex", OWN_KEY),
        ),
        "three tenants": (
            _table("acme", OWN_KEY),
            _table("globex", OWN_KEY, "second"),
            _table("initech", OWN_KEY, "third"),
        ),
    },
    neighbours={
        "a key that serves a tenant and the platform": (
            _ACME,
            _table("acme", serverSideEncryption="acme"),
            Resource.example(
                "aws:dynamodb/table:Table", {"serverSideEncryption": {}}, "p", serverSideEncryption="acme"
            ),
        ),
        "two tenants under no key of ours": (_table("acme"), _table("globex", name="other")),
        "a policy that names keys of two tenants": (
            _ACME,
            _GLOBEX,
            Resource.example("aws:iam/rolePolicy:RolePolicy", {"policy": f"{OWN_KEY}"}, "policy", policy="acme"),
        ),
        "two tenants beside one ARN that is no key": (
            Resource.example("aws:sns/topic:Topic", {"tags": {"tenant": "acme"}, "keyOwner": "arn:aws:iam::1:role/a"}),
            Resource.example(
                "aws:sns/topic:Topic", {"tags": {"tenant": "b"}, "keyOwner": "arn:aws:iam::1:role/a"}, "b"
            ),
        ),
    },
)
