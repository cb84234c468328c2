"""Elastic Load Balancing: TLS 1.3 and nothing older, every request logged, none of them ambiguous."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

LISTENER: Final = "aws:lb/listener:Listener"
BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
CLASSIC: Final = "aws:elb/loadBalancer:LoadBalancer"
_LISTENER_RULE: Final = "aws:lb/listenerRule:ListenerRule"
TLS13_ONLY: Final = (
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09",
)


def _balancer(type_: str = BALANCER, /, **props: object) -> Resource:
    return Resource.example(type_, props, "front")


def _listener(**props: object) -> Resource:
    return Resource.example(LISTENER, props, "listener", loadBalancerArn="front")


def _subject(balancer: Resource) -> View:
    return View(None, f"load balancer '{balancer.name}'")


def _speaks_tls13(resource: Resource) -> Iterator[Outcome]:
    yield from _classic_passes_on(resource) if resource.type == CLASSIC else _listener_speaks_tls13(resource)


def _classic_passes_on(balancer: Resource) -> Iterator[Outcome]:
    for protocol in (one.at("lbProtocol") for one in balancer.at("listeners").items()):
        passes_on = protocol.matches("(?i)tcp")
        yield from demand(passes_on, "a classic load balancer knows no TLS 1.3 and may only pass TCP on", protocol)


def _listener_speaks_tls13(listener: Resource) -> Iterator[Outcome]:
    protocol, passes_on = listener.at("protocol"), _passes_bytes_on(listener)
    if passes_on is Truth.YES:
        yield NotApplicable("the listener passes bytes on; its target ends TLS")
        return
    policy = listener.at("sslPolicy")
    encrypted = all_of(protocol.equals("HTTPS", "TLS"), policy.equals(*TLS13_ONLY))
    redirect = all_of(protocol.equals("HTTP"), _only_redirects(listener))
    yield from demand(any_of(passes_on, encrypted, redirect), "the listener accepts less than TLS 1.3", policy)


def _passes_bytes_on(listener: Resource) -> Truth:
    """A gateway load balancer's listener has neither port nor protocol."""
    protocol, port = listener.props.at("protocol"), listener.at("port")
    return any_of(
        protocol.equals("TCP", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC", "GENEVE"),
        all_of(negate(protocol.is_given()), negate(port.is_given())),
    )


def _only_redirects(listener: Resource) -> Truth:
    actions = listener.at("defaultActions")
    return all_of(actions.is_given(), actions.every(_redirects_to_https))


def _redirects_to_https(action: View) -> Truth:
    return all_of(action.at("type").equals("redirect"), action.at("redirect.protocol").equals("HTTPS"))


_REDIRECT: Final = {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443"}}


def _classic(*protocols: str) -> Resource:
    return _balancer(CLASSIC, listeners=[{"lbProtocol": one, "lbPort": 443.0} for one in protocols])


TLS13 = Rule(
    name="lb-listener-require-tls13",
    description="A load balancer's listener accepts TLS 1.3 only; plain HTTP may only redirect.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.7",), iso27001_2022=("A.8.20", "A.8.24"), nist_800_53_r5=("SC-8", "SC-13"), owasp_llm=("LLM02:2026",)
    ),
    remediation="Set protocol HTTPS and ssl_policy to one of the ELBSecurityPolicy-TLS13-1-3-… policies.",
    checkov=("CKV_AWS_2", "CKV_AWS_103", "CKV_AWS_376", "CKV2_AWS_20", "CKV2_AWS_74"),
    resource_types=(LISTENER, CLASSIC),
    check=_speaks_tls13,
    obeys={
        "TLS of a network load balancer": _listener(protocol="TLS", sslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06"),
        **{
            f"HTTPS with the policy of {one}": _listener(
                protocol="HTTPS", sslPolicy=f"ELBSecurityPolicy-TLS13-1-3-{one}"
            )
            for one in ("2021-06", "PQ-2025-09", "FIPS-2023-04", "FIPS-PQ-2025-09")
        },
        "HTTP that only redirects": _listener(protocol="HTTP", defaultActions=[_REDIRECT]),
        "TCP passed through to a target that ends TLS": _listener(protocol="TCP", port=443.0),
        "a classic load balancer that passes TCP on": _classic("TCP", "tcp"),
    },
    breaks={
        "a policy that still admits TLS 1.2": _listener(
            protocol="HTTPS", sslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06"
        ),
        "no policy: AWS's default admits TLS 1.0": _listener(protocol="HTTPS"),
        "plain HTTP": _listener(protocol="HTTP", defaultActions=[{"type": "forward"}]),
        "plain HTTP with a policy for TLS": _listener(protocol="HTTP", sslPolicy=TLS13_ONLY[0]),
        "HTTP that redirects to HTTP": _listener(
            protocol="HTTP", defaultActions=[{"type": "redirect", "redirect": {"protocol": "#{protocol}"}}]
        ),
        "HTTP that says where HTTPS is, and forwards": _listener(
            protocol="HTTP", defaultActions=[{**_REDIRECT, "type": "forward"}]
        ),
        "HTTP that redirects, and forwards": _listener(
            protocol="HTTP", defaultActions=[_REDIRECT, {"type": "forward"}]
        ),
        "HTTP without an action": _listener(protocol="HTTP", defaultActions=[]),
        "TLS whose action is a redirect": _listener(protocol="HTTPS", defaultActions=[_REDIRECT]),
        "no protocol: AWS's default is HTTP": _listener(port=80.0),
        "a protocol without a port": _listener(protocol="HTTP"),
        "a classic load balancer with HTTPS: TLS 1.2 at best": _classic("HTTPS"),
        "a classic load balancer with HTTP beside TCP": _classic("tcp", "http"),
    },
    neighbours={
        **{
            f"bytes passed on over {one}": _listener(protocol=one, port=443.0)
            for one in ("UDP", "TCP_UDP", "QUIC", "TCP_QUIC", "GENEVE")
        },
        "a listener of a gateway load balancer": _listener(defaultActions=[{"type": "forward"}]),
        "a listener's rule": Resource.example(_LISTENER_RULE, {"actions": [{"type": "forward"}]}),
        "the load balancer itself": _balancer(internal=True),
    },
)


_NO_BALANCER: Final = NotApplicable("the stack has no load balancer")


def _requests_logged(stack: Stack) -> Iterator[Outcome]:
    balancers = stack.of_type(BALANCER, CLASSIC)
    yield from () if balancers else (_NO_BALANCER,)
    for balancer in balancers:
        on, bucket = balancer.at("accessLogs.enabled"), balancer.at("accessLogs.bucket")
        logged = all_of(on.equals(True), bucket.is_given())
        needless = negate(_sees_requests(stack, balancer))
        yield from demand(any_of(logged, needless), "keeps no access log", _subject(balancer), balancer.urn)


def _sees_requests(stack: Stack, balancer: Resource) -> Truth:
    """AWS logs what a load balancer opens: a network load balancer that ends no TLS has nothing to log."""
    is_classic = Truth.of(balancer.type == CLASSIC)
    return any_of(is_classic, balancer.at("loadBalancerType").equals("application"), _ends_tls(stack, balancer))


def _ends_tls(stack: Stack, balancer: Resource) -> Truth:
    related = stack.related(balancer, (LISTENER,), by="loadBalancerArn")
    ends = [one.at("protocol").equals("TLS") for one in related.certain]
    return any_of(*ends, *([Truth.UNKNOWN] if related.is_unclear else []))


_LOGS: Final = {"bucket": "load-balancer-logs", "enabled": True}

ACCESS_LOGS = StackRule(
    name="lb-load-balancer-require-access-logs",
    description="A load balancer that opens requests or TLS connections keeps a log of them.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",), iso27001_2022=("A.8.15", "A.8.16"), nist_800_53_r5=("AU-2", "AU-12"), atlas=("AML.M0024",)
    ),
    remediation='Set access_logs={"bucket": …, "enabled": True}.',
    checkov=("CKV_AWS_91", "CKV_AWS_92"),
    check=_requests_logged,
    obeys={
        "logged": (_balancer(accessLogs=_LOGS),),
        "a network load balancer that ends TLS": (
            _balancer(loadBalancerType="network", accessLogs=_LOGS),
            _listener(protocol="TLS"),
        ),
        "a classic one, whose log is on where it is named": (_balancer(CLASSIC, accessLogs={"bucket": "logs"}),),
    },
    breaks={
        "left out, and AWS's default is off": (_balancer(),),
        "named and left off: AWS's default": (_balancer(accessLogs={"bucket": "logs"}),),
        "turned off": (_balancer(accessLogs={**_LOGS, "enabled": False}),),
        "on without a bucket": (_balancer(accessLogs={"enabled": True}),),
        "a network load balancer that ends TLS": (_balancer(loadBalancerType="network"), _listener(protocol="TLS")),
        "one of two listeners ends TLS": (
            _balancer(loadBalancerType="network"),
            _listener(protocol="TCP"),
            _listener(protocol="TLS"),
        ),
        "a classic one": (_balancer(CLASSIC),),
    },
    neighbours={
        "a network load balancer that passes TCP on": (
            _balancer(loadBalancerType="network"),
            _listener(protocol="TCP"),
        ),
        "a gateway load balancer": (_balancer(loadBalancerType="gateway"), _listener()),
        "a stack without load balancers": (Resource.example("aws:lb/targetGroup:TargetGroup"),),
    },
)


