"""A policy document, in every shape AWS accepts, as typed statements; anything else is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from .condition import Condition, parse_conditions
from .errors import PolicyError
from .pattern import require_arn
from .principal import PrincipalElement, parse_principal

PolicyDocument: TypeAlias = str | Mapping[str, object]

_STATEMENT_KEYS = frozenset(
    ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
)
_VARIABLES_SINCE = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `None` in a pair such as action/not_action means the other one is given."""

    sid: str
    allows: bool
    action: tuple[str, ...] | None
    not_action: tuple[str, ...] | None
    resource: tuple[str, ...] | None
    not_resource: tuple[str, ...] | None
    principal: PrincipalElement | None
    not_principal: PrincipalElement | None
    conditions: tuple[Condition, ...]
    variables: bool  # ${…} counts only in version 2012-10-17


def parse_document(document: PolicyDocument, label: str) -> tuple[Statement, ...]:
    """`label` names the document in errors and in Sids of statements that have none."""
    if isinstance(document, str):
        return _parse_text(document, label)
    try:
        return _parse_text(json.dumps(document), label)
    except TypeError as error:
        raise PolicyError(f"{label}: not a JSON document: {error}") from None


@lru_cache(maxsize=1024)
def _parse_text(text: str, label: str) -> tuple[Statement, ...]:
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise PolicyError(f"{label}: not JSON: {error}") from None
    if not isinstance(document, dict) or set(document) - {"Version", "Id", "Statement"}:
        raise PolicyError(f"{label}: a policy is an object with Version, Id and Statement")
    version = document.get("Version", "2008-10-17")
    if version not in ("2008-10-17", _VARIABLES_SINCE):
        raise PolicyError(f"{label}.Version: {version!r} (allowed: 2012-10-17, 2008-10-17)")
    statements = document.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    if not listed:
        raise PolicyError(f"{label}: has no statement")
    statements = tuple(_statement(one, f"{label}[{i}]", version == _VARIABLES_SINCE) for i, one in enumerate(listed))
    _require_unique_sids(statements, label)
    return statements


def _require_unique_sids(statements: tuple[Statement, ...], label: str) -> None:
    sids = [one.sid for one in statements]
    if repeated := {sid for sid in sids if sids.count(sid) > 1}:
        raise PolicyError(f"{label}: the Sid {min(repeated)!r} is given to two statements; it must be unique")


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """JSON readers keep the last of two equal keys: half of a condition would vanish."""
    keys = [key for key, _ in pairs]
    if repeated := {key for key in keys if keys.count(key) > 1}:
        raise PolicyError(f"the key {min(repeated)!r} is written twice in one object")
    return dict(pairs)


def _statement(raw: object, where: str, variables: bool) -> Statement:
    if not isinstance(raw, dict):
        raise PolicyError(f"{where}: a statement is an object")
    if unknown := set(raw) - _STATEMENT_KEYS:
        raise PolicyError(f"{where}: unknown element {min(unknown)!r}")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"{where}.Effect: {raw.get('Effect')!r} (allowed: Allow, Deny)")
    action, not_action = _pair(raw, "Action", "NotAction", where)
    resource, not_resource = _pair(raw, "Resource", "NotResource", where)
    if action is None and not_action is None:
        raise PolicyError(f"{where}: needs Action or NotAction")
    for name in (*(action or ()), *(not_action or ())):
        if name != "*" and ":" not in name:
            raise PolicyError(f"{where}.Action: {name!r} names no service (s3:GetObject)")
    for arn in (*(resource or ()), *(not_resource or ())):
        require_arn(arn, f"{where}.Resource")
    return Statement(
        sid=_sid(raw, where),
        allows=raw["Effect"] == "Allow",
        action=action,
        not_action=not_action,
        resource=resource,
        not_resource=not_resource,
        principal=_principal(raw, "Principal", where),
        not_principal=_principal(raw, "NotPrincipal", where),
        conditions=parse_conditions(raw.get("Condition", {}), f"{where}.Condition"),
        variables=variables,
    )


def _sid(raw: Mapping[str, object], where: str) -> str:
    sid = raw.get("Sid", where)
    if not isinstance(sid, str):
        raise PolicyError(f"{where}.Sid: {sid!r} is not a text")
    return sid or where


def _pair(
    raw: Mapping[str, object], name: str, negated: str, where: str
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    if name in raw and negated in raw:
        raise PolicyError(f"{where}: has both {name} and {negated}")
    return _texts(raw, name, where), _texts(raw, negated, where)


def _texts(raw: Mapping[str, object], name: str, where: str) -> tuple[str, ...] | None:
    if name not in raw:
        return None
    value = raw[name]
    listed: Sequence[object] = value if isinstance(value, list) else [value]
    texts = tuple(text for text in listed if isinstance(text, str) and text)
    if not texts or len(texts) != len(listed):
        raise PolicyError(f"{where}.{name}: a text or a list of texts (got {value!r})")
    return texts


def _principal(raw: Mapping[str, object], name: str, where: str) -> PrincipalElement | None:
    return parse_principal(raw[name], f"{where}.{name}") if name in raw else None
