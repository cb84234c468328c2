"""Trail, alarms, replication and account settings are there as asked for: read back by other clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stacks.local.engine import destroy, run
from stacks.local.provider.provider import MotoProvider
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]

RESOURCES = """
    key = aws.kms.Key("key", opts=mine)
    bucket = aws.s3.Bucket("evidence", bucket="planted-evidence", opts=mine)
    source = aws.s3.Bucket("source", bucket="planted-source", opts=mine)
    versions = [aws.s3.BucketVersioning(name, bucket=one.id, versioning_configuration={"status": "Enabled"}, opts=mine)
        for name, one in (("a", bucket), ("b", source))]
    aws.s3.BucketReplicationConfig("copies", bucket=source.id, role="arn:aws:iam::123456789012:role/copies", rules=[{
        "id": "all", "status": "Enabled", "priority": 1, "filter": {"prefix": ""},
        "delete_marker_replication": {"status": "Disabled"},
        "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
        "destination": {"bucket": bucket.arn, "account": "123456789012",
            "access_control_translation": {"owner": "Destination"},
            "encryption_configuration": {"replica_kms_key_id": key.arn}}}],
        opts=pulumi.ResourceOptions(provider=provider, depends_on=versions))
    aws.cloudtrail.Trail("trail", name="planted", s3_bucket_name=bucket.id, kms_key_id=key.arn,
        is_multi_region_trail=True, enable_log_file_validation=True, advanced_event_selectors=[
            {"name": "all", "field_selectors": [{"field": "eventCategory", "equals": ["Management"]}]}], opts=mine)
    topic = aws.sns.Topic("topic", name="planted", kms_master_key_id=key.arn, opts=mine)
    aws.sns.TopicPolicy("topic", arn=topic.arn, policy=topic.arn.apply(lambda arn: json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
         "Action": "sns:Publish", "Resource": arn}]})), opts=mine)
    rule = aws.cloudwatch.EventRule("rule", name="planted", event_pattern=json.dumps({"source": ["aws.kms"]}),
        opts=mine)
    aws.cloudwatch.EventTarget("target", rule=rule.name, target_id="topic", arn=topic.arn, opts=mine)
    aws.ebs.EncryptionByDefault("volumes", enabled=True, opts=mine)
    aws.iam.AccountPasswordPolicy("passwords", minimum_password_length=16, require_symbols=True, opts=mine)
    aws.s3.AccountPublicAccessBlock("closed", block_public_acls=True, block_public_policy=True,
        ignore_public_acls=True, restrict_public_buckets=True, opts=mine)
    """


def test_logs_and_account_are_there_as_asked_for(tmp_path: Path, provider: MotoProvider, client: Client) -> None:
    deployment = run(plant(tmp_path, RESOURCES), "dev", provider=provider)

    trail = client("cloudtrail").describe_trails()["trailList"][0]
    assert (trail["Name"], trail["LogFileValidationEnabled"], trail["IsMultiRegionTrail"]) == ("planted", True, True)
    assert client("cloudtrail").get_trail_status(Name="planted")["IsLogging"]
    [selector] = client("cloudtrail").get_event_selectors(TrailName="planted")["AdvancedEventSelectors"]
    assert selector["FieldSelectors"][0]["Equals"] == ["Management"]

    replication = client("s3").get_bucket_replication(Bucket="planted-source")["ReplicationConfiguration"]
    assert replication["Rules"][0]["Destination"]["Bucket"] == "arn:aws:s3:::planted-evidence"

    [target] = client("events").list_targets_by_rule(Rule="planted")["Targets"]
    assert target["Arn"].endswith(":planted")
    attributes = client("sns").get_topic_attributes(TopicArn=target["Arn"])["Attributes"]
    assert "events.amazonaws.com" in attributes["Policy"]
    assert attributes["KmsMasterKeyId"].startswith("arn:aws:kms:")

    assert client("ec2").get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert client("iam").get_account_password_policy()["PasswordPolicy"]["MinimumPasswordLength"] == 16

    destroy(deployment, provider, force=True)
    assert client("cloudtrail").describe_trails()["trailList"] == []
    assert client("events").list_rules()["Rules"] == []
    assert client("ec2").get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