def _drops_invalid_headers(balancer: Resource) -> Iterator[Outcome]:
    reads_none = balancer.at("loadBalancerType").equals("network", "gateway")
    if reads_none is Truth.YES:
        yield NotApplicable("the load balancer reads no headers")
        return
    dropped = balancer.at("dropInvalidHeaderFields")
    yield from demand(any_of(reads_none, dropped.equals(True)), "headers that are none reach the target", dropped)


INVALID_HEADERS = Rule(
    name="lb-load-balancer-disallow-invalid-headers",
    description="An application load balancer drops header fields that are not valid.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("CC6.6",), iso27001_2022=("A.8.20", "A.8.26"), nist_800_53_r5=("SC-7", "SI-10")),
    remediation="Set drop_invalid_header_fields=True.",
    checkov=("CKV_AWS_131",),
    resource_types=(BALANCER,),
    check=_drops_invalid_headers,
    obeys={"dropped": _balancer(dropInvalidHeaderFields=True)},
    breaks={
        "left out, and AWS's default is to pass them on": _balancer(loadBalancerType="application"),
        "turned off": _balancer(dropInvalidHeaderFields=False),
    },
    neighbours={
        "a network load balancer": _balancer(loadBalancerType="network"),
        "a gateway load balancer": _balancer(loadBalancerType="gateway"),
    },
)


