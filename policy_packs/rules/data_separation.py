"""Data of production stays there: no other environment points at it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Document, identity_documents
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, forbid
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

_ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
_CLUSTER: Final = "aws:rds/cluster:Cluster"
_DATA_SOURCE: Final = "aws:bedrock/agentDataSource:AgentDataSource"
# ARNs, aliases and URIs of what holds data; models, images, roles and endpoints are none.
_DATA: Final = (
    r"arn:[^:]*:(s3|kms|rds|secretsmanager|dynamodb|ssm|elasticfilesystem|aoss|es|backup):.*|alias/.*|s3://.*"
)
# Properties that name data without an ARN.
_NAMES_OF_DATA: Final = ("snapshotIdentifier", "replicateSourceDb", "sourceDbInstanceIdentifier", "restoreSourceName")
_OWN_NAMES: Final = ("arn", "id")


def _production_data_left_alone(stack: Stack) -> Iterator[Outcome]:
    if not any(_is_outside(one) for one in stack.resources):
        yield NotApplicable("no resource says that it stands outside production")
        return
    for one in stack.resources:
        found = any_of(*_references(one))
        yield from forbid(found, "points at data of production", View(None, one.name), one.urn)


def _is_outside(resource: Resource) -> bool:
    """Whether the resource's tags name an environment that is not production."""
    key = str(resource.settings["environment_tag"])
    environments = [resource.at(tags).at(key) for tags in ("tags", "tagsAll")]
    production = _listed(resource, "production_names")
    return any(one.text and one.text not in production for one in environments)


def _listed(resource: Resource, setting: str) -> tuple[str, ...]:
    return tuple(one.text for one in View(resource.settings[setting]).items())


def _references(resource: Resource) -> Iterator[Truth]:
    if resource.type in IDENTITY_POLICY_TYPES:
        for document in identity_documents(resource):
            yield _grants(resource, document)
        return
    content = resource.props.value
    for key in content if isinstance(content, dict) else ():
        if key not in _OWN_NAMES and not resource.joined.get(key):
            yield from (_is_production(resource, one) for one in _data_below(resource.at(key), key))


def _grants(resource: Resource, document: Document) -> Truth:
    truths = [
        all_of(statement.allows(), any_of(*(_is_production(resource, one) for one in _data(statement.resources()))))
        for statement in document.statements
    ]
    return document.any(truths)


def _data(resources: tuple[View, ...]) -> tuple[View, ...]:
    return tuple(one for one in resources if one.matches(_DATA) is not Truth.NO)


def _data_below(view: View, key: str) -> Iterator[View]:
    """Every text below that names data: by its form, or by the property it stands in."""
    if isinstance(view.value, dict):
        for name in view.value:
            yield from _data_below(view.at(name), name)
    elif isinstance(view.value, list):
        for one in view.items():
            yield from _data_below(one, key)
    elif key in _NAMES_OF_DATA or view.matches(_DATA) is Truth.YES:
        yield view


def _is_production(resource: Resource, name: View) -> Truth:
    """Whether a part of the name is that of production, or its account; released data is for others to read."""
    if name.is_unknown:
        return Truth.UNKNOWN
    parts = set(re.split(r"[^a-z0-9]+", name.text.lower()))
    production = {*_listed(resource, "production_names"), *_listed(resource, "production_accounts")}
    released = any(fnmatchcase(name.text, one) for one in _listed(resource, "released"))
    return Truth.of(bool(parts & production) and not released)


def _tagged(environment: str, tags: str = "tags") -> Resource:
    return Resource.example("aws:s3/bucket:Bucket", {tags: {"env": environment}}, "bucket")


def _restored(**props: object) -> Resource:
    return Resource.example(_CLUSTER, props, "restored")


def _source(bucket: str) -> Resource:
    return Resource.example(
        _DATA_SOURCE, {"dataSourceConfiguration": {"type": "S3", "s3Configuration": {"bucketArn": bucket}}}, "source"
    )


def _reads(resource: object, effect: str = "Allow") -> Resource:
    statement = {"Effect": effect, "Action": "s3:GetObject", "Resource": resource}
    return Resource.example(_ROLE_POLICY, {"policy": json.dumps({"Statement": [statement]})}, "reader")


