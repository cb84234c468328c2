"""Policies that a resource itself holds: whom they let in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource
from policy_packs.rule import NotApplicable, Outcome, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, View

# Conditions that say who comes. An IfExists operator is not among them: it lets pass whoever does not say.
_CALLER_KEYS: Final = (
    "aws:SourceAccount",
    "aws:SourceOwner",
    "aws:SourceArn",
    "aws:SourceOrgID",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
)
_CALLER_OPERATORS: Final = ("StringEquals", "StringLike", "ArnEquals", "ArnLike", "ForAnyValue:StringLike")
# Wildcards alone, and an ARN that names neither an account nor a resource.
_NAMES_NOBODY: Final = r"(arn:(aws)?)?[*?:]*|arn:[^:]*:[^:]*:[^:]*:[*?]*:([^:]*[:/])?[*?]+"


def opens_to_everybody(statement: Statement) -> Truth:
    """An Allow for every principal, or for all but a list, that no condition on the caller narrows."""
    everybody = any_of(statement.names_everybody(), statement.view.at("NotPrincipal").is_given())
    return all_of(statement.allows(), everybody, negate(_is_narrowed(statement)))


def _is_narrowed(statement: Statement) -> Truth:
    values = [statement.condition(key, operator) for key in _CALLER_KEYS for operator in _CALLER_OPERATORS]
    return any_of(*(all_of(one.is_given(), one.every(names_somebody)) for one in values))


def names_somebody(caller: View) -> Truth:
    return negate(caller.matches(_NAMES_NOBODY))


def public_statements(document: Document) -> Iterator[Outcome]:
    """What a resource's own policy grants to everybody."""
    yield from document.outcomes()
    for statement in document.statements:
        yield from forbid(opens_to_everybody(statement), "allows everybody, whoever they are", statement.view)


NO_INLINE_POLICY: Final = NotApplicable("its policy, if any, is a resource of its own")


def lacks_inline_policy(resource: Resource, owner_type: str) -> bool:
    """A topic or queue may hold its policy itself; without one there is nothing to judge."""
    return resource.type == owner_type and resource.at("policy").value is MISSING
