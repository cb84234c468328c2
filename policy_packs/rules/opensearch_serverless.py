"""OpenSearch Serverless: collections are reached from our network only, and encrypted under our key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, Unclear, demand
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import MISSING, View, plain

SECURITY_POLICY: Final = "aws:opensearch/serverlessSecurityPolicy:ServerlessSecurityPolicy"
COLLECTION: Final = "aws:opensearch/serverlessCollection:ServerlessCollection"
ACCESS_POLICY: Final = "aws:opensearch/serverlessAccessPolicy:ServerlessAccessPolicy"


def _parsed(policy: Resource) -> View:
    """What the JSON text holds; MISSING when it cannot be read."""
    text = policy.at("policy")
    if not isinstance(text.value, str):
        return text
    try:
        return View(plain(json.loads(text.value)), text.path)
    except ValueError:
        return View(MISSING, text.path)


def _of_another_kind(policy: Resource) -> Outcome:
    kind = policy.at("type")
    return Unclear(kind.path) if kind.is_unknown else NotApplicable("the policy is about something else")


def _private(policy: Resource) -> Iterator[Outcome]:
    if policy.at("type").equals("network") is not Truth.YES:
        yield _of_another_kind(policy)
        return
    parsed, services = _parsed(policy), View(policy.settings["source_services"]).items()
    yield from demand(parsed.is_given(), "holds nothing that can be read", parsed)
    for entry in parsed.items():
        public = entry.at("AllowFromPublic", absent=False)
        yield from demand(public.equals(False), "the internet reaches the collection", public)
        sources = _comes_from(entry, [one.value for one in services])
        yield from demand(sources, "names no endpoint of ours, or a service that may not come", entry)


def _comes_from(entry: View, services: list[object]) -> Truth:
    """From endpoints, from services that may come, or from both; from somewhere."""
    endpoints, others = entry.at("SourceVPCEs"), entry.at("SourceServices")
    return all_of(
        any_of(endpoints.any(lambda one: one.matches(".+")), others.is_given()),
        others.every(lambda one: one.equals(*services)),
    )


def _network(*entries: object) -> Resource:
    return Resource.example(SECURITY_POLICY, {"type": "network", "policy": json.dumps(entries)})


_RULES = [{"ResourceType": "collection", "Resource": ["collection/vectors"]}]
_FROM_US = {"Rules": _RULES, "AllowFromPublic": False, "SourceVPCEs": ["vpce-0a1"]}

PRIVATE_NETWORK = Rule(
    name="opensearch-serverless-policy-disallow-public",
    description="A collection is reached through endpoints of ours, or by services that the pack names; never openly.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.8.22", "A.8.3"),
        nist_800_53_r5=("SC-7", "AC-4", "SC-7(21)"),
        owasp_llm=("LLM09:2026", "LLM02:2026"),
        atlas=("AML.T0036", "AML.T0064", "AML.T0070"),
    ),
    remediation="Set AllowFromPublic to false and name SourceVPCEs in every entry of the network policy.",
    settings={"source_services": ("bedrock.amazonaws.com",)},
    resource_types=(SECURITY_POLICY,),
    check=_private,
    obeys={
        "an endpoint of ours": _network(_FROM_US),
        "public access left out: AWS's default is no": _network({"Rules": _RULES, "SourceVPCEs": ["vpce-0a1"]}),
        "Bedrock, for its knowledge base": _network(
            {"Rules": _RULES, "AllowFromPublic": False, "SourceServices": ["bedrock.amazonaws.com"]}
        ),
        "one entry that is no list": Resource.example(
            SECURITY_POLICY, {"type": "network", "policy": json.dumps(_FROM_US)}
        ),
    },
    breaks={
        "everybody": _network({"Rules": _RULES, "AllowFromPublic": True}),
        "everybody, beside an endpoint": _network({**_FROM_US, "AllowFromPublic": True}),
        "the second entry": _network(_FROM_US, {"Rules": _RULES, "AllowFromPublic": True}),
        "from nowhere": _network({"Rules": _RULES, "AllowFromPublic": False}),
        "a service that the pack does not name": _network({**_FROM_US, "SourceServices": ["lambda.amazonaws.com"]}),
        "neither yes nor no": _network({**_FROM_US, "AllowFromPublic": "false"}),
        "no JSON": Resource.example(SECURITY_POLICY, {"type": "network", "policy": "["}),
        "no policy": Resource.example(SECURITY_POLICY, {"type": "network"}),
        "nothing": _network(),
    },
    neighbours={
        "a policy on encryption": Resource.example(SECURITY_POLICY, {"type": "encryption", "policy": "{}"}),
        "who may read is another policy": Resource.example(ACCESS_POLICY, {"type": "data", "policy": "[]"}),
    },
)


def _encrypted(resource: Resource) -> Iterator[Outcome]:
    if resource.type == COLLECTION:
        yield from _collection_encrypted(resource.at("encryptionConfigs"))
    elif resource.at("type").equals("encryption") is Truth.YES:
        parsed = _parsed(resource)
        yield from _under_own_key(parsed.at("KmsARN"), parsed.at("AWSOwnedKey", absent=False))
    else:
        yield _of_another_kind(resource)


def _collection_encrypted(configs: View) -> Iterator[Outcome]:
    """A collection may name its key itself; most leave it to a policy."""
    if configs.is_given() is Truth.NO:
        yield NotApplicable("a policy names the key of the collection")
        return
    for config in configs.items():
        yield from _under_own_key(config.at("kmsKeyArn"), config.at("awsOwnedKey", absent=False))


def _under_own_key(key: View, awss: View) -> Iterator[Outcome]:
    truth = all_of(is_customer_key(key), awss.equals(False))
    yield from demand(truth, "a collection is encrypted under a key of AWS", key)


def _encryption(**policy: object) -> Resource:
    text = json.dumps({"Rules": _RULES, **policy})
    return Resource.example(SECURITY_POLICY, {"type": "encryption", "policy": text})


def _collection(**config: object) -> Resource:
    return Resource.example(COLLECTION, {"type": "VECTORSEARCH", "encryptionConfigs": [config]})


CUSTOMER_KEY = Rule(
    name="opensearch-serverless-policy-require-customer-key",
    description="What a collection holds is encrypted under a customer managed key.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "C1.1"),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)", "SC-12"),
        owasp_llm=("LLM09:2026", "LLM02:2026"),
        atlas=("AML.M0012",),
    ),
    remediation="Set AWSOwnedKey to false and name KmsARN in the encryption policy of the collection.",
    resource_types=(SECURITY_POLICY, COLLECTION),
    check=_encrypted,
    obeys={
        "our key": _encryption(AWSOwnedKey=False, KmsARN=OWN_KEY),
        "our key, and nothing said of AWS's": _encryption(KmsARN=OWN_KEY),
        "a collection that names it": _collection(kmsKeyArn=OWN_KEY),
        "a collection that says both": _collection(kmsKeyArn=OWN_KEY, awsOwnedKey=False),
    },
    breaks={
        "a key that AWS owns": _encryption(AWSOwnedKey=True),
        "both: AWS's wins": _encryption(AWSOwnedKey=True, KmsARN=OWN_KEY),
        "no key": _encryption(),
        "AWS's key by its name": _encryption(KmsARN="alias/aws/aoss"),
        "no JSON": Resource.example(SECURITY_POLICY, {"type": "encryption", "policy": "{"}),
        "a collection under AWS's key": _collection(awsOwnedKey=True, kmsKeyArn=OWN_KEY),
        "a collection without one": _collection(),
    },
    neighbours={
        "a policy on networks": Resource.example(SECURITY_POLICY, {"type": "network", "policy": "[]"}),
        "a collection that leaves it to its policy": Resource.example(COLLECTION, {"type": "VECTORSEARCH"}),
        "and says so by an empty list": Resource.example(COLLECTION, {"encryptionConfigs": []}),
    },
)
