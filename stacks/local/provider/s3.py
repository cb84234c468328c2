"""S3: buckets, each of their settings, and objects."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from stacks.local.engine_graph import Json
from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import (
    Inputs,
    Kind,
    Made,
    Outputs,
    camel,
    given,
    pascal,
    tag_list,
    tag_map,
    tags_of,
)


def _create_bucket(aws: Aws, inputs: Inputs) -> Made:
    s3, name = aws.client("s3"), inputs["bucket"]
    place = {} if aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=bool(inputs.get("objectLockEnabled")), **place)
    if tags_of(inputs):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list(inputs)})
    return Made(name)


def _read_bucket(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    s3 = aws.client("s3")
    try:
        s3.head_bucket(Bucket=identifier)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return None
        raise
    tags = _setting(lambda: s3.get_bucket_tagging(Bucket=identifier)["TagSet"])
    lock = _setting(lambda: s3.get_object_lock_configuration(Bucket=identifier)["ObjectLockConfiguration"])
    return {
        "arn": f"arn:aws:s3:::{identifier}",
        "bucket": identifier,
        "bucketDomainName": f"{identifier}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{identifier}.s3.{aws.region}.amazonaws.com",
        "bucketRegion": aws.region,
        "region": aws.region,
        "objectLockEnabled": bool(lock and lock.get("ObjectLockEnabled") == "Enabled"),
        "tagsAll": tag_map(tags),
    }


def _setting(read: Callable[[], Json]) -> Json:
    """A setting that was never made is an error of the API, not of ours."""
    try:
        return read()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise


def _delete_bucket(aws: Aws, identifier: str, inputs: Inputs) -> None:
    """Empties it first: local data is thrown away with the environment."""
    s3 = aws.client("s3")
    _setting(lambda: s3.delete_bucket_policy(Bucket=identifier))
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=identifier):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(
                Bucket=identifier,
                Key=version["Key"],
                VersionId=version["VersionId"],
                BypassGovernanceRetention=True,
            )
    s3.delete_bucket(Bucket=identifier)


def _of_bucket(
    put: Callable[[Any, str, Inputs], object],
    read: Callable[[Any, str, Inputs], Outputs | None],
    delete: Callable[[Any, str], object] | None = None,
) -> Kind:
    """A setting of one bucket: its id is the bucket's name."""

    def create(aws: Aws, inputs: Inputs) -> Made:
        put(aws.client("s3"), inputs["bucket"], inputs)
        return Made(inputs["bucket"])

    def read_back(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
        found: Outputs | None = _setting(lambda: read(aws.client("s3"), identifier, inputs))
        return None if found is None else {"bucket": identifier, **found}

    def remove(aws: Aws, identifier: str, inputs: Inputs) -> None:
        if delete is not None:
            delete(aws.client("s3"), identifier)

    return Kind(create, read_back, remove)


def _put_encryption(s3: Any, bucket: str, inputs: Inputs) -> None:
    rules = []
    for rule in inputs["rules"]:
        default = rule.get("applyServerSideEncryptionByDefault") or {}
        chosen = given(SSEAlgorithm=default.get("sseAlgorithm"), KMSMasterKeyID=default.get("kmsMasterKeyId"))
        rules.append(
            {"ApplyServerSideEncryptionByDefault": chosen, "BucketKeyEnabled": bool(rule.get("bucketKeyEnabled"))}
        )
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def _get_encryption(s3: Any, bucket: str, inputs: Inputs) -> Outputs:
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    found = []
    for rule in rules:
        default = rule["ApplyServerSideEncryptionByDefault"]
        chosen = given(sseAlgorithm=default["SSEAlgorithm"], kmsMasterKeyId=default.get("KMSMasterKeyID"))
        found.append({"applyServerSideEncryptionByDefault": chosen, "bucketKeyEnabled": rule["BucketKeyEnabled"]})
    return {"rules": found}


_ACCESS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def _put_access(s3: Any, bucket: str, inputs: Inputs) -> None:
    settings = {key: bool(inputs.get(key)) for key in _ACCESS}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=pascal(settings))


