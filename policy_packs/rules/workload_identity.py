"""Pods: each comes with the role of its own service account, and a node gives it nothing of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.grant import ATTACHMENT, ROLE, Holder, grants_by_role, holders_by
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.rules.bedrock_permissions import MODEL_CALLS
from policy_packs.rules.gateway_bypass import example_role, example_statement, policy_of_role
from policy_packs.rules.iam_trust import role_trusting, trust_document, trusting
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
_POD_IDENTITY: Final = "pods.eks.amazonaws.com"
_TAGS: Final = ("aws:RequestTag/kubernetes-namespace", "aws:RequestTag/kubernetes-service-account")
_CLUSTER_PROVIDER: Final = r"arn:[^:]*:iam::[^:]*:oidc-provider/oidc\.eks\..*"
_SERVICE_ACCOUNT: Final = r"system:serviceaccount:[^*?:]+:[^*?:]+"


def _one_account(role: Resource) -> Iterator[Outcome]:
    document = trust_document(role)
    yield from document.outcomes()
    for_pods = [one for one in trusting(document) if any_of(_by_tags(one), _by_token(one)) is not Truth.NO]
    if document.statements and not for_pods:
        yield NotApplicable("no pod takes it on")
    for statement in for_pods:
        bound = all_of(any_of(negate(_by_tags(statement)), _tags_are_bound(statement)), _token_is_bound(statement))
        message = "is not for one service account of one namespace"
        yield from demand(any_of(negate(statement.allows()), bound), message, statement.view)


def _by_tags(statement: Statement) -> Truth:
    return statement.view.at("Principal.Service").any(lambda one: one.equals(_POD_IDENTITY))


def _by_token(statement: Statement) -> Truth:
    return statement.view.at("Principal.Federated").any(lambda one: one.matches(_CLUSTER_PROVIDER))


def _tags_are_bound(statement: Statement) -> Truth:
    return all_of(*(_is_one(statement.condition(tag, "StringEquals"), r"[^*?]+") for tag in _TAGS))


def _token_is_bound(statement: Statement) -> Truth:
    """Each cluster's provider has a subject of its own."""

    def is_bound(provider: View) -> Truth:
        issuer = provider.text.partition("oidc-provider/")[2]
        subject = statement.condition(f"{issuer}:sub", "StringEquals")
        return any_of(negate(provider.matches(_CLUSTER_PROVIDER)), _is_one(subject, _SERVICE_ACCOUNT))

    return statement.view.at("Principal.Federated").every(is_bound)


def _is_one(values: View, expression: str) -> Truth:
    listed = values.items()
    return all_of(Truth.of(len(listed) == 1), *(one.matches(expression) for one in listed))


_SOURCE: Final = {"aws:SourceAccount": "111122223333"}
_BOUND: Final = {_TAGS[0]: "models", _TAGS[1]: "model-server"}
_ISSUER: Final = "oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF"


def _for_pods(operator: str = "StringEquals", /, **tags: object) -> Resource:
    return role_trusting(
        {
            "Effect": "Allow",
            "Principal": {"Service": _POD_IDENTITY},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {operator: {**_BOUND, **tags}},
        }
    )


def _for_token(subject: object, operator: str = "StringEquals", key: str = f"{_ISSUER}:sub") -> Resource:
    return role_trusting(
        {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{_ISSUER}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {operator: {key: subject, f"{_ISSUER}:aud": "sts.amazonaws.com"}},
        }
    )


_OTHER_PROVIDER: Final = "arn:aws:iam::111122223333:oidc-provider/gitlab.com"
_ONE: Final = "system:serviceaccount:models:model-server"

