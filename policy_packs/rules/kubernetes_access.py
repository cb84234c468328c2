"""Rights inside a cluster: named, and none by which their holder gets more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

_GROUP: Final = "kubernetes:rbac.authorization.k8s.io/v1"
ROLE, CLUSTER_ROLE = f"{_GROUP}:Role", f"{_GROUP}:ClusterRole"
ROLE_BINDING, CLUSTER_ROLE_BINDING = f"{_GROUP}:RoleBinding", f"{_GROUP}:ClusterRoleBinding"
SERVICE_ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"
_LEAST_PRIVILEGE: Final = Controls(
    soc2=("CC6.1", "CC6.3"),
    iso27001_2022=("A.5.15", "A.8.2"),
    nist_800_53_r5=("AC-3", "AC-6"),
    owasp_llm=("LLM03:2026",),
    atlas=("AML.T0012", "AML.M0019"),
)


def _rule(verbs: list[str], resources: list[str], groups: list[str] | None = None, **more: object) -> dict[str, object]:
    """A rule of a role; of the core group where none is named."""
    return {"apiGroups": [""] if groups is None else groups, "resources": resources, "verbs": verbs, **more}


def _role(verbs: list[str], resources: list[str], groups: list[str] | None = None, **more: object) -> Resource:
    """A role of the cluster with one rule."""
    return Resource.example(CLUSTER_ROLE, {"rules": [_rule(verbs, resources, groups, **more)]})


def _second(*rule: list[str]) -> Resource:
    """A role of a namespace whose second rule is this."""
    return Resource.example(ROLE, {"rules": [_rule(["get"], ["pods"]), _rule(*rule)]})


def _no_wildcard(role: Resource) -> Iterator[Outcome]:
    for rule in role.at("rules").items():
        for part in (rule.at(name) for name in ("apiGroups", "resources", "verbs", "nonResourceURLs")):
            yield from forbid(part.any(_has_star), "what comes tomorrow is allowed today", part)


def _has_star(one: View) -> Truth:
    return one.matches(r".*\*.*")


NAMED_RIGHTS = Rule(
    name="kubernetes-role-disallow-wildcards",
    description="A role names groups, resources and verbs one by one.",
    severity=Severity.HIGH,
    controls=_LEAST_PRIVILEGE,
    remediation="Name every group, resource and verb that the program uses.",
    checkov=("CKV_K8S_49",),
    resource_types=(ROLE, CLUSTER_ROLE),
    check=_no_wildcard,
    obeys={"named": _role(["get", "list"], ["pods", "pods/log"])},
    breaks={
        "every group": _role(["get"], ["deployments"], ["*"]),
        "every resource": _role(["get"], ["*"]),
        "every verb": _role(["*"], ["pods"]),
        "every scale": _role(["get"], ["*/scale"]),
        "every path": Resource.example(CLUSTER_ROLE, {"rules": [{"nonResourceURLs": ["/api/*"], "verbs": ["get"]}]}),
        "in the second rule": Resource.example(
            ROLE, {"rules": [{"verbs": ["get"], "resources": ["pods"]}, {"verbs": ["*"], "resources": ["pods"]}]}
        ),
    },
    neighbours={"a role without a rule": Resource.example(ROLE, {"rules": []})},
)


def _grants(rule: View, group: str, resources: tuple[str, ...], verbs: tuple[str, ...]) -> Truth:
    """Whether the rule allows one of these verbs on one of these; stars count, also `*/status`."""
    wanted = (*resources, "*", *(f"*/{one.partition('/')[2]}" for one in resources if "/" in one))
    return all_of(
        rule.at("apiGroups").any(lambda one: one.equals(group, "*")),
        rule.at("resources").any(lambda one: one.equals(*wanted)),
        rule.at("verbs").any(lambda one: one.equals(*verbs, "*")),
    )


_RBAC: Final = "rbac.authorization.k8s.io"
_ROLES: Final = ("roles", "clusterroles")
_BINDINGS: Final = ("rolebindings", "clusterrolebindings")
_PEOPLE: Final = ("users", "groups", "serviceaccounts")


def _no_raise(role: Resource) -> Iterator[Outcome]:
    for rule in role.at("rules").items():
        binds = _grants(rule, _RBAC, (*_ROLES, *_BINDINGS), ("bind",))
        escalates = _grants(rule, _RBAC, _ROLES, ("escalate",))
        impersonates = any_of(
            _grants(rule, "", _PEOPLE, ("impersonate",)),
            _grants(rule, "authentication.k8s.io", ("userextras", "uids"), ("impersonate",)),
        )
        yield from forbid(any_of(binds, escalates), "its holder gives himself any right", rule)
        yield from forbid(impersonates, "its holder acts as anybody", rule)


NO_RAISE = Rule(
    name="kubernetes-role-disallow-escalation",
    description="No role lets its holder bind or widen roles beyond his own, or act as somebody else.",
    severity=Severity.CRITICAL,
    controls=_LEAST_PRIVILEGE,
    remediation="Take the verbs bind, escalate and impersonate out of the role.",
    checkov=("CKV_K8S_157", "CKV_K8S_158", "CKV2_K8S_1", "CKV2_K8S_3"),
    resource_types=(ROLE, CLUSTER_ROLE),
    check=_no_raise,
    obeys={"who has which role": _role(["get", "list"], ["rolebindings", "clusterroles"], [_RBAC])},
    breaks={
        **{
            f"bind: {one}": _role(["bind"], [one], [_RBAC])
            for one in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
        },
        **{f"escalate: {one}": _role(["get", "escalate"], [one], [_RBAC]) for one in ("roles", "clusterroles")},
        **{
            f"impersonate: {one}": _role(["impersonate"], ["pods", one])
            for one in ("users", "groups", "serviceaccounts")
        },
        "impersonate: what a token says": _role(["impersonate"], ["userextras"], ["authentication.k8s.io"]),
        "impersonate: by number": _role(["impersonate"], ["uids"], ["authentication.k8s.io"]),
        "everything": _role(["*"], ["*"], ["*"]),
        "every verb on roles": _role(["*"], ["roles"], [_RBAC]),
        "in a namespace": _second(["bind"], ["roles"], [_RBAC]),
        "of several groups": _role(["bind"], ["roles"], ["apps", _RBAC]),
    },
    neighbours={
        "the same verb in another group": _role(["bind"], ["roles"], ["example.com"]),
        "escalating bindings, which is no verb of theirs": _role(["escalate"], ["rolebindings"], [_RBAC]),
        "a role without a rule": Resource.example(ROLE, {"rules": []}),
    },
)

_CHANGES: Final = ("create", "update", "patch", "delete", "deletecollection")


def _no_admission(role: Resource) -> Iterator[Outcome]:
    configurations = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    for rule in role.at("rules").items():
        controls = _grants(rule, "admissionregistration.k8s.io", configurations, _CHANGES)
        yield from forbid(controls, "its holder reads and changes whatever is admitted", rule)


_ADMISSION: Final = ["admissionregistration.k8s.io"]

NO_ADMISSION = Rule(
    name="kubernetes-role-disallow-admission-control",
    description="No role lets its holder change which webhooks judge what enters the cluster.",
    severity=Severity.HIGH,
    controls=_LEAST_PRIVILEGE,
    remediation="Take the verbs that change webhook configurations out of the role.",
    checkov=("CKV_K8S_155",),
    resource_types=(CLUSTER_ROLE,),
    check=_no_admission,
    obeys={"looking": _role(["get", "list", "watch"], ["validatingwebhookconfigurations"], _ADMISSION)},
    breaks={
        **{
            one: _role([one], ["mutatingwebhookconfigurations"], _ADMISSION)
            for one in ("create", "update", "patch", "delete", "deletecollection")
        },
        "those that only judge": _role(["patch"], ["validatingwebhookconfigurations"], _ADMISSION),
        "everything": _role(["*"], ["*"], ["*"]),
    },
    neighbours={"the same name in another group": _role(["create"], ["mutatingwebhookconfigurations"], [""])},
)


def _no_approval(role: Resource) -> Iterator[Outcome]:
    group = "certificates.k8s.io"
    for rule in role.at("rules").items():
        approves = any_of(
            _grants(rule, group, ("certificatesigningrequests/approval",), ("update", "patch")),
            _grants(rule, group, ("signers",), ("approve",)),
        )
        yield from forbid(approves, "its holder makes certificates for anybody", rule)


_CERTIFICATES: Final = ["certificates.k8s.io"]
_APPROVAL: Final = "certificatesigningrequests/approval"

NO_APPROVAL = Rule(
    name="kubernetes-role-disallow-certificate-approval",
    description="No role lets its holder approve certificates: with one he is whoever it names.",
    severity=Severity.HIGH,
    controls=_LEAST_PRIVILEGE,
    remediation="Take certificatesigningrequests/approval and the verb approve out of the role.",
    checkov=("CKV_K8S_156",),
    resource_types=(CLUSTER_ROLE,),
    check=_no_approval,
    obeys={"asking": _role(["create", "get"], ["certificatesigningrequests"], _CERTIFICATES)},
    breaks={
        "update": _role(["update"], [_APPROVAL], _CERTIFICATES),
        "patch": _role(["patch"], [_APPROVAL], _CERTIFICATES),
        "every approval": _role(["patch"], ["*/approval"], _CERTIFICATES),
        "as a signer": _role(["approve"], ["signers"], _CERTIFICATES),
        "everything": _role(["*"], ["*"], ["*"]),
    },
    neighbours={
        "looking at approvals": _role(["get"], [_APPROVAL], _CERTIFICATES),
        "signers of another group": _role(["approve"], ["signers"], ["cert-manager.io"]),
        "approvals of another group": _role(["update"], [_APPROVAL], ["example.com"]),
    },
)


def _no_entry(role: Resource) -> Iterator[Outcome]:
    for rule in role.at("rules").items():
        # Reading suffices: the request that opens a session over a web socket is a GET.
        enters = _grants(rule, "", ("pods/exec", "pods/attach", "nodes/proxy"), ("create", "get"))
        yield from forbid(enters, "its holder runs commands in other people's containers", rule)


NO_ENTRY = Rule(
    name="kubernetes-role-disallow-exec",
    description="No role lets its holder run commands in containers, through their pod or through their node.",
    severity=Severity.HIGH,
    controls=_LEAST_PRIVILEGE,
    remediation="Take pods/exec, pods/attach and nodes/proxy out of the role.",
    checkov=("CKV2_K8S_2",),
    resource_types=(ROLE, CLUSTER_ROLE),
    check=_no_entry,
    obeys={"making pods": _role(["create", "get"], ["pods", "pods/log"])},
    breaks={
        "exec": _role(["create"], ["pods/exec"]),
        "attach": _role(["create"], ["pods/attach"]),
        "through the node": _role(["create"], ["nodes/proxy"]),
        "reading, which opens a session": _role(["get"], ["nodes/proxy"]),
        "in a namespace": _second(["create"], ["pods/exec"]),
        "every way in": _role(["create"], ["*/exec"]),
        "every verb": _role(["*"], ["pods/exec"]),
        "everything": _role(["*"], ["*"], ["*"]),
    },
    neighbours={
        "throwing pods out": _role(["create"], ["pods/eviction"]),
        "taking sessions away": _role(["delete"], ["pods/exec"]),
        "another group's": _role(["create"], ["pods/exec"], ["example.com"]),
    },
)


def _no_service_status(role: Resource) -> Iterator[Outcome]:
    for rule in role.at("rules").items():
        moves = _grants(rule, "", ("services/status",), ("update", "patch"))
        yield from forbid(moves, "its holder draws traffic to himself (CVE-2020-8554)", rule)


NO_SERVICE_STATUS = Rule(
    name="kubernetes-role-disallow-service-status",
    description="No role lets its holder write a Service's status: the address in it draws traffic to him.",
    severity=Severity.MEDIUM,
    controls=_LEAST_PRIVILEGE,
    remediation="Take services/status out of the role.",
    checkov=("CKV2_K8S_4",),
    resource_types=(ROLE, CLUSTER_ROLE),
    check=_no_service_status,
    obeys={"looking": _role(["get", "list"], ["services", "services/status"])},
    breaks={
        "update": _role(["update"], ["services/status"]),
        "patch": _role(["patch"], ["services/status"]),
        "in a namespace": _second(["patch"], ["services/status"]),
        "every status": _role(["patch"], ["*/status"]),
        "everything": _role(["*"], ["*"], ["*"]),
    },
    neighbours={
        "the service itself": _role(["update"], ["services"]),
        "another status": _role(["update"], ["pods/status"]),
        "another group's": _role(["update"], ["services/status"], ["serving.knative.dev"]),
    },
)


def _named_secrets(role: Resource) -> Iterator[Outcome]:
    for rule in role.at("rules").items():
        reads = _grants(rule, "", ("secrets",), ("get", "list", "watch"))
        names = rule.at("resourceNames")
        yield from demand(any_of(negate(reads), names.is_given()), "its holder reads every secret", names)


NAMED_SECRETS = Rule(
    name="kubernetes-role-disallow-reading-all-secrets",
    description="A role that reads secrets names them.",
    severity=Severity.HIGH,
    controls=_LEAST_PRIVILEGE,
    remediation="Name the secrets in resourceNames, or mount them instead of reading them.",
    checkov=("CKV2_K8S_5",),
    resource_types=(ROLE, CLUSTER_ROLE),
    check=_named_secrets,
    obeys={"one by name": _role(["get"], ["secrets"], resourceNames=["own"])},
    breaks={
        **{f"{verb}, all": _role([verb], ["secrets"]) for verb in ("get", "list", "watch")},
        "no name in the list": _role(["get"], ["secrets"], resourceNames=[]),
        "everything": _role(["*"], ["*"], ["*"]),
        "in a namespace": _second(["get"], ["secrets"]),
        "beside others": _role(["get"], ["configmaps", "secrets"]),
    },
    neighbours={
        "making them": _role(["create"], ["secrets"]),
        "another group's": _role(["get"], ["secrets"], ["example.com"]),
    },
)


def _default_account_unused(thing: Resource) -> Iterator[Outcome]:
    if thing.type == SERVICE_ACCOUNT:
        yield from _default_account_without_token(thing)
        return
    for subject in thing.at("subjects").items():
        is_default = all_of(subject.at("kind").equals("ServiceAccount"), subject.at("name").equals("default"))
        yield from forbid(is_default, "every pod that names no account gets this right", subject)


def _default_account_without_token(account: Resource) -> Iterator[Outcome]:
    is_other = negate(account.at("metadata.name").equals("default"))
    token = account.at("automountServiceAccountToken")
    if is_other is Truth.YES:
        yield NotApplicable("an account of its own")
    yield from demand(any_of(is_other, token.equals(False)), "every pod that names no account gets a token", token)


def _binding(*subjects: dict[str, str]) -> Resource:
    return Resource.example(CLUSTER_ROLE_BINDING, {"subjects": [*subjects]})


_SCRAPER: Final = {"kind": "ServiceAccount", "name": "scraper", "namespace": "monitoring"}
_DEFAULT_NAME: Final = {"name": "default", "namespace": "apps"}

DEFAULT_ACCOUNT_UNUSED = Rule(
    name="kubernetes-disallow-default-service-account",
    description="The default account of a namespace has no right and gives no token: every pod without its own has it.",
    severity=Severity.MEDIUM,
    controls=_LEAST_PRIVILEGE,
    remediation="Bind roles to accounts of their own; set automountServiceAccountToken to false for the default one.",
    checkov=("CKV_K8S_41", "CKV_K8S_42"),
    resource_types=(SERVICE_ACCOUNT, ROLE_BINDING, CLUSTER_ROLE_BINDING),
    check=_default_account_unused,
    obeys={
        "an account of its own": _binding(_SCRAPER),
        "no token": Resource.example(
            SERVICE_ACCOUNT, {"metadata": _DEFAULT_NAME, "automountServiceAccountToken": False}
        ),
    },
    breaks={
        "bound": _binding(_SCRAPER, {"kind": "ServiceAccount", **_DEFAULT_NAME}),
        "bound in a namespace": Resource.example(
            ROLE_BINDING, {"subjects": [{"kind": "ServiceAccount", **_DEFAULT_NAME}]}
        ),
        "a token, Kubernetes' default": Resource.example(SERVICE_ACCOUNT, {"metadata": _DEFAULT_NAME}),
        "a token, said": Resource.example(
            SERVICE_ACCOUNT, {"metadata": _DEFAULT_NAME, "automountServiceAccountToken": True}
        ),
    },
    neighbours={
        "a user of that name": _binding({"kind": "User", "name": "default"}),
        "another account with a token": Resource.example(SERVICE_ACCOUNT, {"metadata": {"name": "scraper"}}),
        "nobody": _binding(),
    },
)


def _no_administrator(binding: Resource) -> Iterator[Outcome]:
    role = binding.at("roleRef.name")
    yield from forbid(role.equals("cluster-admin", "admin", "edit"), "Kubernetes' own role reads every secret", role)


def _bound(role: str, kind: str = ROLE_BINDING) -> Resource:
    return Resource.example(kind, {"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [_SCRAPER]})


NO_ADMINISTRATOR = Rule(
    name="kubernetes-binding-disallow-built-in-administrators",
    description="Nobody is bound to a role of Kubernetes' own that reads every secret: cluster-admin, admin, edit.",
    severity=Severity.CRITICAL,
    controls=_LEAST_PRIVILEGE,
    remediation="Bind a role that names what the program needs.",
    checkov=("CKV2_K8S_1", "CKV2_K8S_2", "CKV2_K8S_3", "CKV2_K8S_5"),
    resource_types=(ROLE_BINDING, CLUSTER_ROLE_BINDING),
    check=_no_administrator,
    obeys={"a role of its own": _bound("scraper")},
    breaks={
        "everything": _bound("cluster-admin", CLUSTER_ROLE_BINDING),
        "everything in a namespace": _bound("admin"),
        "all but rights": _bound("edit"),
    },
    neighbours={"looking, without secrets": _bound("view"), "a name that begins alike": _bound("admin-of-nothing")},
)
