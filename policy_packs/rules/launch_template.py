"""EC2 launch templates: instances guard their credentials, their volumes are encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import any_of, negate

TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"


def _imdsv2(template: Resource) -> Iterator[Outcome]:
    is_off = template.at("metadataOptions.httpEndpoint").equals("disabled")
    tokens = template.at("metadataOptions.httpTokens")
    hops = template.at("metadataOptions.httpPutResponseHopLimit")
    yield from demand(any_of(is_off, tokens.equals("required")), "metadata are given without a session token", tokens)
    # Left out, the hop limit is the account's or the image's: 2 for recent images.
    yield from demand(any_of(is_off, hops.equals(1)), "containers reach the credentials of their host", hops)


def _template(**metadata: object) -> Resource:
    return Resource.example(TEMPLATE, {"metadataOptions": metadata})


IMDSV2 = Rule(
    name="ec2-launch-template-require-imdsv2",
    description="Instances give their metadata to holders of a session token only, and no further than one hop.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.5.17", "A.8.9"),
        nist_800_53_r5=("AC-3", "AC-6", "IA-5"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0055", "AML.T0012"),
    ),
    remediation="Set http_tokens required and http_put_response_hop_limit 1 in metadata_options.",
    checkov=("CKV_AWS_79", "CKV_AWS_341"),
    resource_types=(TEMPLATE,),
    check=_imdsv2,
    obeys={
        "tokens, one hop": _template(httpTokens="required", httpPutResponseHopLimit=1.0),
        "no metadata at all": _template(httpEndpoint="disabled"),
    },
    breaks={
        "left out, and AWS's default is optional": Resource.example(TEMPLATE, {}),
        "optional": _template(httpTokens="optional", httpPutResponseHopLimit=1.0),
        "two hops": _template(httpTokens="required", httpPutResponseHopLimit=2.0),
        "hops left to the image": _template(httpTokens="required"),
    },
    neighbours={
        "tags in the metadata": _template(
            httpTokens="required", httpPutResponseHopLimit=1.0, instanceMetadataTags="enabled"
        ),
        "no metadata, whatever the tokens": _template(httpEndpoint="disabled", httpTokens="optional"),
    },
)


def _volumes_encrypted(template: Resource) -> Iterator[Outcome]:
    mappings = template.at("blockDeviceMappings")
    yield from demand(mappings.is_given(), "no volume named: the image's own may be plain", mappings)
    for volume in (one.at("ebs") for one in mappings.items()):
        encrypted = volume.at("encrypted", absent=False)
        is_volume = volume.is_given()  # local disks and suppressed devices have none
        yield from demand(any_of(negate(is_volume), encrypted.equals(True, "true")), "not encrypted", encrypted)


def _volume(**volume: object) -> Resource:
    return Resource.example(TEMPLATE, {"blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": volume}]})


VOLUMES_ENCRYPTED = Rule(
    name="ec2-launch-template-require-encrypted-volumes",
    description="Every volume of a launch template is encrypted.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)",),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set encrypted=True, and kms_key_id, in the ebs part of every block device mapping.",
    resource_types=(TEMPLATE,),
    check=_volumes_encrypted,
    obeys={
        "encrypted": _volume(encrypted=True),
        "encrypted, as the provider writes it": _volume(encrypted="true"),
        "a local disk beside it": Resource.example(
            TEMPLATE, {"blockDeviceMappings": [{"ebs": {"encrypted": True}}, {"virtualName": "ephemeral0"}]}
        ),
    },
    breaks={
        "left out, and AWS's default is plain": _volume(volumeSize=100.0),
        "turned off": _volume(encrypted="false"),
        "no mapping: whatever the image says": Resource.example(TEMPLATE, {}),
        "one of two": Resource.example(
            TEMPLATE, {"blockDeviceMappings": [{"ebs": {"encrypted": True}}, {"ebs": {"volumeSize": 1.0}}]}
        ),
    },
    neighbours={
        "a device of the image that is suppressed": Resource.example(
            TEMPLATE,
            {"blockDeviceMappings": [{"ebs": {"encrypted": True}}, {"deviceName": "/dev/sdb", "noDevice": "x"}]},
        ),
        "encrypted under AWS's key": _volume(encrypted=True, kmsKeyId="alias/aws/ebs"),
    },
)
