"""What each role of a stack may do, from every place in which permissions are handed to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from policy_packs.policy_document import Document, identity_documents
from policy_packs.resource import Resource, Stack

ROLE: Final = "aws:iam/role:Role"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
POLICY: Final = "aws:iam/policy:Policy"


def permissions_by_role(stack: Stack) -> Mapping[str, tuple[Document, ...]]:
    """Documents by the role's URN, or by its name where the role belongs to another stack."""
    found: dict[str, tuple[Document, ...]] = {}
    for role, documents in _handed_out(stack):
        found[role] = (*found.get(role, ()), *documents)
    return found


def _handed_out(stack: Stack) -> Iterator[tuple[str, tuple[Document, ...]]]:
    for role in stack.of_type(ROLE):
        yield role.urn, identity_documents(role)
    for policy in stack.of_type(ROLE_POLICY):
        yield _role_of(stack, policy), identity_documents(policy)
    for attachment in stack.of_type(ATTACHMENT):
        for policy in _attached(stack, attachment):
            yield _role_of(stack, attachment), identity_documents(policy)


def _role_of(stack: Stack, permission: Resource) -> str:
    joined, name = permission.joined.get("role", ()), permission.at("role").text
    named = [role.urn for role in stack.of_type(ROLE) if name and name in (role.at("name").text, role.at("id").text)]
    return next(iter((*joined, *named, name)))


def _attached(stack: Stack, attachment: Resource) -> tuple[Resource, ...]:
    joined, arn = attachment.joined.get("policyArn", ()), attachment.at("policyArn").text
    return tuple(one for one in stack.of_type(POLICY) if one.urn in joined or (arn and arn == one.at("arn").text))