_DEV: Final = _tagged("dev")

PRODUCTION_DATA = StackRule(
    name="stack-disallow-production-data",
    description="Outside production no resource and no permission points at production's data.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("C1.1", "CC6.1"),
        iso27001_2022=("A.8.31", "A.8.33"),
        nist_800_53_r5=("CM-4(1)", "SA-3(2)"),
        owasp_llm=("LLM02:2026", "LLM05:2026"),
        atlas=("AML.M0005",),
    ),
    remediation="Use data made for tests, or what redaction released; name released data in the setting `released`.",
    settings={
        "environment_tag": "env",
        "production_names": ("prod", "production"),
        "production_accounts": (),
        # Redacted data on its way down, and the bucket from which AWS serves image layers.
        "released": ("arn:*:s3:::*-release-*/releases/*", "arn:*:s3:::prod-*-starport-layer-bucket/*"),
    },
    check=_production_data_left_alone,
    obeys={
        "a source of its own": (_DEV, _source("arn:aws:s3:::app-dev-documents")),
        "a permission of its own": (_DEV, _reads("arn:aws:s3:::app-dev-documents/*")),
        "what redaction released": (_DEV, _reads("arn:aws:s3:::app-prod-release-1/releases/*")),
        "a name that only begins like production": (_DEV, _source("arn:aws:s3:::app-product-catalogue")),
        "production itself": (_tagged("prod"), _source("arn:aws:s3:::app-prod-documents")),
        "no environment said": (_source("arn:aws:s3:::app-prod-documents"),),
    },
    breaks={
        "production's documents": (_DEV, _source("arn:aws:s3:::app-prod-documents")),
        "production's documents, as production is spelled": (_DEV, _source("arn:aws:s3:::app-PRODUCTION-documents")),
        "said by a tag of the provider": (_tagged("staging", "tagsAll"), _source("arn:aws:s3:::app-prod-documents")),
        "a permission": (_DEV, _reads("arn:aws:s3:::app-prod-documents/*")),
        "one of two permissions": (_DEV, _reads(["arn:aws:s3:::app-dev/*", "arn:aws:s3:::app-prod/*"])),
        "a permission in a role": (
            _DEV,
            Resource.example(
                "aws:iam/role:Role", {"inlinePolicies": [{"policy": _reads("arn:aws:s3:::a-prod/*").at("policy").text}]}
            ),
        ),
        "a snapshot": (_DEV, _restored(snapshotIdentifier="database-prod-2026-01-01")),
        "a snapshot by ARN": (
            _DEV,
            _restored(snapshotIdentifier="arn:aws:rds:eu-central-1:1:cluster-snapshot:prod-1"),
        ),
        "a replica": (_DEV, Resource.example("aws:rds/instance:Instance", {"replicateSourceDb": "database-prod"})),
        "a restored instance": (
            _DEV,
            Resource.example(
                "aws:rds/instance:Instance", {"restoreToPointInTime": {"sourceDbInstanceIdentifier": "db-prod"}}
            ),
        ),
        "a restored table": (
            _DEV,
            Resource.example("aws:dynamodb/table:Table", {"restoreSourceName": "sessions-prod"}),
        ),
        "a key": (_DEV, _restored(kmsKeyId="alias/app-prod-database")),
        "a URI in a list": (
            _DEV,
            Resource.example("aws:sagemaker/model:Model", {"containers": [{"modelDataUrl": "s3://app-prod/model"}]}),
        ),
    },
    neighbours={
        "a denial": (_DEV, _reads("arn:aws:s3:::app-prod-documents/*", effect="Deny")),
        "image layers, which AWS serves": (_DEV, _reads("arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*")),
        "a role of production": (
            _DEV,
            Resource.example("aws:eks/accessEntry:AccessEntry", {"principalArn": "arn:aws:iam::1:role/prod-reader"}),
        ),
        "words about production": (_DEV, Resource.example("aws:kms/key:Key", {"description": "Not for prod data"})),
        "a bucket's own ARN": (
            _DEV,
            Resource.example("aws:s3/bucket:Bucket", {"arn": "arn:aws:s3:::prod-like", "id": "s3://prod"}, "like"),
        ),
        "every object, which another rule judges": (_DEV, _reads("*")),
    },
)