def _splits_no_request(balancer: Resource) -> Iterator[Outcome]:
    reads_none = balancer.at("loadBalancerType").equals("network", "gateway")
    if reads_none is Truth.YES:
        yield NotApplicable("the load balancer reads no requests")
        return
    mode = balancer.at("desyncMitigationMode")
    yield from demand(
        any_of(reads_none, mode.equals("defensive", "strictest")), "ambiguous requests reach the target", mode
    )


DESYNC = Rule(
    name="lb-load-balancer-require-desync-mitigation",
    description="A load balancer stops requests that it and its target could split differently.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("CC6.6",), iso27001_2022=("A.8.20", "A.8.26"), nist_800_53_r5=("AC-4", "SI-10")),
    remediation="Set desync_mitigation_mode to strictest, or leave it at defensive.",
    checkov=("CKV_AWS_328",),
    resource_types=(BALANCER, CLASSIC),
    check=_splits_no_request,
    obeys={
        "left out, and AWS's default is defensive": _balancer(idleTimeout=60.0),
        "defensive": _balancer(desyncMitigationMode="defensive"),
        "strictest": _balancer(desyncMitigationMode="strictest"),
        "a classic one, left out": _balancer(CLASSIC, idleTimeout=60.0),
    },
    breaks={
        "only watched": _balancer(desyncMitigationMode="monitor"),
        "only watched by a classic one": _balancer(CLASSIC, desyncMitigationMode="monitor"),
    },
    neighbours={
        "a network load balancer": _balancer(loadBalancerType="network", desyncMitigationMode="monitor"),
        "a gateway load balancer": _balancer(loadBalancerType="gateway", desyncMitigationMode="monitor"),
    },
)


def _stays(balancer: Resource) -> Iterator[Outcome]:
    protected = balancer.at("enableDeletionProtection")
    truth = any_of(protected.equals(True), _is_disposable(balancer))
    yield from demand(truth, "one call deletes the load balancer", protected)


def _is_disposable(balancer: Resource) -> Truth:
    """Tags of the resource, and those that its provider gives to all. Without a tag nothing is disposable."""
    tag = str(balancer.settings["environment_tag"])
    environments = [one.value for one in View(balancer.settings["disposable_environments"]).items()]
    return any_of(*(balancer.at(tags).at(tag).equals(*environments) for tags in ("tags", "tagsAll")))


DELETION_PROTECTION = Rule(
    name="lb-load-balancer-require-deletion-protection",
    description="A load balancer cannot be deleted in one step, unless its tags name an environment that may be.",
    severity=Severity.LOW,
    controls=Controls(soc2=("A1.2",), iso27001_2022=("A.8.14", "A.8.32"), nist_800_53_r5=("CM-3", "CP-10")),
    remediation="Set enable_deletion_protection=True, or tag what may be taken down as the settings of this rule say.",
    settings={"environment_tag": "env", "disposable_environments": ("local", "dev", "staging")},
    checkov=("CKV_AWS_150",),
    resource_types=(BALANCER,),
    check=_stays,
    obeys={
        "protected": _balancer(enableDeletionProtection=True),
        "protected, and tagged as production": _balancer(enableDeletionProtection=True, tags={"env": "prod"}),
    },
    breaks={
        "left out, and AWS's default is off": _balancer(idleTimeout=60.0),
        "turned off in production": _balancer(enableDeletionProtection=False, tagsAll={"env": "prod"}),
        "another tag says dev": _balancer(tags={"team": "dev"}),
    },
    neighbours={
        "an environment that comes and goes": _balancer(enableDeletionProtection=False, tags={"env": "dev"}),
        "one named by the provider's default tags": _balancer(tagsAll={"env": "staging"}),
        "on a laptop": _balancer(tags={"env": "local"}),
        "a classic one, which knows no such protection": _balancer(CLASSIC, idleTimeout=60.0),
    },
)
