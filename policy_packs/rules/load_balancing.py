"""Elastic Load Balancing: TLS 1.3 and nothing older."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

LISTENER: Final = "aws:lb/listener:Listener"
LISTENER_TYPES: Final = (LISTENER, "aws:alb/listener:Listener")
TLS13_ONLY: Final = (
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09",
)


def _speaks_tls13(listener: Resource) -> Iterator[Outcome]:
    protocol = listener.at("protocol", absent="HTTP")
    if protocol.equals("TCP", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC", "GENEVE") is Truth.YES:
        yield NotApplicable("the listener passes bytes on; its target ends TLS")
        return
    policy = listener.at("sslPolicy", absent="ELBSecurityPolicy-2016-08")
    encrypted = all_of(protocol.equals("HTTPS", "TLS"), policy.equals(*TLS13_ONLY))
    redirect = all_of(protocol.equals("HTTP"), _only_redirects(listener))
    yield from demand(any_of(encrypted, redirect), "the listener accepts less than TLS 1.3", policy)


def _only_redirects(listener: Resource) -> Truth:
    actions = listener.at("defaultActions")
    return all_of(actions.is_given(), actions.every(_redirects_to_https))


def _redirects_to_https(action: View) -> Truth:
    return all_of(action.at("type").equals("redirect"), action.at("redirect.protocol").equals("HTTPS"))


def _listener(**props: object) -> Resource:
    return Resource.example(LISTENER, props)


TLS13 = Rule(
    name="lb-listener-require-tls13",
    description="A load balancer's listener accepts TLS 1.3 only; plain HTTP may only redirect.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",), iso27001_2022=("A.8.20", "A.8.24"), nist_800_53_r5=("SC-8", "SC-13"), owasp_llm=("LLM02:2026",)
    ),
    remediation="Set protocol HTTPS and ssl_policy to one of the ELBSecurityPolicy-TLS13-1-3-… policies.",
    checkov=("CKV_AWS_2", "CKV_AWS_103"),
    resource_types=LISTENER_TYPES,
    check=_speaks_tls13,
    obeys={
        "HTTPS with a TLS 1.3 policy": _listener(protocol="HTTPS", sslPolicy=TLS13_ONLY[1]),
        "HTTP that only redirects": _listener(
            protocol="HTTP", defaultActions=[{"type": "redirect", "redirect": {"protocol": "HTTPS"}}]
        ),
        "TCP passed through to a target that ends TLS": _listener(protocol="TCP"),
    },
    breaks={
        "a policy that still admits TLS 1.2": _listener(
            protocol="HTTPS", sslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06"
        ),
        "no policy: AWS's default admits TLS 1.0": _listener(protocol="HTTPS"),
        "plain HTTP": _listener(protocol="HTTP", defaultActions=[{"type": "forward"}]),
        "no protocol: AWS's default is HTTP": _listener(),
    },
)
