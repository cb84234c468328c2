"""What the provider reports as created is there: read back by other clients than its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacks.local import schema
from stacks.local.engine import UNKNOWN, EngineError, destroy, run
from stacks.local.provider.provider import MotoProvider
from stacks.local.provider.table import BACKED, MODELLED, RECORDED
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]

STORAGE = """
    key = aws.kms.Key("key", description="documents", enable_key_rotation=True, opts=mine)
    aws.kms.Alias("alias", name="alias/documents", target_key_id=key.key_id, opts=mine)
    bucket = aws.s3.Bucket("docs", bucket="planted-docs", object_lock_enabled=True, tags={"kind": "a"}, opts=mine)
    aws.s3.BucketVersioning(
        "versions", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=mine)
    default = {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn}
    aws.s3.BucketServerSideEncryptionConfiguration("encryption", bucket=bucket.id,
        rules=[{"apply_server_side_encryption_by_default": default, "bucket_key_enabled": True}], opts=mine)
    aws.s3.BucketPublicAccessBlock("closed", bucket=bucket.id, block_public_acls=True, block_public_policy=True,
        ignore_public_acls=True, restrict_public_buckets=True, opts=mine)
    aws.s3.BucketOwnershipControls(
        "owner", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}, opts=mine)
    lock = aws.s3.BucketObjectLockConfiguration("lock", bucket=bucket.id,
        rule={"default_retention": {"mode": "GOVERNANCE", "days": 3}}, opts=mine)
    aws.s3.BucketLifecycleConfiguration("expiry", bucket=bucket.id, rules=[{
        "id": "old", "status": "Enabled", "filter": {"prefix": "tmp/"}, "expiration": {"days": 5},
        "noncurrent_version_expiration": {"noncurrent_days": 2}}], opts=mine)
    dead = aws.sqs.Queue("dead", kms_master_key_id=key.arn, opts=mine)
    queue = aws.sqs.Queue("arrivals", visibility_timeout_seconds=90,
        redrive_policy=dead.arn.apply(lambda arn: json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})),
        opts=mine)
    aws.sqs.QueuePolicy("arrivals", queue_url=queue.url, policy=queue.arn.apply(lambda arn: json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
         "Action": "sqs:SendMessage", "Resource": arn}]})), opts=mine)
    aws.s3.BucketNotification("arrivals", bucket=bucket.id,
        queues=[{"queue_arn": queue.arn, "events": ["s3:ObjectCreated:*"]}], opts=mine)
    blob = aws.kms.Ciphertext("sealed", key_id=key.arn, plaintext="word", context={"of": "x"}, opts=mine)
    aws.s3.BucketObjectv2("note", bucket=bucket.id, key="notes/a.txt", content="hello",
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[lock]))
    secret = aws.secretsmanager.Secret("secret", name="planted/secret", kms_key_id=key.arn, opts=mine)
    aws.secretsmanager.SecretVersion("one", secret_id=secret.id, secret_string="word", opts=mine)
    pulumi.export("key", key.key_id)
    pulumi.export("blob", blob.ciphertext_blob)
    pulumi.export("queue", queue.url)
    pulumi.export("dead", dead.arn)
    """


def test_storage_is_there_as_asked_for(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    deployment = run(plant(tmp_path, STORAGE), "dev", provider=provider)

    outputs, s3, kms = deployment.outputs, client("s3"), client("kms")
    assert kms.get_key_rotation_status(KeyId=outputs["key"])["KeyRotationEnabled"] is True
    assert kms.describe_key(KeyId="alias/documents")["KeyMetadata"]["KeyId"] == outputs["key"]
    rule = s3.get_bucket_encryption(Bucket="planted-docs")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].endswith(outputs["key"])
    assert all(s3.get_public_access_block(Bucket="planted-docs")["PublicAccessBlockConfiguration"].values())
    lock = s3.get_object_lock_configuration(Bucket="planted-docs")["ObjectLockConfiguration"]["Rule"]
    assert (lock["DefaultRetention"]["Mode"], lock["DefaultRetention"]["Days"]) == ("GOVERNANCE", 3)
    assert s3.get_bucket_lifecycle_configuration(Bucket="planted-docs")["Rules"][0]["Expiration"] == {"Days": 5}
    assert s3.get_object(Bucket="planted-docs", Key="notes/a.txt")["Body"].read() == b"hello"
    redrive = client("sqs").get_queue_attributes(QueueUrl=outputs["queue"], AttributeNames=["All"])["Attributes"]
    assert json.loads(redrive["RedrivePolicy"])["deadLetterTargetArn"] == outputs["dead"]
    assert redrive["VisibilityTimeout"] == "90"
    assert client("secretsmanager").get_secret_value(SecretId="planted/secret")["SecretString"] == "word"
    assert deployment.counts == {"components and providers": 2, "modelled": 17}


def test_event_reaches_the_queue_that_the_deployment_connected(
    tmp_path: Path, provider: MotoProvider, client: Client
) -> None:
    queue = run(plant(tmp_path, STORAGE), "dev", provider=provider).outputs["queue"]
    client("sqs").purge_queue(QueueUrl=queue)

    client("s3").put_object(Bucket="planted-docs", Key="b.txt", Body=b"x", ObjectLockMode="GOVERNANCE")

    body = client("sqs").receive_message(QueueUrl=queue)["Messages"][0]["Body"]
    assert json.loads(body)["Records"][0]["s3"]["object"]["key"] == "b.txt"


def test_ciphertext_opens_under_its_context_only(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    blob = base64.b64decode(run(plant(tmp_path, STORAGE), "dev", provider=provider).outputs["blob"])
    kms = client("kms")

    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"of": "x"})["Plaintext"] == b"word"
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"of": "y"})


NETWORK = """
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", enable_dns_hostnames=True, opts=mine)
    aws.ec2.DefaultSecurityGroup("closed", vpc_id=vpc.id, ingress=[], egress=[], opts=mine)
    aws.ec2.DefaultNetworkAcl(
        "none", default_network_acl_id=vpc.default_network_acl_id, ingress=[], egress=[], opts=mine)
    subnet = aws.ec2.Subnet("app", vpc_id=vpc.id, cidr_block="10.0.1.0/24", availability_zone="eu-west-1a", opts=mine)
    table = aws.ec2.RouteTable("app", vpc_id=vpc.id, opts=mine)
    aws.ec2.RouteTableAssociation("app", route_table_id=table.id, subnet_id=subnet.id, opts=mine)
    aws.ec2.NetworkAcl("app", vpc_id=vpc.id, subnet_ids=[subnet.id], egress=[], ingress=[{
        "rule_no": 100, "action": "allow", "protocol": "tcp", "cidr_block": "10.0.0.0/16",
        "from_port": 443, "to_port": 443}], opts=mine)
    one = aws.ec2.SecurityGroup("one", vpc_id=vpc.id, description="one", opts=mine)
    two = aws.ec2.SecurityGroup("two", vpc_id=vpc.id, description="two", opts=mine)
    aws.vpc.SecurityGroupEgressRule("out", security_group_id=one.id, referenced_security_group_id=two.id,
        ip_protocol="tcp", from_port=443, to_port=443, opts=mine)
    aws.ec2.VpcEndpoint("s3", vpc_id=vpc.id, service_name="com.amazonaws.eu-west-1.s3", route_table_ids=[table.id],
        vpc_endpoint_type="Gateway", policy=json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}]}), opts=mine)
    logs = aws.s3.Bucket("flows", bucket="planted-flows", opts=mine)
    aws.ec2.FlowLog("flows", vpc_id=vpc.id, traffic_type="ALL", log_destination_type="s3",
        log_destination=logs.arn, opts=mine)
    pulumi.export("vpc", vpc.id)
    pulumi.export("groups", [one.id, two.id])
    pulumi.export("subnet", subnet.id)
    """


def test_network_is_there_and_its_defaults_are_closed(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    outputs = run(plant(tmp_path, NETWORK), "dev", provider=provider).outputs

    ec2 = client("ec2")
    everything = [{"Name": "vpc-id", "Values": [outputs["vpc"]]}]
    groups = {group["GroupName"]: group for group in ec2.describe_security_groups(Filters=everything)["SecurityGroups"]}
    assert (groups["default"]["IpPermissions"], groups["default"]["IpPermissionsEgress"]) == ([], [])
    one = next(group for group in groups.values() if group["GroupId"] == outputs["groups"][0])
    assert [rule["UserIdGroupPairs"][0]["GroupId"] for rule in one["IpPermissionsEgress"]] == [outputs["groups"][1]]
    acls = ec2.describe_network_acls(Filters=everything)["NetworkAcls"]
    own = next(acl for acl in acls if not acl["IsDefault"])
    assert [association["SubnetId"] for association in own["Associations"]] == [outputs["subnet"]]
    assert [entry["RuleNumber"] for entry in own["Entries"] if entry["RuleAction"] == "allow"] == [100]
    default = next(acl for acl in acls if acl["IsDefault"])
    assert {entry["RuleAction"] for entry in default["Entries"]} <= {"deny"}
    policy = json.loads(ec2.describe_vpc_endpoints(Filters=everything)["VpcEndpoints"][0]["PolicyDocument"])
    assert policy["Statement"][0]["Action"] == "s3:GetObject"


def test_refusal_of_the_api_names_resource_and_line(tmp_path: Path, provider: MotoProvider) -> None:
    body = """
        vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=mine)
        aws.ec2.Subnet("outside", vpc_id=vpc.id, cidr_block="10.1.0.0/24", opts=mine)
        """
    with pytest.raises(EngineError, match=r"__main__\.py:7: aws:ec2/subnet:Subnet 'outside': ClientError: .*CIDR"):
        run(plant(tmp_path, body), "dev", provider=provider)


def test_preview_creates_nothing(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    deployment = run(plant(tmp_path, STORAGE), "dev", provider=provider, preview=True)

    assert deployment.named("aws:s3/bucket:Bucket", "docs").id == ""
    assert client("s3").list_buckets()["Buckets"] == []


def test_destroy_removes_everything_dependants_first(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    for name, body in (("storage", STORAGE), ("network", NETWORK)):
        deployment = run(plant(tmp_path / name, body), "dev", provider=provider)
        deleted = destroy(deployment, provider)
        assert len(deleted) == len([one for one in deployment.resources if one.custom]) - 1

    assert client("s3").list_buckets()["Buckets"] == []
    assert client("sqs").list_queues().get("QueueUrls", []) == []
    remaining = client("ec2").describe_vpcs()["Vpcs"]
    assert all(vpc["IsDefault"] for vpc in remaining)


PROTECTED = """
    aws.sqs.Queue("kept", opts=pulumi.ResourceOptions(provider=provider, retain_on_delete=True))
    aws.sqs.Queue("guarded", opts=pulumi.ResourceOptions(provider=provider, protect=True))
    aws.sqs.Queue("free", opts=mine)
    """


def test_protected_resource_refuses_the_destruction(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    deployment = run(plant(tmp_path, PROTECTED), "dev", provider=provider)

    with pytest.raises(EngineError, match=r"__main__\.py:7: aws:sqs/queue:Queue 'guarded' is protected"):
        destroy(deployment, provider)

    assert len(client("sqs").list_queues()["QueueUrls"]) == 3


def test_retained_resource_stays_unless_forced(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    free = PROTECTED.replace("protect=True", "protect=False")
    deployment = run(plant(tmp_path, free), "dev", provider=provider)

    destroy(deployment, provider)
    assert [url.rpartition("/")[2][:4] for url in client("sqs").list_queues()["QueueUrls"]] == ["kept"]

    destroy(run(plant(tmp_path / "again", PROTECTED), "prod", provider=provider), provider, force=True)
    assert len(client("sqs").list_queues()["QueueUrls"]) == 1


def test_what_nobody_models_is_recorded_and_its_outputs_stay_unknown(tmp_path: Path, provider: MotoProvider) -> None:
    body = """
        group = aws.route53.ResolverFirewallRuleGroup("rules", opts=mine)
        pulumi.export("arn", group.arn)
        pulumi.export("share", group.share_status)
        """
    deployment = run(plant(tmp_path, body), "dev", provider=provider)

    assert deployment.counts == {"components and providers": 2, "recorded only": 1}
    assert deployment.outputs["arn"].startswith("arn:aws:route53:eu-west-1:123456789012:")
    assert deployment.outputs["share"] == UNKNOWN


def test_modelled_resource_may_not_use_an_output_that_nobody_returned(tmp_path: Path, provider: MotoProvider) -> None:
    body = """
        group = aws.route53.ResolverFirewallRuleGroup("rules", opts=mine)
        aws.sqs.Queue("jobs", name=group.share_status, opts=mine)
        """
    sentence = "name uses an output that nobody returned, of aws:route53/resolverFirewallRuleGroup"
    with pytest.raises(EngineError, match=sentence):
        run(plant(tmp_path, body), "dev", provider=provider)


def test_type_that_is_in_no_table_is_refused(tmp_path: Path, provider: MotoProvider) -> None:
    body = 'aws.ec2.InternetGateway("way-out", opts=mine)'

    with pytest.raises(EngineError, match="aws:ec2/internetGateway:InternetGateway is neither modelled nor recorded"):
        run(plant(tmp_path, body), "dev", provider=provider)


def test_every_type_is_in_one_table_and_known_to_the_sdk() -> None:
    assert not set(MODELLED) & set(RECORDED)
    assert set(BACKED) <= set(RECORDED)
    for token in {*MODELLED, *RECORDED}:
        assert schema.resource_class(token) is not None, token
    for token, (outputs, why) in RECORDED.items():
        assert set(outputs) <= set(schema.output_types(token)), token
        assert why


def test_credentials_of_another_account_are_refused(tmp_path: Path, provider: MotoProvider) -> None:
    body = 'aws.Provider("other", region="eu-west-1", allowed_account_ids=["111122223333"])'

    with pytest.raises(
        EngineError, match="allowedAccountIds is 111122223333, but the credentials belong to account 1234"
    ):
        run(plant(tmp_path, body), "dev", provider=provider)


def test_credentials_of_the_right_account_are_accepted(tmp_path: Path, provider: MotoProvider) -> None:
    body = """
        right = aws.Provider("right", region="eu-west-1", allowed_account_ids=["123456789012"])
        zones = aws.get_availability_zones(opts=pulumi.InvokeOptions(provider=right))
        pulumi.export("zones", zones.names)
        """
    zones = run(plant(tmp_path, body), "dev", provider=provider).outputs["zones"]

    assert zones == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]


def test_two_providers_create_in_their_own_regions(tmp_path: Path, provider: MotoProvider) -> None:
    body = """
        abroad = aws.Provider("abroad", region="us-west-2", default_tags={"tags": {"where": "abroad"}})
        pulumi.export("here", aws.sqs.Queue("here", opts=mine).arn)
        pulumi.export("there", aws.sqs.Queue("there", opts=pulumi.ResourceOptions(provider=abroad)).arn)
        pulumi.export("again", aws.sqs.Queue("again", opts=mine).arn)
        """
    outputs = run(plant(tmp_path, body), "dev", provider=provider).outputs

    regions = {name: arn.split(":")[3] for name, arn in outputs.items()}
    assert regions == {"here": "eu-west-1", "there": "us-west-2", "again": "eu-west-1"}


def test_existing_resource_is_read_and_an_absent_one_refused(
    tmp_path: Path, provider: MotoProvider, client: Client
) -> None:
    client("s3").create_bucket(Bucket="older", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    body = 'pulumi.export("arn", aws.s3.Bucket.get("b", "{}", opts=mine).arn)'

    assert run(plant(tmp_path / "a", body.format("older")), "dev", provider=provider).outputs == {
        "arn": "arn:aws:s3:::older"
    }
    with pytest.raises(EngineError, match="there is no aws:s3/bucket:Bucket with the id 'absent'"):
        run(plant(tmp_path / "b", body.format("absent")), "dev", provider=provider)