def _get_access(s3: Any, bucket: str, inputs: Inputs) -> Outputs:
    found: Outputs = camel(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"])
    return found


def _put_lifecycle(s3: Any, bucket: str, inputs: Inputs) -> None:
    rules = [{("ID" if key == "Id" else key): value for key, value in pascal(rule).items()} for rule in inputs["rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _get_lifecycle(s3: Any, bucket: str, inputs: Inputs) -> Outputs:
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return {"rules": [camel({("Id" if key == "ID" else key): value for key, value in rule.items()}) for rule in found]}


def _put_lock(s3: Any, bucket: str, inputs: Inputs) -> None:
    rule = pascal(inputs["rule"])
    retention = {**rule["DefaultRetention"]}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)


def _get_lock(s3: Any, bucket: str, inputs: Inputs) -> Outputs:
    found = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    return {"objectLockEnabled": found["ObjectLockEnabled"], "rule": camel(found["Rule"])}


_TARGETS = {"queues": ("QueueConfigurations", "QueueArn"), "topics": ("TopicConfigurations", "TopicArn")}


def _put_notification(s3: Any, bucket: str, inputs: Inputs) -> None:
    configuration: dict[str, Json] = {"EventBridgeConfiguration": {}} if inputs.get("eventbridge") else {}
    for key, (name, arn) in _TARGETS.items():
        configuration[name] = [_notification(target, arn) for target in inputs.get(key) or []]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)


def _notification(target: Inputs, arn: str) -> dict[str, Json]:
    filters = [
        {"Name": name, "Value": target[key]}
        for name, key in (("prefix", "filterPrefix"), ("suffix", "filterSuffix"))
        if target.get(key)
    ]
    return given(
        Id=target.get("id"),
        Events=target["events"],
        Filter={"Key": {"FilterRules": filters}} if filters else None,
        **{arn: target[arn[:1].lower() + arn[1:]]},
    )


def _get_notification(s3: Any, bucket: str, inputs: Inputs) -> Outputs:
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    outputs: Outputs = {}
    for key, (name, arn) in _TARGETS.items():
        if inputs.get(key):
            outputs[key] = [
                {arn[:1].lower() + arn[1:]: one[arn], "events": one["Events"]} for one in found.get(name, [])
            ]
    return outputs


def _put_logging(s3: Any, bucket: str, inputs: Inputs) -> None:
    target = {"TargetBucket": inputs["targetBucket"], "TargetPrefix": inputs["targetPrefix"]}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": target})


def _get_logging(s3: Any, bucket: str, inputs: Inputs) -> Outputs:
    found = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]
    return {"targetBucket": found["TargetBucket"], "targetPrefix": found["TargetPrefix"]}


def _put_replication(s3: Any, bucket: str, inputs: Inputs) -> None:
    rules = []
    for rule in inputs["rules"]:
        spelt = {("ID" if key == "Id" else key): value for key, value in pascal(rule).items()}
        encryption = spelt["Destination"].get("EncryptionConfiguration")
        if encryption:
            spelt["Destination"]["EncryptionConfiguration"] = {"ReplicaKmsKeyID": encryption["ReplicaKmsKeyId"]}
        rules.append(spelt)
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": inputs["role"], "Rules": rules})


def _get_replication(s3: Any, bucket: str, inputs: Inputs) -> Outputs:
    found = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
    kept = [{"id": rule["ID"], "status": rule["Status"], "priority": rule["Priority"]} for rule in found["Rules"]]
    buckets = [{"destination": {"bucket": rule["Destination"]["Bucket"]}} for rule in found["Rules"]]
    rules = [{**one, **other} for one, other in zip(kept, buckets, strict=True)]
    return {"role": found["Role"], "rules": rules}


