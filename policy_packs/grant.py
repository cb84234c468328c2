"""Who holds what a policy grants: roles by name, joined as they are while nothing is known but the program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Document, Statement, identity_documents
from policy_packs.resource import Resource, Stack
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

ROLE: Final = "aws:iam/role:Role"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
MANAGED_POLICY: Final = "aws:iam/policy:Policy"


@dataclass(frozen=True)
class Holder:
    """A role by the name that is known of it; `role` where it stands in the same stack."""

    name: View
    role: Resource | None = None


@dataclass(frozen=True)
class Grant:
    """What one resource hands out. Without a holder it is a user's, a group's, or waits for whoever attaches it."""

    policy: Resource
    documents: tuple[Document, ...]
    holders: tuple[Holder, ...]


def grants(stack: Stack) -> Iterator[Grant]:
    for policy in stack.of_type(*IDENTITY_POLICY_TYPES):
        yield Grant(policy, identity_documents(policy), tuple(_holders(stack, policy)))


def _holders(stack: Stack, policy: Resource) -> Iterator[Holder]:
    if policy.type == ROLE:
        yield Holder(policy.at("name"), policy)
    elif policy.type == ROLE_POLICY:
        yield from holders_by(stack, policy)
    elif policy.type == MANAGED_POLICY:
        for attachment in stack.related(policy, (ATTACHMENT,), by="policyArn").certain:
            yield from holders_by(stack, attachment)
        for role in stack.related(policy, (ROLE,), by="managedPolicyArns").certain:
            yield Holder(role.at("name"), role)


def holders_by(stack: Stack, satellite: Resource, by: str = "role") -> tuple[Holder, ...]:
    """The roles that a property names; one that stands in no stack of ours is known by its name alone."""
    named = satellite.at(by)
    urns = satellite.joined.get(by, ())
    found = [one for one in stack.of_type(ROLE) if one.urn in urns or _is_named(one, named)]
    return tuple(Holder(one.at("name"), one) for one in found) or (Holder(named),)


def _is_named(role: Resource, reference: View) -> bool:
    return bool(reference.text) and reference.text in {role.at(key).text for key in ("name", "id", "arn")}


def serves_only(holder: Holder, *services: str) -> Truth:
    """Whether nobody but these services of AWS takes the role on."""
    if holder.role is None:
        return Truth.NO
    trust = Document.read(holder.role.at("assumeRolePolicy"))
    if trust.view.is_unknown:
        return Truth.UNKNOWN
    trusted = [one for one in trust.statements if one.allows() is not Truth.NO]
    return all_of(Truth.of(bool(trusted)), *(_trusts_only(one, services) for one in trusted))


def _trusts_only(statement: Statement, services: tuple[str, ...]) -> Truth:
    principal = statement.view.at("Principal")
    others = any_of(*(principal.at(kind).is_given() for kind in ("AWS", "Federated", "CanonicalUser")))
    named = principal.at("Service")
    return all_of(named.is_given(), named.every(lambda one: one.equals(*services)), negate(others))
