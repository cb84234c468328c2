"""Would AWS allow this request? Policy documents judged offline, as IAM's evaluation logic describes.

1. An explicit Deny in any document refuses.
2. A document that sets an upper limit (service control policy, endpoint policy, permissions boundary,
   session policy) refuses what it does not allow.
3. Access must be granted: by the caller's identity policies or by the resource policy inside one account,
   by both across accounts, by the resource policy alone for AWS services; always by the key policy of a
   KMS key and by the trust policy of a role, which may hand the decision to the account (`:root`).

What cannot be judged raises PolicyError, and the caller must then deny. Not modelled: KMS grants, access
points, ACLs, service quotas, the management account's exemption from service control policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stacks.local.iam.document import PolicyDocument, Statement, parse_document
from stacks.local.iam.errors import PolicyError
from stacks.local.iam.pattern import Context, ContextValue, Pattern
from stacks.local.iam.principal import Match, Principal

__all__ = ["FULL_AWS_ACCESS", "Decision", "PolicyDocument", "PolicyError", "Request", "evaluate"]

FULL_AWS_ACCESS: PolicyDocument = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "FullAWSAccess", "Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True)
class Request:
    """One call. A tuple in `context` is a key with several values; `resource_account` is needed where
    the ARN names no account (S3): an unknown owner counts as another account, which is the stricter reading.
    """

    principal_arn: str
    action: str
    resource: str
    context: Mapping[str, ContextValue] = field(default_factory=dict)
    resource_account: str = ""

    @property
    def owner(self) -> str:
        given = self.resource_account or self.context.get("aws:ResourceAccount", "")
        return str(given) or (self.resource.split(":")[4] if self.resource.count(":") >= 5 else "")


@dataclass(frozen=True)
class Decision:
    """`refused_by` names every layer that alone would have refused; `statements` the Sids that decided."""

    allowed: bool
    reason: str
    statements: tuple[str, ...]
    refused_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Objection:
    layer: str
    reason: str
    sids: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Layer:
    """All documents of one kind, and how they apply to one request."""

    name: str
    statements: tuple[Statement, ...]
    given: bool

    @classmethod
    def of(cls, name: str, documents: Sequence[PolicyDocument]) -> _Layer:
        if isinstance(documents, str | Mapping):
            raise PolicyError(f"{name}: give a sequence of documents")
        parsed = [parse_document(one, f"{name} policy {i}") for i, one in enumerate(documents)]
        statements = tuple(statement for document in parsed for statement in document)
        for statement in statements:
            _require_principal(statement, name)
        return cls(name, statements, bool(documents))

    def matching(self, call: _Call, *, allows: bool) -> list[Statement]:
        return [one for one in self.statements if one.allows is allows and call.is_covered_by(one)]


@dataclass(frozen=True)
class _Call:
    """A request with the context keys that AWS itself fills in."""

    request: Request
    principal: Principal
    context: Context

    @classmethod
    def of(cls, request: Request) -> _Call:
        given = {key.lower(): value for key, value in request.context.items()}
        if len(given) != len(request.context):
            raise PolicyError("context: a condition key is given twice (keys ignore case)")
        principal = Principal.of(request.principal_arn, str(given.get("aws:principalarn", "")))
        return cls(request, principal, {**_known_keys(principal, request), **given})

    @property
    def is_assume_role(self) -> bool:
        return self.request.action.lower().startswith("sts:") and ":role/" in self.request.resource

    @property
    def needs_resource_policy(self) -> bool:
        is_key = self.request.action.lower().startswith("kms:") and ":key/" in self.request.resource
        return is_key or self.is_assume_role

    def is_covered_by(self, statement: Statement) -> bool:
        return (
            self._names_action(statement)
            and self._names_resource(statement)
            and self._names_principal(statement)
            and all(one.holds(self.context, variables=statement.variables) for one in statement.conditions)
        )

    def _names_action(self, statement: Statement) -> bool:
        def matches(patterns: tuple[str, ...]) -> bool:
            return any(Pattern(((True, text),)).matches(self.request.action, ignore_case=True) for text in patterns)

        if statement.action is not None:
            return matches(statement.action)
        return not matches(statement.not_action or ())

    def _names_resource(self, statement: Statement) -> bool:
        def matches(texts: tuple[str, ...]) -> bool:
            patterns = [Pattern.resolve(text, self.context, variables=statement.variables) for text in texts]
            return any(one is not None and one.matches_arn(self.request.resource) for one in patterns)

        if statement.resource is not None:
            return matches(statement.resource)
        if statement.not_resource is not None:
            return not matches(statement.not_resource)
        return self.is_assume_role  # a trust policy names no resource; elsewhere AWS gives it no effect

    def _names_principal(self, statement: Statement) -> bool:
        if statement.principal is not None:
            return self.principal.match(statement.principal) > Match.NONE
        if statement.not_principal is None:
            return True
        if statement.allows:
            return self.principal.match(statement.not_principal) == Match.NONE
        return not self.principal.is_listed_for_deny(statement.not_principal)


def evaluate(
    request: Request,
    *,
    identity: Sequence[PolicyDocument] = (),
    resource: Sequence[PolicyDocument] = (),
    boundary: Sequence[PolicyDocument] = (),
    scp: Sequence[PolicyDocument] = (),
    rcp: Sequence[PolicyDocument] = (),
    endpoint: Sequence[PolicyDocument] = (),
    session: Sequence[PolicyDocument] = (),
) -> Decision:
    """Judge one request. An empty layer is absent: no service control policy, no endpoint, no boundary.

    `scp` is one level: include FULL_AWS_ACCESS where AWS attaches it. It is implied for `rcp`, from which
    it cannot be detached.
    """
    call = _Call.of(request)
    granting = _Layer.of("identity", identity), _Layer.of("resource", resource)
    limiting = _Layer.of("boundary", boundary), _Layer.of("session", session)
    outer = _Layer.of("scp", scp), _Layer.of("rcp", rcp), _Layer.of("endpoint", endpoint)
    applied = [layer for layer in (*granting, *limiting, *outer) if _applies(layer, call)]
    objections = [*_denied(applied, call), *_beyond_limits(applied, call), *_not_granted(call, *granting, limiting)]
    if objections:
        return _refusal(objections)
    grants = [one.sid for layer in granting for one in layer.matching(call, allows=True)]
    return Decision(True, f"allowed by {', '.join(grants)}", tuple(grants))


def _refusal(objections: list[_Objection]) -> Decision:
    layers = tuple(dict.fromkeys(one.layer for one in objections))
    return Decision(False, objections[0].reason, tuple(sid for one in objections for sid in one.sids), layers)


def _applies(layer: _Layer, call: _Call) -> bool:
    """Organization policies bind neither AWS services nor, for both kinds, service-linked roles."""
    if layer.name == "scp":
        return bool(call.principal.account) and not call.principal.is_service_linked
    return layer.name != "rcp" or not call.principal.is_service_linked


def _denied(layers: Sequence[_Layer], call: _Call) -> Iterator[_Objection]:
    for layer in layers:
        if found := layer.matching(call, allows=False):
            sids = tuple(one.sid for one in found)
            yield _Objection(layer.name, f"explicit deny in the {layer.name} policy: {', '.join(sids)}", sids)


def _beyond_limits(layers: Sequence[_Layer], call: _Call) -> Iterator[_Objection]:
    for layer in layers:
        if layer.name in ("scp", "endpoint") and layer.given and not layer.matching(call, allows=True):
            yield _Objection(layer.name, f"no statement of the {layer.name} policy allows {call.request.action}")


def _not_granted(call: _Call, identity: _Layer, resource: _Layer, limits: Sequence[_Layer]) -> Iterator[_Objection]:
    """Steps 3 and, because a grant to this very session escapes them, boundary and session policy."""
    grant = _resource_grant(call, resource)
    by_identity = bool(identity.matching(call, allows=True)) or call.principal.is_root
    if not call.principal.account:  # an AWS service, a federated user or nobody: no identity policies
        if grant == Match.NONE:
            yield _Objection("resource", f"no resource policy lets {call.principal.name or 'an anonymous caller'} in")
        return
    is_same_account = call.request.owner == call.principal.account
    yield from _grant_objections(call, grant, by_identity=by_identity, is_same_account=is_same_account)
    if not (is_same_account and grant == Match.EXACT):
        for layer in limits:
            if layer.given and not layer.matching(call, allows=True):
                yield _Objection(layer.name, f"no statement of the {layer.name} policy allows {call.request.action}")


def _grant_objections(call: _Call, grant: Match, *, by_identity: bool, is_same_account: bool) -> Iterator[_Objection]:
    both_needed = not is_same_account
    resource_first = both_needed or call.needs_resource_policy
    if resource_first and grant == Match.NONE:
        yield _Objection("resource", f"no resource policy allows {call.request.action} on {call.request.resource}")
    is_granted_directly = is_same_account and grant >= Match.ROLE
    if not by_identity and not is_granted_directly:
        yield _Objection("identity", f"no policy grants {call.request.action} to {call.principal.name}")


def _resource_grant(call: _Call, layer: _Layer) -> Match:
    matches = [
        call.principal.match(one.principal) if one.principal is not None else Match.ROLE
        for one in layer.matching(call, allows=True)
    ]
    return max(matches, default=Match.NONE)


def _known_keys(principal: Principal, request: Request) -> dict[str, ContextValue]:
    keys: dict[str, ContextValue] = {"aws:principalisawsservice": principal.is_service, "aws:viaawsservice": False}
    if principal.account:
        keys |= {"aws:principalarn": principal.arn, "aws:principalaccount": principal.account}
    if principal.is_service:
        keys["aws:principalservicename"] = principal.name
    if request.owner:
        keys["aws:resourceaccount"] = request.owner
    return keys


def _require_principal(statement: Statement, layer: str) -> None:
    named = statement.principal is not None or statement.not_principal is not None
    if layer in ("resource", "rcp", "endpoint") and not named:
        raise PolicyError(f"{statement.sid}: a {layer} policy needs Principal")
    if layer in ("identity", "boundary", "scp", "session") and named:
        raise PolicyError(f"{statement.sid}: a {layer} policy has no Principal")
    if layer != "resource" and statement.resource is None and statement.not_resource is None:
        raise PolicyError(f"{statement.sid}: needs Resource or NotResource")
