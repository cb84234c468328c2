"""Policy documents as data: written in one shape, and never with a hole in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

Value = str | Sequence[str]
Principal = Mapping[str, Value]
Conditions = Mapping[str, Mapping[str, Value]]
Statement = dict[str, object]


class IncompleteDocument(ValueError):
    """A statement holds None or the text "None": an output was not known when the document was written."""


def allow(
    sid: str,
    actions: Sequence[str],
    resources: Value = "",
    *,
    principal: Principal | None = None,
    when: Conditions | None = None,
) -> Statement:
    return _statement("Allow", sid, actions, resources, principal, when)


def deny(
    sid: str,
    actions: Sequence[str],
    resources: Value = "",
    *,
    principal: Principal | None = None,
    when: Conditions | None = None,
) -> Statement:
    return _statement("Deny", sid, actions, resources, principal, when)


def document(*statements: Statement) -> str:
    """The JSON text of a policy. Raises IncompleteDocument rather than write a policy that says nothing."""
    if not statements:
        raise IncompleteDocument("a policy document needs at least one statement")
    for statement in statements:
        _require_complete(str(statement.get("Sid")), statement)
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, separators=(",", ":"))


ANYONE: Principal = {"AWS": "*"}


def account(account_id: str) -> Principal:
    """The account itself: IAM policies decide which of its principals, conditions narrow it further."""
    return {"AWS": f"arn:aws:iam::{account_id}:root"}


def service(*names: str) -> Principal:
    return {"Service": names[0] if len(names) == 1 else list(names)}


def role_arn(account_id: str, name: str) -> str:
    return f"arn:aws:iam::{account_id}:role/{name}"


def assume_role_policy(service_name: str, account_id: str, source_arn: str) -> str:
    """Trust in one AWS service, acting for one account and one kind of source: no confused deputy."""
    return document(
        allow(
            "Assume",
            ["sts:AssumeRole"],
            principal=service(service_name),
            when={"StringEquals": {"aws:SourceAccount": account_id}, "ArnLike": {"aws:SourceArn": source_arn}},
        )
    )


def _statement(
    effect: str,
    sid: str,
    actions: Sequence[str],
    resources: Value,
    principal: Principal | None,
    when: Conditions | None,
) -> Statement:
    statement: Statement = {"Sid": sid, "Effect": effect}
    if principal is not None:
        statement["Principal"] = dict(principal)
    statement["Action"] = list(actions)
    if resources:
        statement["Resource"] = resources if isinstance(resources, str) else list(resources)
    if when:
        statement["Condition"] = {
            operator: {key: value if isinstance(value, str) else list(value) for key, value in keys.items()}
            for operator, keys in when.items()
        }
    return statement


def _require_complete(where: str, value: object) -> None:
    if value is None or value == "" or value == []:
        raise IncompleteDocument(f"{where} is empty")
    if isinstance(value, str) and ("None" in value or "Calling __str__" in value):
        raise IncompleteDocument(f"{where} holds an unknown value: {value!r}")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _require_complete(f"{where}.{key}", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _require_complete(f"{where}[{index}]", inner)
