"""Target groups: traffic behind the load balancer is encrypted too, and goes to targets that are well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, any_of, negate

TARGET_GROUP: Final = "aws:lb/targetGroup:TargetGroup"
# Bytes that the load balancer did not open, or did encrypt again.
_NOT_PLAIN: Final = ("HTTPS", "TLS", "TCP", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC", "GENEVE")


def _group(**props: object) -> Resource:
    return Resource.example(TARGET_GROUP, props)


def _encrypted(group: Resource) -> Iterator[Outcome]:
    is_function = group.at("targetType").equals("lambda")
    if is_function is Truth.YES:
        yield NotApplicable("AWS calls a function over TLS")
        return
    protocol = group.at("protocol")
    encrypted = any_of(is_function, protocol.equals(*_NOT_PLAIN))
    yield from demand(encrypted, "requests travel to the target in plain text", protocol)


ENCRYPTED = Rule(
    name="lb-target-group-disallow-plain-http",
    description="A load balancer sends no request to its targets in plain text.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",), iso27001_2022=("A.8.20", "A.8.24"), nist_800_53_r5=("SC-8", "SC-13"), owasp_llm=("LLM02:2026",)
    ),
    remediation="Set protocol HTTPS and let the target end TLS; its certificate may be of a private authority.",
    checkov=("CKV_AWS_378",),
    resource_types=(TARGET_GROUP,),
    check=_encrypted,
    obeys={
        "encrypted again": _group(protocol="HTTPS", targetType="ip"),
        **{
            f"bytes passed on over {one}": _group(protocol=one) for one in ("TCP", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC")
        },
        "TLS of a network load balancer": _group(protocol="TLS"),
    },
    breaks={
        "plain HTTP": _group(protocol="HTTP"),
        "HTTP/2 is plain too": _group(protocol="HTTP", protocolVersion="HTTP2", targetType="ip"),
        "left out": _group(targetType="instance"),
    },
    neighbours={"a function": _group(targetType="lambda"), "an appliance": _group(protocol="GENEVE")},
)


def _asks_for_health(group: Resource) -> Iterator[Outcome]:
    by_http = group.at("protocol").equals("HTTP", "HTTPS")
    if by_http is Truth.NO:
        yield NotApplicable("the targets are not asked over HTTP")
        return
    path = group.at("healthCheck.path")
    yield from demand(
        any_of(negate(by_http), path.is_given()), "whatever stands at the root decides whether a target is well", path
    )


HEALTH_CHECK = Rule(
    name="lb-target-group-require-health-check",
    description="Targets that speak HTTP are asked for their health by a path made for it.",
    severity=Severity.LOW,
    controls=Controls(soc2=("A1.2",), iso27001_2022=("A.8.14", "A.8.16"), nist_800_53_r5=("CP-10", "SI-4")),
    remediation='Set health_check={"path": …}.',
    checkov=("CKV_AWS_261",),
    resource_types=(TARGET_GROUP,),
    check=_asks_for_health,
    obeys={
        "a path": _group(protocol="HTTPS", healthCheck={"path": "/healthz"}),
        "a path, asked in plain text": _group(protocol="HTTP", healthCheck={"path": "/healthz", "protocol": "HTTP"}),
    },
    breaks={
        "left out": _group(protocol="HTTPS"),
        "without a path, and AWS's default is the root": _group(protocol="HTTP", healthCheck={"interval": 10.0}),
        "an empty path": _group(protocol="HTTPS", healthCheck={"path": ""}),
    },
    neighbours={
        "a connection is enough for bytes passed on": _group(protocol="TCP", healthCheck={"protocol": "TCP"}),
        "a function": _group(targetType="lambda"),
    },
)
