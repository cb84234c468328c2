"""IAM roles: who may take one on. Never everybody, never a whole account, and of GitHub one repository only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

ROLE: Final = "aws:iam/role:Role"


def trust_document(role: Resource) -> Document:
    return Document.read(role.at("assumeRolePolicy"))


def trusting(document: Document) -> tuple[Statement, ...]:
    """Statements that let somebody take the role on, or may."""
    return tuple(one for one in document.statements if one.allows() is not Truth.NO)


def _not_for_everybody(role: Resource) -> Iterator[Outcome]:
    document = trust_document(role)
    yield from document.outcomes()
    for statement in trusting(document):
        everybody = any_of(
            statement.names_everybody(), statement.view.at("NotPrincipal").is_given(), _any_idp(statement)
        )
        yield from forbid(all_of(statement.allows(), everybody), "lets everybody take the role on", statement.view)


def _any_idp(statement: Statement) -> Truth:
    return statement.view.at("Principal.Federated").any(lambda one: one.matches(r".*[*?].*"))


_PLAIN: Final = {
    "Effect": "Allow",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


def role_trusting(*statements: object, **props: object) -> Resource:
    """A role for examples."""
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return Resource.example(ROLE, {"assumeRolePolicy": text, **props}, "role")


def _trust(**changes: object) -> Resource:
    return role_trusting({**_PLAIN, **changes})


_ONE_ROLE: Final = "arn:aws:iam::444455556666:role/deployer"

NOT_FOR_EVERYBODY = Rule(
    name="iam-role-trust-disallow-everybody",
    description="No role may be taken on by everybody, by all but a list, or through just any identity provider.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.5.16"),
        nist_800_53_r5=("AC-3", "AC-6", "IA-9"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012",),
    ),
    remediation="Name the service, the role or the identity provider in Principal.",
    checkov=("CKV_AWS_60", "CKV_AWS_283"),
    resource_types=(ROLE,),
    check=_not_for_everybody,
    obeys={
        "a service": _trust(),
        "a role": _trust(Principal={"AWS": _ONE_ROLE}),
        "a deny for everybody": role_trusting(_PLAIN, {**_PLAIN, "Effect": "Deny", "Principal": "*"}),
    },
    breaks={
        "everybody": _trust(Principal="*"),
        "everybody, the other way": _trust(Principal={"AWS": "*"}),
        "one role, and everybody": _trust(Principal={"AWS": [_ONE_ROLE, "*"]}),
        "all but one": _trust(Principal=None, NotPrincipal={"AWS": _ONE_ROLE}),
        "any identity provider": _trust(Principal={"Federated": "*"}),
        "everybody, under a condition that anybody meets": _trust(
            Principal="*", Condition={"Bool": {"aws:SecureTransport": "true"}}
        ),
        "text that is no policy": Resource.example(ROLE, {"assumeRolePolicy": "everybody"}),
    },
    neighbours={
        "a role whose permissions reach everything": _trust(Resource=None, Sid="Everybody"),
        "one provider of identities": _trust(
            Principal={"Federated": "arn:aws:iam::111122223333:saml-provider/staff"}, Action="sts:AssumeRoleWithSAML"
        ),
    },
)

_WHOLE_ACCOUNT: Final = r"\d{12}|arn:[^:]*:iam::\d{12}:root"
_CALLER_KEYS: Final = ("aws:PrincipalArn", "aws:PrincipalTag/role", "sts:ExternalId")
_CALLER_OPERATORS: Final = ("StringEquals", "StringLike", "ArnEquals", "ArnLike")
_NOBODY_NAMED: Final = r"[*?]*|arn:[^:]*:(iam|sts)::[^:]*:[a-z-]*/?[*?]+"


def _not_for_an_account(role: Resource) -> Iterator[Outcome]:
    document = trust_document(role)
    yield from document.outcomes()
    for statement in trusting(document):
        account = statement.view.at("Principal.AWS").any(lambda one: one.matches(_WHOLE_ACCOUNT))
        truth = all_of(statement.allows(), account, negate(_names_caller(statement)))
        yield from forbid(truth, "lets everybody in an account take the role on", statement.view)


def _names_caller(statement: Statement) -> Truth:
    given = [statement.condition(key, operator) for key in _CALLER_KEYS for operator in _CALLER_OPERATORS]
    return any_of(*(all_of(one.is_given(), one.every(_names_one)) for one in given))


def _names_one(caller: View) -> Truth:
    return negate(caller.matches(_NOBODY_NAMED))


def _account(**condition: object) -> Resource:
    return _trust(Principal={"AWS": "arn:aws:iam::444455556666:root"}, Condition=condition or None)


NOT_FOR_AN_ACCOUNT = Rule(
    name="iam-role-trust-disallow-whole-account",
    description="No role may be taken on by whoever is in an account: the caller is named, or knows an external id.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.2"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012",),
    ),
    remediation="Name the role that may call in Principal, or demand it by aws:PrincipalArn or sts:ExternalId.",
    checkov=("CKV_AWS_61",),
    resource_types=(ROLE,),
    check=_not_for_an_account,
    obeys={
        "a service": _trust(),
        "a role of another account": _trust(Principal={"AWS": _ONE_ROLE}),
        "an account, for one of its roles": _account(ArnEquals={"aws:PrincipalArn": _ONE_ROLE}),
        "an account, for its roles under a path": _account(
            StringLike={"aws:PrincipalArn": "arn:aws:iam::444455556666:role/deploy/*"}
        ),
        "an account, for its roles under a path, by ARN": _account(
            ArnLike={"aws:PrincipalArn": "arn:aws:iam::444455556666:role/deploy/*"}
        ),
        "an account, for whom it tagged with a role": _account(StringEquals={"aws:PrincipalTag/role": "deployer"}),
        "an account that knows our external id": _account(StringEquals={"sts:ExternalId": "b1946ac9"}),
        "a deny for an account": role_trusting(
            _PLAIN, {**_PLAIN, "Effect": "Deny", "Principal": {"AWS": "444455556666"}}
        ),
    },
    breaks={
        "an account by its root": _account(),
        "an account by its number": _trust(Principal={"AWS": "444455556666"}),
        "a role, and an account": _trust(Principal={"AWS": [_ONE_ROLE, "444455556666"]}),
        "an account, for whatever role": _account(ArnLike={"aws:PrincipalArn": "arn:aws:iam::444455556666:role*"}),
        "an account, for whatever caller": _account(StringLike={"aws:PrincipalArn": "*"}),
        "an account, if it says who comes": _account(ArnEqualsIfExists={"aws:PrincipalArn": _ONE_ROLE}),
        "an account, for one role or whatever other": _account(ArnLike={"aws:PrincipalArn": [_ONE_ROLE, "*"]}),
        "an account over TLS": _account(Bool={"aws:SecureTransport": "true"}),
    },
    neighbours={
        "a service for an account": _trust(Condition={"StringEquals": {"aws:SourceAccount": "444455556666"}}),
    },
)

GITHUB_PROVIDER: Final = r"arn:[^:]*:iam::[^:]*:oidc-provider/token\.actions\.githubusercontent\.com(/.*)?"
_EKS_PROVIDER: Final = r"arn:[^:]*:iam::[^:]*:oidc-provider/oidc\.eks\..*"
# A subject whose first claim a stranger's repository cannot bear: owner and repository without a wildcard.
_NAMED_REPOSITORY: Final = r"(repo|repository):[^*?:/]+/[^*?:/]+(:.*)?|(job_workflow_ref|repository_id):[^*?:]+(:.*)?"
_SUBJECT_OPERATORS: Final = ("StringEquals", "StringLike", "ForAnyValue:StringEquals", "ForAnyValue:StringLike")


def _bound_subjects(role: Resource) -> Iterator[Outcome]:
    document = trust_document(role)
    yield from document.outcomes()
    federated = [
        (statement, provider)
        for statement in trusting(document)
        for provider in statement.view.at("Principal.Federated").items()
        if _is_web_identity(provider) is not Truth.NO
    ]
    if document.statements and not federated:
        yield NotApplicable("no web identity takes it on")
    for statement, provider in federated:
        truth = any_of(negate(statement.allows()), _is_bound(statement, provider))
        yield from demand(truth, "takes whichever subject the provider knows", statement.view)


def _is_web_identity(provider: View) -> Truth:
    """EKS's own providers are the business of another rule."""
    return all_of(provider.matches(r".*oidc-provider/.*"), negate(provider.matches(_EKS_PROVIDER)))


