"""What a model's answers rest on: documents that we put there ourselves, and whose old versions we still have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from policy_packs.bucket import BUCKET, VERSIONING, is_versioned
from policy_packs.grant import ROLE_POLICY, permissions_by_role
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack, once_per_stack
from policy_packs.rule import Controls, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

DATA_SOURCE: Final = "aws:bedrock/agentDataSource:AgentDataSource"
_BUCKET_ARN: Final = "dataSourceConfiguration.s3Configuration.bucketArn"
_CONNECTORS: Final = (
    "webConfiguration",
    "confluenceConfiguration",
    "salesforceConfiguration",
    "sharePointConfiguration",
)
_WRITES: Final = ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion")
_CALLS: Final = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")

_CONTROLS: Final = Controls(
    soc2=("CC6.1", "PI1.2"),
    iso27001_2022=("A.8.3", "A.5.21"),
    nist_800_53_r5=("AC-3", "SI-7", "SI-10"),
    owasp_llm=("LLM05:2026", "LLM09:2026"),
    atlas=("AML.M0005", "AML.M0025"),
)


def _our_own_documents(source: Resource) -> Iterator[Outcome]:
    configuration = source.at("dataSourceConfiguration")
    kind = configuration.at("type")
    kinds = [one.text for one in View(source.settings["source_types"]).items()]
    yield from demand(kind.equals(*kinds), "documents come from where others write them", kind)
    for name in _CONNECTORS:
        connector = configuration.at(name)
        yield from forbid(connector.is_given(), "documents come from where others write them", connector)


def _source(kind: str | None = "S3", **configuration: object) -> Resource:
    content = {"type": kind, **configuration}
    return Resource.example(DATA_SOURCE, {"dataSourceConfiguration": content}, "source")


def _connected(name: str) -> Resource:
    configuration = {"type": "S3", name: {"sourceConfiguration": {}}}
    return Resource.example(DATA_SOURCE, {"dataSourceConfiguration": configuration}, "source")


OWN_DOCUMENTS = Rule(
    name="bedrock-data-source-disallow-public-connector",
    description="A knowledge base reads a bucket of ours, or what we hand it: no web crawler and no connector.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Set the type to S3 and let an ingestion job of your own check and copy what comes from outside.",
    settings={"source_types": ("S3", "CUSTOM")},
    resource_types=(DATA_SOURCE,),
    check=_our_own_documents,
    obeys={
        "a bucket": _source(s3Configuration={"bucketArn": "arn:aws:s3:::documents"}),
        "documents handed over one by one": _source("CUSTOM"),
    },
    breaks={
        "a web crawler": _source("WEB"),
        "a wiki": _source("CONFLUENCE"),
        "nothing said": _source(None),
        "a web crawler beside a bucket": _connected("webConfiguration"),
        "a wiki beside a bucket": _connected("confluenceConfiguration"),
        "customers' records beside a bucket": _connected("salesforceConfiguration"),
        "shared folders beside a bucket": _connected("sharePointConfiguration"),
    },
    neighbours={"the knowledge base itself": Resource.example("aws:bedrock/agentKnowledgeBase:AgentKnowledgeBase")},
)


@once_per_stack
def _sources(stack: Stack) -> tuple[Resource, ...]:
    """Buckets of this stack that a knowledge base reads: by dependency, or by name."""
    sources = stack.of_type(DATA_SOURCE)
    urns = [urn for one in sources for urn in one.joined.get("dataSourceConfiguration", ())]
    names = [one.at(_BUCKET_ARN).text.rpartition(":::")[2] for one in sources]
    return stack.find((BUCKET,), urns, names, ("bucket",))


_NO_SOURCE: Final = "no knowledge base reads a bucket of this stack"


def _versions_kept(stack: Stack) -> Iterator[Outcome]:
    yield from needs(_sources(stack), _NO_SOURCE)
    for bucket in _sources(stack):
        subject = View(None, f"bucket '{bucket.name}'")
        yield from demand(is_versioned(stack, bucket), "poisoned documents could not be put back", subject, bucket.urn)


_BUCKET: Final = Resource.example(BUCKET, {"bucket": "documents"}, "documents")
_JOINED: Final = Resource.example(DATA_SOURCE, {}, "source", dataSourceConfiguration="documents")
_BY_NAME: Final = _source(s3Configuration={"bucketArn": "arn:aws:s3:::documents"})


def _versioning(status: str) -> Resource:
    return Resource.example(VERSIONING, {"versioningConfiguration": {"status": status}}, "versions", bucket="documents")


VERSIONED_SOURCE = StackRule(
    name="bedrock-data-source-require-versioned-bucket",
    description="The bucket that a knowledge base reads keeps versions: what was poisoned can be put back.",
    severity=Severity.MEDIUM,
    controls=_CONTROLS,
    remediation="Add aws.s3.BucketVersioning with status Enabled for the source bucket.",
    checkov=("CKV_AWS_21",),
    check=_versions_kept,
    obeys={
        "versions kept": (_JOINED, _BUCKET, _versioning("Enabled")),
        "versions kept, by name": (_BY_NAME, _BUCKET, _versioning("Enabled")),
    },
    breaks={
        "none": (_JOINED, _BUCKET),
        "none, by name": (_BY_NAME, _BUCKET),
        "suspended": (_JOINED, _BUCKET, _versioning("Suspended")),
    },
    neighbours={
        "a bucket of another stack": (_BY_NAME,),
        "a bucket that no knowledge base reads": (_BY_NAME, Resource.example(BUCKET, {"bucket": "other"}, "other")),
        "a bucket whose name is the end of the source's": (
            _BY_NAME,
            Resource.example(BUCKET, {"bucket": "ments"}, "o"),
        ),
        "a bucket without a name": (_BY_NAME, Resource.example(BUCKET, {"tags": {}}, "nameless")),
    },
)


def _one_writer(stack: Stack) -> Iterator[Outcome]:
    roles = permissions_by_role(stack)
    sources = _sources(stack)
    yield from needs(sources, _NO_SOURCE)
    for bucket in sources:
        subject = View(None, f"bucket '{bucket.name}'")
        writers = {role: _writes(documents, bucket.at("bucket")) for role, documents in roles.items()}
        yield from forbid(_more_than_one(list(writers.values())), "more than one role writes it", subject, bucket.urn)
        for role, truth in writers.items():
            caller = all_of(truth, _calls(roles[role]))
            yield from forbid(caller, "a caller of models writes what answers rest on", subject, role)


def _more_than_one(truths: list[Truth]) -> Truth:
    certain, possible = truths.count(Truth.YES), len(truths) - truths.count(Truth.NO)
    return Truth.YES if certain > 1 else Truth.UNKNOWN if possible > 1 else Truth.NO


def _writes(documents: tuple[Document, ...], bucket: View) -> Truth:
    return any_of(*(one.any([_lets_write(statement, bucket) for statement in one.statements]) for one in documents))


def _lets_write(statement: Statement, bucket: View) -> Truth:
    reached = any_of(*(_reaches(one, bucket) for one in statement.resources()))
    return all_of(statement.allows(), statement.covers(*_WRITES), reached)


def _reaches(resource: View, bucket: View) -> Truth:
    if resource.is_unknown or bucket.is_unknown:
        return Truth.UNKNOWN
    name = resource.text.rpartition(":::")[2].partition("/")[0]
    return Truth.of(fnmatchcase(bucket.text, name))


def _calls(documents: tuple[Document, ...]) -> Truth:
    return any_of(
        *(one.any([all_of(each.allows(), each.covers(*_CALLS)) for each in one.statements]) for one in documents)
    )


def _permission(
    role: str, action: object, resource: object = "arn:aws:s3:::documents/*", effect: str = "Allow"
) -> Resource:
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return Resource.example(ROLE_POLICY, {"policy": json.dumps(document)}, f"{role}-{action}", role=role)


_INGEST: Final = _permission("ingestion", "s3:PutObject")
_MODEL: Final = "arn:aws:bedrock:eu-central-1::foundation-model/amazon.titan-embed-text-v2:0"

ONE_WRITER = StackRule(
    name="bedrock-data-source-require-single-writer",
    description="One role writes the bucket that a knowledge base reads, and it calls no model.",
    severity=Severity.HIGH,
    controls=_CONTROLS,
    remediation="Give s3:PutObject and deletion in the source bucket to the ingestion role alone.",
    check=_one_writer,
    obeys={
        "the ingestion role writes, the knowledge base reads": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("knowledge-base", "s3:GetObject"),
        ),
        "in two policies": (_BY_NAME, _BUCKET, _INGEST, _permission("ingestion", "s3:DeleteObject")),
        "another role writes another bucket": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("other", "s3:PutObject", "arn:aws:s3:::other/*"),
        ),
        "two others read": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("knowledge-base", "s3:GetObject"),
            _permission("auditor", "s3:GetObjectVersion"),
        ),
        "nobody writes": (_BY_NAME, _BUCKET),
    },
    breaks={
        "two write": (_BY_NAME, _BUCKET, _INGEST, _permission("application", "s3:PutObject")),
        "two write a folder": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("application", "s3:PutObject", "arn:aws:s3:::documents/uploads/*"),
        ),
        "another writes beside a bucket of its own": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("application", "s3:PutObject", ["arn:aws:s3:::other/*", "arn:aws:s3:::documents/*"]),
        ),
        "another deletes": (_BY_NAME, _BUCKET, _INGEST, _permission("application", "s3:DeleteObject")),
        "another deletes versions": (_BY_NAME, _BUCKET, _INGEST, _permission("application", "s3:DeleteObjectVersion")),
        "another writes everything": (_BY_NAME, _BUCKET, _INGEST, _permission("application", "s3:*", "*")),
        "a caller of models writes": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("ingestion", "bedrock:InvokeModel", _MODEL),
        ),
        "a caller of models writes, streaming": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("ingestion", "bedrock:InvokeModelWithResponseStream", _MODEL),
        ),
    },
    neighbours={
        "another role is denied to write": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("application", "s3:PutObject", effect="Deny"),
        ),
        "a caller of models reads": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("application", "bedrock:InvokeModel", _MODEL),
        ),
        "a role is denied to call models": (
            _BY_NAME,
            _BUCKET,
            _INGEST,
            _permission("ingestion", "bedrock:InvokeModel", _MODEL, "Deny"),
        ),
        "two roles write a bucket that no knowledge base reads": (
            _BUCKET,
            _INGEST,
            _permission("application", "s3:PutObject"),
        ),
    },
)
