"""Who holds what a policy grants: roles by name, joined as they are while nothing is known but the program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policy_packs.policy_document import IDENTITY_POLICY_TYPES, Document, Statement, identity_documents
from policy_packs.resource import Resource, Stack, once_per_stack
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

ROLE: Final = "aws:iam/role:Role"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
MANAGED_POLICY: Final = "aws:iam/policy:Policy"


@dataclass(frozen=True)
class Holder:
    """A role by the name that is known of it; `role` where it stands in the same stack.

    `key` tells it from the others: its URN, or its name where it belongs to another stack.
    """

    name: View
    key: str
    role: Resource | None = None

    @classmethod
    def of(cls, role: Resource) -> Holder:
        return cls(role.at("name"), role.urn, role)


@dataclass(frozen=True)
class Grant:
    """What one resource hands out. Without a holder it is a user's, a group's, or waits for whoever attaches it."""

    policy: Resource
    documents: tuple[Document, ...]
    holders: tuple[Holder, ...]


@once_per_stack
def grants(stack: Stack) -> tuple[Grant, ...]:
    policies = stack.of_type(*IDENTITY_POLICY_TYPES)
    return tuple(Grant(one, identity_documents(one), tuple(_holders(stack, one))) for one in policies)


@once_per_stack
def grants_by_role(stack: Stack) -> Mapping[str, list[Grant]]:
    """What is handed to each role, by the role's key."""
    found: defaultdict[str, list[Grant]] = defaultdict(list)
    for grant in grants(stack):
        for key in dict.fromkeys(holder.key for holder in grant.holders):
            found[key].append(grant)
    return found


@once_per_stack
def permissions_by_role(stack: Stack) -> Mapping[str, tuple[Document, ...]]:
    """What each role may do, from every place in which permissions are handed to it, by the role's key."""
    return {
        key: tuple(document for grant in handed for document in grant.documents)
        for key, handed in grants_by_role(stack).items()
    }


def _holders(stack: Stack, policy: Resource) -> Iterator[Holder]:
    if policy.type == ROLE:
        yield Holder.of(policy)
    elif policy.type == ROLE_POLICY:
        yield from holders_by(stack, policy)
    elif policy.type == MANAGED_POLICY:
        for attachment in stack.related(policy, (ATTACHMENT,), by="policyArn").certain:
            yield from holders_by(stack, attachment)
        yield from map(Holder.of, stack.related(policy, (ROLE,), by="managedPolicyArns").certain)


def holders_by(stack: Stack, satellite: Resource, by: str = "role") -> tuple[Holder, ...]:
    """The roles that a property names; one that stands in no stack of ours is known by its name alone."""
    named, urns = satellite.at(by), satellite.joined.get(by, ())
    found = stack.find((ROLE,), urns, [named.text], keys=("name", "id", "arn"))
    key = next(filter(None, (*urns, named.text)), satellite.urn)
    return tuple(map(Holder.of, found)) or (Holder(named, key),)


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
