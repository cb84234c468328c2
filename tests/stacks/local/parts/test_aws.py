"""The AWS stand-in speaks TLS 1.3 only and enforces bucket policies as AWS would."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from stacks.local.parts.aws import ORGANIZATION_ID, client_environment
from tests.stacks.configurations import environment_values
from tests.stacks.local.parts.running_parts import RunningParts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import NotificationConfigurationTypeDef, TaggingTypeDef

BUCKET = "documents"
REGION: Final = "eu-west-1"


def client(running: RunningParts, service: str, **named: Any) -> Any:
    credentials = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", **named}
    return boto3.client(
        service,  # type: ignore[call-overload] # the name is not a literal here
        endpoint_url=running.addresses.aws_url,
        region_name=REGION,
        verify=str(running.places.ca_bundle),
        config=Config(retries={"total_max_attempts": 1}),
        **credentials,
    )


@pytest.fixture
def s3(running: RunningParts) -> Iterator[S3Client]:
    with_everything: S3Client = client(running, "s3")
    with_everything.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield with_everything
    with_everything.delete_bucket_policy(Bucket=BUCKET)
    for one in with_everything.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        with_everything.delete_object(Bucket=BUCKET, Key=one["Key"])
    with_everything.delete_bucket(Bucket=BUCKET)


def deny(action: str | list[str], **condition: dict[str, Any]) -> dict[str, Any]:
    resource = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    return {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource, "Condition": condition}


def set_policy(s3: S3Client, *statements: dict[str, Any]) -> None:
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"], error.value.response["Error"]["Code"]


TAGGED: TaggingTypeDef = {"TagSet": [{"Key": "class", "Value": "public"}]}
ENCRYPTED_TRANSPORT = (
    deny("s3:*", Bool={"aws:SecureTransport": "false"}),
    deny("s3:*", NumericLessThan={"s3:TlsVersion": "1.3"}),
)


def test_bucket_that_demands_tls_1_3_serves_our_clients(s3: S3Client) -> None:
    set_policy(s3, *ENCRYPTED_TRANSPORT)
    s3.put_object(Bucket=BUCKET, Key="one", Body=b"text")
    assert s3.get_object(Bucket=BUCKET, Key="one")["Body"].read() == b"text"
    assert s3.head_object(Bucket=BUCKET, Key="one")["ContentLength"] == 4
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1


@pytest.mark.parametrize(
    "statement",
    [
        deny("s3:GetObject", Bool={"aws:SecureTransport": "true"}),
        deny("s3:GetObject", NumericLessThan={"s3:TlsVersion": "1.4"}),
        deny("s3:GetObject", IpAddress={"aws:SourceIp": "127.0.0.0/8"}),
        deny("s3:Get*", ArnLike={"aws:PrincipalArn": "arn:aws:iam::*:root"}),
    ],
    ids=["secure transport", "TLS version", "source address", "principal"],
)
def test_condition_that_holds_refuses(s3: S3Client, statement: dict[str, Any]) -> None:
    s3.put_object(Bucket=BUCKET, Key="one", Body=b"text")
    set_policy(s3, statement)
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=BUCKET, Key="one")
    assert refusal(refused) == (403, "AccessDenied")


def test_object_without_the_demanded_encryption_is_refused(s3: S3Client) -> None:
    set_policy(s3, *ENCRYPTED_TRANSPORT, deny("s3:PutObject", StringNotEquals=_demanded("aws:kms")))
    s3.put_object(Bucket=BUCKET, Key="one", Body=b"text", ServerSideEncryption="aws:kms")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=BUCKET, Key="two", Body=b"text")
    assert refusal(refused) == (403, "AccessDenied")
    s3.put_object_tagging(Bucket=BUCKET, Key="one", Tagging=TAGGED)  # another action: not refused


def _demanded(encryption: str) -> dict[str, str]:
    return {"s3:x-amz-server-side-encryption": encryption}


def test_listing_is_limited_to_a_prefix(s3: S3Client) -> None:
    set_policy(s3, deny("s3:ListBucket", StringNotLike={"s3:prefix": "acme/*"}))
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="acme/")["KeyCount"] == 0
    with pytest.raises(ClientError) as refused:
        s3.list_objects_v2(Bucket=BUCKET, Prefix="globex/")
    assert refusal(refused) == (403, "AccessDenied")


def test_deleting_many_judges_each_key(s3: S3Client) -> None:
    for key in ("kept", "gone"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"text")
    statement = {**deny("s3:DeleteObject", Bool={"aws:SecureTransport": "true"})}
    set_policy(s3, {**statement, "Resource": f"arn:aws:s3:::{BUCKET}/kept"})
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "kept"}, {"Key": "gone"}]})
    assert [one["Key"] for one in answer["Deleted"]] == ["gone"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("kept", "AccessDenied")]


def test_session_is_known_by_its_role(running: RunningParts, s3: S3Client) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    iam = client(running, "iam")
    arns = {
        name: iam.create_role(RoleName=name, Path="/tasks/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        for name in ("reader", "stranger")
    }
    s3.put_object(Bucket=BUCKET, Key="one", Body=b"text")
    set_policy(s3, deny("s3:GetObject", ArnNotEquals={"aws:PrincipalArn": arns["reader"]}))
    assert _as_role(running, arns["reader"]).get_object(Bucket=BUCKET, Key="one")["ContentLength"] == 4
    with pytest.raises(ClientError) as refused:
        _as_role(running, arns["stranger"]).get_object(Bucket=BUCKET, Key="one")
    assert refusal(refused) == (403, "AccessDenied")


def _as_role(running: RunningParts, arn: str) -> Any:
    given = client(running, "sts").assume_role(RoleArn=arn, RoleSessionName="task")["Credentials"]
    return client(
        running,
        "s3",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def test_policy_that_cannot_be_judged_refuses_and_says_why(running: RunningParts, s3: S3Client) -> None:
    set_policy(s3, deny("s3:PutObject", StringSoundsLike={"aws:UserAgent": "curl"}))
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=BUCKET, Key="one", Body=b"text")
    assert refusal(refused) == (403, "AccessDenied")
    assert "its bucket policy cannot be judged" in running.places.log("aws").read_text()


def test_only_one_of_many_conditional_puts_writes(s3: S3Client) -> None:
    def put(number: int) -> int:
        try:
            s3.put_object(Bucket=BUCKET, Key="head", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(put, range(16))) == [200] + [412] * 15
    s3.put_object(Bucket=BUCKET, Key="head", Body=b"unconditional")  # the twin: without the condition it is replaced


def test_older_tls_is_refused(running: RunningParts) -> None:
    context = ssl.create_default_context(cafile=running.places.ca_bundle)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", running.addresses.aws)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_client_that_does_not_know_our_authority_refuses_the_server(running: RunningParts) -> None:
    stranger = boto3.client(
        "sts",
        endpoint_url=running.addresses.aws_url,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(SSLError):
        stranger.get_caller_identity()
    assert client(running, "sts").get_caller_identity()["Account"] == "123456789012"


def test_silent_client_does_not_hold_up_the_others(running: RunningParts) -> None:
    with socket.create_connection(("127.0.0.1", running.addresses.aws)):
        assert client(running, "sts").get_caller_identity()["Account"] == "123456789012"


def test_standard_variables_are_all_a_client_needs(running: RunningParts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in client_environment(running.places, running.addresses).items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    assert session.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_paused_aws_keeps_its_buckets(running: RunningParts, s3: S3Client) -> None:
    running.supervisor.pause("aws")
    try:
        context = ssl.create_default_context(cafile=running.places.ca_bundle)
        address = ("127.0.0.1", running.addresses.aws)
        with socket.create_connection(address, timeout=0.2) as waiting, pytest.raises(TimeoutError):
            context.wrap_socket(waiting, server_hostname="127.0.0.1")
    finally:
        running.supervisor.resume("aws")
    assert s3.head_bucket(Bucket=BUCKET)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize(
    ("message", "kind", "sentence"),
    [(b"x" * 48, "DIGEST", "not available in the local stand-in"), (b"x" * 4097, "RAW", "less than or equal to 4096")],
)
def test_signature_that_aws_would_make_otherwise_is_refused(
    running: RunningParts, message: bytes, kind: str, sentence: str
) -> None:
    kms = client(running, "kms")
    key = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    asked = {"KeyId": key, "SigningAlgorithm": "ECDSA_SHA_384"}
    with pytest.raises(ClientError, match=sentence):
        kms.sign(Message=message, MessageType=kind, **asked)
    signature = kms.sign(Message=message[:4096], MessageType="RAW", **asked)["Signature"]
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, message[:4096], ec.ECDSA(hashes.SHA384()))


def test_new_object_is_announced_in_the_queue(running: RunningParts, s3: S3Client) -> None:
    sqs = client(running, "sqs")
    url = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    wanted: NotificationConfigurationTypeDef = {
        "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    }
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=wanted)
    s3.put_object(Bucket=BUCKET, Key="acme/handbook/leave policy.txt", Body=b"text")
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    announced = [record for one in messages for record in json.loads(one["Body"]).get("Records", [])]
    assert [one["s3"]["object"]["size"] for one in announced] == [4]
    sqs.delete_queue(QueueUrl=url)


def test_callers_are_of_the_organization_that_the_local_environment_names() -> None:
    """Bucket policies refuse everybody else."""
    assert environment_values("local")["organization"]["id"] == ORGANIZATION_ID