ONE_SERVICE_ACCOUNT = Rule(
    name="iam-role-trust-require-one-service-account",
    description="A role for pods is for one service account of one namespace, named in full.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.16", "A.8.2"),
        nist_800_53_r5=("AC-6", "IA-9"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012", "AML.T0055"),
    ),
    remediation="Demand namespace and service account by StringEquals: of the session's tags, or of the token's sub.",
    resource_types=(ROLE,),
    check=_one_account,
    obeys={
        "tags of one account": _for_pods(),
        "tags of one account of one cluster": _for_pods(**_SOURCE),
        "a list of one": _for_pods(**{_TAGS[0]: ["models"]}),
        "a token of one account": _for_token(_ONE),
        "a token of one account, or another provider's": role_trusting(
            {
                "Effect": "Allow",
                "Principal": {"Federated": [_OTHER_PROVIDER, f"arn:aws:iam::111122223333:oidc-provider/{_ISSUER}"]},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{_ISSUER}:sub": _ONE}},
            }
        ),
        "a service that runs tasks": role_trusting(
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ),
    },
    breaks={
        "no condition": role_trusting(
            {"Effect": "Allow", "Principal": {"Service": _POD_IDENTITY}, "Action": "sts:AssumeRole"}
        ),
        "a namespace alone": _for_pods(**{_TAGS[1]: []}),
        "an account of whatever namespace": _for_pods(**{_TAGS[0]: []}),
        "two namespaces": _for_pods(**{_TAGS[0]: ["models", "default"]}),
        "two accounts": _for_pods(**{_TAGS[1]: ["model-server", "default"]}),
        "a pattern": _for_pods("StringLike"),
        "a wildcard": _for_pods(**{_TAGS[1]: "*"}),
        "tags if there are any": _for_pods("StringEqualsIfExists"),
        "tags of none": _for_pods("ForAllValues:StringEquals"),
        "a token of whichever account": _for_token("system:serviceaccount:models:*"),
        "a token of whichever namespace": _for_token("system:serviceaccount:*:model-server"),
        "a token of whichever account, or another provider's": role_trusting(
            {
                "Effect": "Allow",
                "Principal": {"Federated": [_OTHER_PROVIDER, f"arn:aws:iam::111122223333:oidc-provider/{_ISSUER}"]},
                "Action": "sts:AssumeRoleWithWebIdentity",
            }
        ),
        "a token of one account of one cluster, or whichever of another": role_trusting(
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": [f"arn:aws:iam::111122223333:oidc-provider/{one}" for one in (_ISSUER, f"{_ISSUER}F")]
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{_ISSUER}:sub": _ONE}},
            }
        ),
        "a token by pattern": _for_token(_ONE, "StringLike"),
        "tokens of two accounts": _for_token([_ONE, "system:serviceaccount:models:other"]),
        "a token of another cluster": _for_token(_ONE, key="oidc.eks.eu-west-1.amazonaws.com/id/F:sub"),
        "a pod by its tags, and others beside it": role_trusting(
            {
                "Effect": "Allow",
                "Principal": {"Service": ["ec2.amazonaws.com", _POD_IDENTITY]},
                "Action": "sts:AssumeRole",
            }
        ),
        "text that is no policy": Resource.example(ROLE, {"assumeRolePolicy": "pods"}),
    },
    neighbours={
        "the cluster itself": role_trusting(
            {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ),
        "a token of another provider": role_trusting(
            {
                "Effect": "Allow",
                "Principal": {"Federated": _OTHER_PROVIDER},
                "Action": "sts:AssumeRoleWithWebIdentity",
            }
        ),
        "a deny for pods": role_trusting(
            {"Effect": "Deny", "Principal": {"Service": _POD_IDENTITY}, "Action": "sts:AssumeRole"}
        ),
    },
)

_OBJECT_READS: Final = ("s3:GetObject", "s3:GetObjectVersion")
_OPENS_MODELS: Final = (
    r"arn:[^:]*:iam::aws:policy/(.*/)?"
    r"(.*(Bedrock|SageMaker|S3).*|AdministratorAccess.*|PowerUserAccess|ReadOnlyAccess)"
)


def _nodes_without_models(stack: Stack) -> Iterator[Outcome]:
    groups = stack.of_type(NODE_GROUP)
    if not groups:
        yield NotApplicable("the stack has no nodes")
    for group in groups:
        for node in holders_by(stack, group, by="nodeRoleArn"):
            yield from demand(_is_told(node), "names no role", group.at("nodeRoleArn"), group.urn)
            yield from _judge_node(stack, node)


