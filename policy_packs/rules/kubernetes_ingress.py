"""Ways into a cluster: configured by fields that are checked, not by text that is pasted into a proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, Unclear, Violation

INGRESS: Final = "kubernetes:networking.k8s.io/v1:Ingress"


def _no_snippet(ingress: Resource) -> Iterator[Outcome]:
    annotations = ingress.at("metadata.annotations")
    if annotations.is_unknown:
        yield Unclear(annotations.path)
    names = annotations.value if isinstance(annotations.value, Mapping) else {}
    if any("snippet" in str(name) for name in names):
        yield Violation(f"{annotations.path}: a snippet runs in the proxy, which holds every secret of the cluster")


def _ingress(**annotations: str) -> Resource:
    named = {f"nginx.ingress.kubernetes.io/{name.replace('_', '-')}": text for name, text in annotations.items()}
    return Resource.example(INGRESS, {"metadata": {"name": "app", "annotations": named}})


NO_SNIPPETS = Rule(
    name="kubernetes-ingress-disallow-snippets",
    description="No Ingress pastes text into the configuration of its proxy (CVE-2021-25742).",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.8.9", "A.8.26"),
        nist_800_53_r5=("CM-7", "SI-10"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0049",),
    ),
    remediation="Take every annotation whose name holds 'snippet' away.",
    checkov=("CKV_K8S_152", "CKV_K8S_153", "CKV_K8S_154"),
    resource_types=(INGRESS,),
    check=_no_snippet,
    obeys={"a setting": _ingress(ssl_redirect="true")},
    breaks={
        "of a server": _ingress(ssl_redirect="true", server_snippet="return 200;"),
        "of a configuration": _ingress(configuration_snippet="alias /etc/;"),
    },
    neighbours={
        "no annotation": Resource.example(INGRESS, {"metadata": {"name": "app"}}),
        "the word in a value": _ingress(app_root="/snippet"),
    },
)