def _is_bound(statement: Statement, provider: View) -> Truth:
    if provider.is_unknown:
        return Truth.UNKNOWN
    issuer = provider.text.partition("oidc-provider/")[2]
    subjects = statement.condition(f"{issuer}:sub", *_SUBJECT_OPERATORS)
    expected = _NAMED_REPOSITORY if provider.matches(GITHUB_PROVIDER) is Truth.YES else r".*[^*?:/].*"
    return all_of(subjects.is_given(), subjects.every(lambda one: one.matches(expected)))


_SAML: Final = "arn:aws:iam::111122223333:saml-provider/staff"
_GITHUB: Final = "token.actions.githubusercontent.com"


def _federated(provider: str = _GITHUB, /, **condition: object) -> Resource:
    return _trust(
        Principal={"Federated": f"arn:aws:iam::111122223333:oidc-provider/{provider}"},
        Action="sts:AssumeRoleWithWebIdentity",
        Condition=condition or None,
    )


def _subject(*subjects: str, operator: str = "StringLike") -> Resource:
    return _federated(_GITHUB, **{operator: {f"{_GITHUB}:sub": list(subjects)}})


BOUND_SUBJECTS = Rule(
    name="iam-role-trust-require-bound-oidc-subject",
    description="A role for web identities names their subjects: of GitHub, an owner's repository without a wildcard.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.16", "A.8.2"),
        nist_800_53_r5=("AC-3", "AC-6", "IA-9"),
        owasp_llm=("LLM04:2026",),
        atlas=("AML.T0012", "AML.T0010"),
    ),
    remediation="Add StringEquals on <issuer>:sub, as repo:<owner>/<repository>:ref:refs/heads/<branch>.",
    checkov=("CKV_AWS_358", "CKV_AWS_393"),
    resource_types=(ROLE,),
    check=_bound_subjects,
    obeys={
        "one branch": _subject("repo:owner/platform:ref:refs/heads/main", operator="StringEquals"),
        "a repository, whatever its branch": _subject("repo:owner/platform:*"),
        "one workflow": _subject("job_workflow_ref:owner/platform/.github/workflows/up.yml@refs/heads/main"),
        "two repositories": _subject("repo:owner/platform:*", "repo:owner/cluster:*"),
        "another provider's subject": _federated("gitlab.com", StringEquals={"gitlab.com:sub": "project_path:a/b"}),
        "an enterprise's own issuer": _federated(
            f"{_GITHUB}/owner", StringEquals={f"{_GITHUB}/owner:sub": "repo:owner/platform:environment:prod"}
        ),
        "any of the subjects": _subject("repo:owner/platform:*", operator="ForAnyValue:StringLike"),
        "any of the subjects, in full": _subject(
            "repo:owner/platform:ref:refs/heads/main", operator="ForAnyValue:StringEquals"
        ),
        "staff by SAML, and one repository": _trust(
            Principal={"Federated": [_SAML, f"arn:aws:iam::111122223333:oidc-provider/{_GITHUB}"]},
            Condition={"StringLike": {f"{_GITHUB}:sub": "repo:owner/platform:*"}},
        ),
        "a service": _trust(),
    },
    breaks={
        "no condition": _federated(),
        "staff by SAML, and every repository": _trust(
            Principal={"Federated": [_SAML, f"arn:aws:iam::111122223333:oidc-provider/{_GITHUB}"]}
        ),
        "the audience alone": _federated(StringEquals={f"{_GITHUB}:aud": "sts.amazonaws.com"}),
        "every subject": _subject("*"),
        "every repository": _subject("repo:*"),
        "every repository of an owner": _subject("repo:owner/*"),
        "owners that begin alike": _subject("repo:owner*/platform:*"),
        "a claim that every repository can bear": _subject("environment:prod", operator="StringEquals"),
        "a workflow of that name anywhere": _subject("workflow:up", operator="StringEquals"),
        "one repository, and every other": _subject("repo:owner/platform:*", "*"),
        "a subject only if there is one": _subject("repo:owner/platform:*", operator="StringLikeIfExists"),
        "all subjects of none": _subject("repo:owner/platform:*", operator="ForAllValues:StringLike"),
        "another provider without subject": _federated("gitlab.com"),
        "another provider with every subject": _federated("gitlab.com", StringLike={"gitlab.com:sub": "*"}),
        "the subject of another provider": _federated(
            "gitlab.com", StringEquals={f"{_GITHUB}:sub": "repo:owner/platform:ref:refs/heads/main"}
        ),
    },
    neighbours={
        "a SAML provider": _trust(
            Principal={"Federated": "arn:aws:iam::111122223333:saml-provider/staff"}, Action="sts:AssumeRoleWithSAML"
        ),
        "a cluster's own provider": _federated("oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF"),
        "a deny of web identities": role_trusting(
            _PLAIN,
            {
                "Effect": "Deny",
                "Principal": {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{_GITHUB}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
            },
        ),
    },
)