def _is_told(node: Holder) -> Truth:
    return Truth.YES if node.role is not None else node.name.is_given()


def _judge_node(stack: Stack, node: Holder) -> Iterator[Outcome]:
    if node.role is None:
        return
    message = "gives every pod of a node what belongs to a model"
    for grant in grants_by_role(stack).get(node.key, ()):
        found = any_of(*(_opens_models(document) for document in grant.documents))
        yield from forbid(found, message, View(None, grant.policy.name), grant.policy.urn)
    for attachment in stack.related(node.role, (ATTACHMENT,), by="role").certain:
        policy = attachment.at("policyArn")
        yield from forbid(policy.matches(_OPENS_MODELS), message, policy, attachment.urn)
    listed = node.role.at("managedPolicyArns")
    yield from forbid(listed.any(lambda one: one.matches(_OPENS_MODELS)), message, listed)


def _opens_models(document: Document) -> Truth:
    if document.view.is_unknown or document.problem:
        return Truth.UNKNOWN
    opened = (all_of(one.allows(), one.covers(*MODEL_CALLS, *_OBJECT_READS)) for one in document.statements)
    return any_of(*opened)


_NODES: Final = Resource.example(NODE_GROUP, {}, "nodes", nodeRoleArn="role")


def _node(*others: Resource, **props: object) -> tuple[Resource, ...]:
    return (_NODES, example_role("nodes", "ec2.amazonaws.com", **props), *others)


def _with(policy: str) -> Resource:
    return Resource.example(ATTACHMENT, {"policyArn": f"arn:aws:iam::aws:policy/{policy}"}, "attachment", role="role")


NODES_WITHOUT_MODELS = StackRule(
    name="eks-node-role-disallow-model-access",
    description="The role of a node neither calls models nor reads objects: what a pod needs, its own role gives it.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.16", "A.8.2"),
        nist_800_53_r5=("AC-6", "IA-9"),
        owasp_llm=("LLM03:2026",),
        atlas=("AML.T0012", "AML.T0055"),
    ),
    remediation="Move the permission to a role that one service account takes on by pod identity.",
    check=_nodes_without_models,
    obeys={
        "what a node needs": _node(_with("AmazonEKSWorkerNodePolicy"), _with("AmazonEC2ContainerRegistryPullOnly")),
        "a policy of its own": _node(policy_of_role(example_statement("ecr:BatchGetImage"))),
        "a deny of models": _node(policy_of_role(example_statement(Effect="Deny"))),
        "a role of another stack": (
            Resource.example(NODE_GROUP, {"nodeRoleArn": "arn:aws:iam::111122223333:role/nodes"}),
        ),
    },
    breaks={
        "a model": _node(policy_of_role(example_statement())),
        "a model, beside what a node needs": _node(
            policy_of_role(example_statement("ecr:BatchGetImage"), example_statement())
        ),
        "objects": _node(policy_of_role(example_statement("s3:GetObject"))),
        "versions of objects": _node(policy_of_role(example_statement("s3:GetObjectVersion"))),
        "a policy of AWS for objects": _node(_with("AmazonS3ReadOnlyAccess")),
        "a policy of AWS for models": _node(_with("AmazonBedrockFullAccess")),
        "a policy of AWS in the role's list": _node(
            managedPolicyArns=["arn:aws:iam::aws:policy/AmazonSageMakerReadOnly"]
        ),
        "the second of two groups": (
            Resource.example(NODE_GROUP, {"nodeRoleArn": "arn:aws:iam::111122223333:role/other"}, "others"),
            *_node(policy_of_role(example_statement())),
        ),
        "no role": (Resource.example(NODE_GROUP, {}),),
    },
    neighbours={
        "a pod that calls a model": (
            *_node(),
            Resource.example(ROLE, {"name": "pod"}, "pod"),
            Resource.example(
                "aws:iam/rolePolicy:RolePolicy",
                {"policy": policy_of_role(example_statement()).at("policy").text},
                "p",
                role="pod",
            ),
        ),
        "an instance that is no node": (
            example_role("worker", "ec2.amazonaws.com"),
            policy_of_role(example_statement("s3:GetObject")),
        ),
    },
)