def _create_object(aws: Aws, inputs: Inputs) -> Made:
    answer = aws.client("s3").put_object(
        Bucket=inputs["bucket"],
        Key=inputs["key"],
        Body=_body(inputs),
        **given(
            ContentType=inputs.get("contentType"),
            ServerSideEncryption=inputs.get("serverSideEncryption"),
            SSEKMSKeyId=inputs.get("kmsKeyId"),
            Metadata=inputs.get("metadata"),
            CacheControl=inputs.get("cacheControl"),
        ),
    )
    return Made(f"{inputs['bucket']}/{inputs['key']}", {"versionId": answer.get("VersionId", "null")})


def _body(inputs: Inputs) -> bytes:
    if "contentBase64" in inputs:
        return base64.b64decode(inputs["contentBase64"])
    source = inputs.get("source")
    if isinstance(source, dict):
        return Path(source["path"]).read_bytes() if "path" in source else str(source["text"]).encode()
    return str(inputs.get("content", "")).encode()


def _read_object(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    bucket, _, key = identifier.partition("/")
    found = _setting(lambda: aws.client("s3").get_object(Bucket=bucket, Key=key))
    if found is None:
        return None
    body = found["Body"].read()
    outputs = {"bucket": bucket, "key": key, "etag": found["ETag"].strip('"'), "arn": f"arn:aws:s3:::{bucket}/{key}"}
    return {**outputs, "content": body.decode()} if "content" in inputs else outputs


def _delete_object(aws: Aws, identifier: str, inputs: Inputs) -> None:
    bucket, _, key = identifier.partition("/")
    aws.client("s3").delete_object(Bucket=bucket, Key=key)


_OBJECT = Kind(_create_object, _read_object, _delete_object)

KINDS = {
    "aws:s3/bucket:Bucket": Kind(_create_bucket, _read_bucket, _delete_bucket),
    "aws:s3/bucketVersioning:BucketVersioning": _of_bucket(
        lambda s3, bucket, inputs: s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": inputs["versioningConfiguration"]["status"]}
        ),
        lambda s3, bucket, inputs: {
            "versioningConfiguration": {"status": s3.get_bucket_versioning(Bucket=bucket)["Status"]}
        },
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _of_bucket(
        _put_encryption, _get_encryption, lambda s3, bucket: s3.delete_bucket_encryption(Bucket=bucket)
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of_bucket(
        _put_access, _get_access, lambda s3, bucket: s3.delete_public_access_block(Bucket=bucket)
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _of_bucket(
        lambda s3, bucket, inputs: s3.put_bucket_ownership_controls(
            Bucket=bucket, OwnershipControls={"Rules": [pascal(inputs["rule"])]}
        ),
        lambda s3, bucket, inputs: {
            "rule": camel(s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"][0])
        },
        lambda s3, bucket: s3.delete_bucket_ownership_controls(Bucket=bucket),
    ),
    "aws:s3/bucketPolicy:BucketPolicy": _of_bucket(
        lambda s3, bucket, inputs: s3.put_bucket_policy(Bucket=bucket, Policy=_text(inputs["policy"])),
        lambda s3, bucket, inputs: {"policy": s3.get_bucket_policy(Bucket=bucket)["Policy"]},
        lambda s3, bucket: s3.delete_bucket_policy(Bucket=bucket),
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _of_bucket(
        _put_lifecycle, _get_lifecycle, lambda s3, bucket: s3.delete_bucket_lifecycle(Bucket=bucket)
    ),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": _of_bucket(_put_lock, _get_lock),
    "aws:s3/bucketNotification:BucketNotification": _of_bucket(_put_notification, _get_notification),
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": _of_bucket(
        _put_replication, _get_replication, lambda s3, bucket: s3.delete_bucket_replication(Bucket=bucket)
    ),
    "aws:s3/bucketLogging:BucketLogging": _of_bucket(_put_logging, _get_logging),
    "aws:s3/bucketObject:BucketObject": _OBJECT,
    "aws:s3/bucketObjectv2:BucketObjectv2": _OBJECT,
}


def _text(policy: Json) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)
