"""OpenSearch domains: in our network, encrypted under our key, by TLS, open to named users, audited.

Domains of the older Elasticsearch type have the same properties and are judged as the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

DOMAIN: Final = "aws:opensearch/domain:Domain"
ELASTICSEARCH: Final = "aws:elasticsearch/domain:Domain"
DOMAINS: Final = (DOMAIN, ELASTICSEARCH)
# Every policy of AWS that refuses TLS 1.0 and 1.1.
_TLS_POLICIES: Final = r"Policy-Min-TLS-1-2-.+"

_NO_DOMAIN: Final = {
    "a pipeline into a domain": Resource.example("aws:opensearchingest/pipeline:Pipeline", {"maxUnits": 4.0}),
    "a package for a domain": Resource.example("aws:opensearch/package:Package", {"packageType": "TXT-DICTIONARY"}),
}


def _domain(**props: object) -> Resource:
    return Resource.example(DOMAIN, props)


def _elasticsearch(**props: object) -> Resource:
    return Resource.example(ELASTICSEARCH, props)


def _encrypted(domain: Resource) -> Iterator[Outcome]:
    enabled, key = domain.at("encryptAtRest.enabled"), domain.at("encryptAtRest.kmsKeyId")
    yield from demand(enabled.equals(True), "indices are not encrypted at rest", enabled)
    yield from demand(is_customer_key(key), "no customer managed key", key)


_ENCRYPTED = {"enabled": True, "kmsKeyId": OWN_KEY}

CUSTOMER_KEY = Rule(
    name="opensearch-domain-require-customer-key",
    description="What a search domain holds is encrypted under a customer managed key.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)", "SC-12"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.M0012",),
    ),
    remediation="Set enabled and kms_key_id in encrypt_at_rest.",
    checkov=("CKV_AWS_5", "CKV_AWS_247"),
    resource_types=DOMAINS,
    check=_encrypted,
    obeys={
        "our key": _domain(encryptAtRest=_ENCRYPTED),
        "an Elasticsearch domain": _elasticsearch(encryptAtRest=_ENCRYPTED),
    },
    breaks={
        "left out, and AWS's default is off": _domain(),
        "AWS's key": _domain(encryptAtRest={"enabled": True}),
        "a key, but not in use": _domain(encryptAtRest={**_ENCRYPTED, "enabled": False}),
        "an Elasticsearch domain": _elasticsearch(encryptAtRest={"kmsKeyId": OWN_KEY}),
    },
    neighbours=_NO_DOMAIN,
)


def _encrypted_between_nodes(domain: Resource) -> Iterator[Outcome]:
    enabled = domain.at("nodeToNodeEncryption.enabled")
    yield from demand(enabled.equals(True), "nodes send documents to each other in clear", enabled)


BETWEEN_NODES = Rule(
    name="opensearch-domain-require-node-to-node-encryption",
    description="The nodes of a search domain speak TLS with each other.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.24", "A.8.20"),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation='Set node_to_node_encryption={"enabled": True}.',
    checkov=("CKV_AWS_6",),
    resource_types=DOMAINS,
    check=_encrypted_between_nodes,
    obeys={
        "on": _domain(nodeToNodeEncryption={"enabled": True}),
        "an Elasticsearch domain": _elasticsearch(nodeToNodeEncryption={"enabled": True}),
    },
    breaks={
        "left out, and AWS's default is off": _domain(),
        "off": _domain(nodeToNodeEncryption={"enabled": False}),
        "one node today may be two tomorrow": _domain(clusterConfig={"instanceCount": 1.0}),
        "an Elasticsearch domain": _elasticsearch(nodeToNodeEncryption=None),
    },
    neighbours=_NO_DOMAIN,
)


def _https(domain: Resource) -> Iterator[Outcome]:
    enforced = domain.at("domainEndpointOptions.enforceHttps")
    yield from demand(enforced.equals(True), "questions and documents may come in clear", enforced)


HTTPS = Rule(
    name="opensearch-domain-require-https",
    description="A search domain answers nobody who comes without TLS.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.20", "A.8.24"),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation="Set enforce_https=True in domain_endpoint_options.",
    checkov=("CKV_AWS_83",),
    resource_types=DOMAINS,
    check=_https,
    obeys={
        "enforced": _domain(domainEndpointOptions={"enforceHttps": True}),
        "an Elasticsearch domain": _elasticsearch(domainEndpointOptions={"enforceHttps": True}),
    },
    breaks={
        "left out, and AWS's default is no": _domain(domainEndpointOptions={"tlsSecurityPolicy": "…"}),
        "no options": _elasticsearch(),
        "turned off": _domain(domainEndpointOptions={"enforceHttps": False}),
    },
    neighbours=_NO_DOMAIN,
)


def _modern_tls(domain: Resource) -> Iterator[Outcome]:
    policy = domain.at("domainEndpointOptions.tlsSecurityPolicy")
    yield from demand(policy.matches(_TLS_POLICIES), "TLS 1.0 is accepted", policy)


def _with_tls(policy: object) -> Resource:
    return _domain(domainEndpointOptions={"enforceHttps": True, "tlsSecurityPolicy": policy})


MODERN_TLS = Rule(
    name="opensearch-domain-require-tls12",
    description="A search domain accepts TLS 1.2 or newer only.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.7",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-8(1)", "SC-13"), owasp_llm=("LLM02:2026",)
    ),
    remediation="Set tls_security_policy to Policy-Min-TLS-1-2-PFS-2023-10 in domain_endpoint_options.",
    checkov=("CKV_AWS_228",),
    resource_types=DOMAINS,
    check=_modern_tls,
    obeys={
        "forward secrecy": _with_tls("Policy-Min-TLS-1-2-PFS-2023-10"),
        "the oldest that will do": _with_tls("Policy-Min-TLS-1-2-2019-07"),
        "an Elasticsearch domain": _elasticsearch(
            domainEndpointOptions={"tlsSecurityPolicy": "Policy-Min-TLS-1-2-2019-07"}
        ),
    },
    breaks={
        "left out: whatever AWS takes that day": _domain(domainEndpointOptions={"enforceHttps": True}),
        "1.0": _with_tls("Policy-Min-TLS-1-0-2019-07"),
        "no text": _with_tls(1.2),
        "an Elasticsearch domain that says nothing": _elasticsearch(),
    },
    neighbours=_NO_DOMAIN,
)


def _in_vpc(domain: Resource) -> Iterator[Outcome]:
    subnets, groups = domain.at("vpcOptions.subnetIds"), domain.at("vpcOptions.securityGroupIds")
    yield from demand(subnets.is_given(), "the endpoint is on the internet", subnets)
    yield from demand(groups.is_given(), "falls back to the default security group of the VPC", groups)


_PLACE = {"subnetIds": ["subnet-0a1"], "securityGroupIds": ["sg-0a1"]}

IN_VPC = Rule(
    name="opensearch-domain-require-vpc",
    description="A search domain stands in subnets of ours, behind a security group of its own.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6", "CC6.1"),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.T0049",),
    ),
    remediation="Name subnet_ids and security_group_ids in vpc_options.",
    checkov=("CKV_AWS_137", "CKV_AWS_248"),
    resource_types=DOMAINS,
    check=_in_vpc,
    obeys={
        "subnets and a group": _domain(vpcOptions=_PLACE),
        "an Elasticsearch domain": _elasticsearch(vpcOptions=_PLACE),
    },
    breaks={
        "left out: on the internet": _domain(),
        "no group": _domain(vpcOptions={"subnetIds": ["subnet-0a1"]}),
        "no subnets": _domain(vpcOptions={"securityGroupIds": ["sg-0a1"], "subnetIds": []}),
        "an Elasticsearch domain": _elasticsearch(vpcOptions=None),
    },
    neighbours=_NO_DOMAIN,
)


def _audited(domain: Resource) -> Iterator[Outcome]:
    logs = domain.at("logPublishingOptions")
    yield from demand(logs.any(_is_audit_log), "nobody can tell who read or changed what", logs)


def _is_audit_log(log: View) -> Truth:
    return all_of(
        log.at("logType").equals("AUDIT_LOGS"),
        log.at("enabled", absent=True).equals(True),
        log.at("cloudwatchLogGroupArn").is_given(),
    )


_AUDIT = {"logType": "AUDIT_LOGS", "cloudwatchLogGroupArn": "arn:aws:logs:eu-west-1:111122223333:log-group:audit"}

AUDIT_LOG = Rule(
    name="opensearch-domain-require-audit-log",
    description="A search domain publishes its audit log: who signed in, read and changed what.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",),
        iso27001_2022=("A.8.15",),
        nist_800_53_r5=("AU-2", "AU-12"),
        owasp_llm=("LLM09:2026",),
        atlas=("AML.M0024",),
    ),
    remediation="Add AUDIT_LOGS and the ARN of a log group to log_publishing_options.",
    checkov=("CKV_AWS_84", "CKV_AWS_317"),
    resource_types=DOMAINS,
    check=_audited,
    obeys={
        "published": _domain(logPublishingOptions=[_AUDIT]),
        "beside another": _domain(logPublishingOptions=[{**_AUDIT, "logType": "INDEX_SLOW_LOGS"}, _AUDIT]),
        "an Elasticsearch domain that says so": _elasticsearch(logPublishingOptions=[{**_AUDIT, "enabled": True}]),
    },
    breaks={
        "none": _domain(),
        "another log": _domain(logPublishingOptions=[{**_AUDIT, "logType": "ES_APPLICATION_LOGS"}]),
        "turned off": _domain(logPublishingOptions=[{**_AUDIT, "enabled": False}]),
        "to no group": _domain(logPublishingOptions=[{"logType": "AUDIT_LOGS"}]),
        "an Elasticsearch domain": _elasticsearch(logPublishingOptions=[]),
    },
    neighbours=_NO_DOMAIN,
)


def _fine_grained(domain: Resource) -> Iterator[Outcome]:
    enabled = domain.at("advancedSecurityOptions.enabled")
    anonymous = domain.at("advancedSecurityOptions.anonymousAuthEnabled")
    yield from demand(enabled.equals(True), "whoever reaches the domain reads every index", enabled)
    yield from demand(anonymous.equals(False), "callers without a name are let in", anonymous)


FINE_GRAINED_ACCESS = Rule(
    name="opensearch-domain-require-fine-grained-access",
    description="A search domain decides by index, document and field who may read, and knows every caller.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "AC-6", "IA-2"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.M0019", "AML.T0036"),
    ),
    remediation="Set enabled=True in advanced_security_options, and leave anonymous_auth_enabled out.",
    checkov=("CKV2_AWS_52",),
    resource_types=DOMAINS,
    check=_fine_grained,
    obeys={
        "on": _domain(advancedSecurityOptions={"enabled": True}),
        "an Elasticsearch domain": _elasticsearch(
            advancedSecurityOptions={"enabled": True, "anonymousAuthEnabled": False}
        ),
    },
    breaks={
        "left out, and AWS's default is off": _domain(),
        "off": _domain(advancedSecurityOptions={"enabled": False}),
        "anonymous callers": _domain(advancedSecurityOptions={"enabled": True, "anonymousAuthEnabled": True}),
        "an Elasticsearch domain": _elasticsearch(advancedSecurityOptions={}),
    },
    neighbours=_NO_DOMAIN,
)


def _survives_a_zone(domain: Resource) -> Iterator[Outcome]:
    masters, zones = domain.at("clusterConfig.dedicatedMasterCount"), domain.at("clusterConfig.zoneAwarenessEnabled")
    quorum = all_of(domain.at("clusterConfig.dedicatedMasterEnabled").equals(True), masters.at_least(3))
    spread = any_of(zones.equals(True), domain.at("clusterConfig.multiAzWithStandbyEnabled").equals(True))
    yield from demand(quorum, "the loss of one node stops writing", masters)
    yield from demand(spread, "all nodes stand in one zone", zones)


_CLUSTER = {"dedicatedMasterEnabled": True, "dedicatedMasterCount": 3.0, "zoneAwarenessEnabled": True}

SURVIVES_A_ZONE = Rule(
    name="opensearch-domain-require-dedicated-masters",
    description="A search domain survives the loss of a node and of a zone: three masters, nodes in several zones.",
    severity=Severity.LOW,
    controls=Controls(soc2=("A1.2",), iso27001_2022=("A.8.14",), nist_800_53_r5=("CP-10", "SC-5")),
    remediation="In cluster_config set dedicated_master_enabled, dedicated_master_count=3 and zone_awareness_enabled.",
    checkov=("CKV_AWS_318",),
    resource_types=DOMAINS,
    check=_survives_a_zone,
    obeys={
        "three masters, several zones": _domain(clusterConfig=_CLUSTER),
        "a zone on standby": _domain(
            clusterConfig={**_CLUSTER, "zoneAwarenessEnabled": False, "multiAzWithStandbyEnabled": True}
        ),
        "an Elasticsearch domain": _elasticsearch(clusterConfig={**_CLUSTER, "dedicatedMasterCount": 5.0}),
    },
    breaks={
        "left out": _domain(),
        "two masters": _domain(clusterConfig={**_CLUSTER, "dedicatedMasterCount": 2.0}),
        "masters that are off": _domain(clusterConfig={**_CLUSTER, "dedicatedMasterEnabled": False}),
        "masters that nobody turned on": _domain(
            clusterConfig={"dedicatedMasterCount": 3.0, "zoneAwarenessEnabled": True}
        ),
        "one zone": _domain(clusterConfig={**_CLUSTER, "zoneAwarenessEnabled": False}),
        "an Elasticsearch domain in one zone": _elasticsearch(
            clusterConfig={"dedicatedMasterEnabled": True, "dedicatedMasterCount": 3.0}
        ),
    },
    neighbours=_NO_DOMAIN,
)
