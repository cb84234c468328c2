"""The Condition element: every operator, the set prefixes, …IfExists, and what an absent key means.

An absent key makes a positive operator false and a negated operator true; …IfExists makes both true;
ForAllValues is true and ForAnyValue false for a key without values. An unknown operator is an error,
never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_network
from typing import TypeAlias

from .errors import PolicyError
from .pattern import Context, ContextValue, Pattern, Scalar, as_text, require_arn

Compare: TypeAlias = Callable[[str, Pattern], bool]  # (request value, policy value)


@dataclass(frozen=True, slots=True)
class Operator:
    """How one request value is compared with one policy value; `valid` refuses a senseless policy value."""

    compare: Compare
    valid: Callable[[str, str], object]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator with one key: `StringEquals: {"aws:PrincipalAccount": […]}`."""

    operator: Operator | None  # None: the Null operator
    key: str
    values: tuple[str, ...]
    quantifier: str  # "", ForAnyValue or ForAllValues
    if_exists: bool

    def holds(self, context: Context, *, variables: bool) -> bool:
        found = self._request_values(context.get(self.key.lower(), ()))
        if self.operator is None:
            return (not found) == (self.values[0] == "true")
        if not found:
            return self._holds_without_value(self.operator)
        return self._holds_for(self.operator, found, context, variables)

    def _holds_without_value(self, operator: Operator) -> bool:
        if self.if_exists or self.quantifier == "ForAllValues":
            return True
        return operator.negated and self.quantifier != "ForAnyValue"

    def _request_values(self, value: ContextValue) -> tuple[Scalar, ...]:
        if not isinstance(value, tuple):
            return (value,)
        if value and self.operator is not None and not self.quantifier:
            raise PolicyError(f"{self.key}: the request has a list of values; use ForAnyValue: or ForAllValues:")
        return value

    def _holds_for(self, operator: Operator, found: tuple[Scalar, ...], context: Context, variables: bool) -> bool:
        wanted = [Pattern.resolve(value, context, variables=variables) for value in self.values]
        verdicts = (
            any(p is not None and operator.compare(as_text(value), p) for p in wanted) != operator.negated
            for value in found
        )
        return any(verdicts) if self.quantifier == "ForAnyValue" else all(verdicts)


def parse_conditions(block: object, where: str) -> tuple[Condition, ...]:
    """`{"StringEquals": {"aws:PrincipalOrgID": "o-1"}, …}` as a flat tuple: all must hold."""
    if not isinstance(block, Mapping):
        raise PolicyError(f"{where}: a Condition is an object of operators")
    return tuple(
        _condition(name, key, values, f"{where}.{name}.{key}")
        for name, keys in block.items()
        for key, values in _keys(keys, f"{where}.{name}").items()
    )


def _keys(keys: object, where: str) -> Mapping[str, object]:
    if not isinstance(keys, Mapping) or not keys:
        raise PolicyError(f"{where}: an operator holds an object of condition keys")
    return keys


def _condition(name: str, key: str, raw: object, where: str) -> Condition:
    quantifier, _, plain = name.rpartition(":")
    if_exists = plain.endswith("IfExists")
    base = plain.removesuffix("IfExists")
    if quantifier not in ("", "ForAnyValue", "ForAllValues"):
        raise PolicyError(f"{where}: unknown prefix {quantifier!r} (ForAnyValue, ForAllValues)")
    values = _policy_values(raw, where)
    if base == "Null":
        _require_null_value(values, plain, where)
        return Condition(None, key, values, quantifier, if_exists=False)
    operator = OPERATORS.get(base)
    if operator is None:
        raise PolicyError(f"{where}: unknown condition operator {name!r}")
    for value in values:
        operator.valid(value, where)
    return Condition(operator, key, values, quantifier, if_exists)


def _policy_values(raw: object, where: str) -> tuple[str, ...]:
    listed = raw if isinstance(raw, list | tuple) else [raw]
    if not listed:
        raise PolicyError(f"{where}: no value to compare with")
    return tuple(_policy_value(value, where) for value in listed)


def _policy_value(value: object, where: str) -> str:
    if isinstance(value, str | bool | int | float):
        return as_text(value)
    raise PolicyError(f"{where}: {value!r} is not a text, number or boolean")


def _require_null_value(values: tuple[str, ...], plain: str, where: str) -> None:
    if plain != "Null" or values not in (("true",), ("false",)):
        raise PolicyError(f"{where}: Null takes exactly one of true and false, and no IfExists")


# --- operators ------------------------------------------------------------------------------------


def _number(text: str, where: str = "the request's value") -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise PolicyError(f"{where}: {text!r} is not a number") from None


def _moment(text: str, where: str = "the request's value") -> datetime:
    """ISO 8601, or seconds since 1970."""
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text) and len(text) > len("2026"):
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PolicyError(f"{where}: {text!r} is not a date (2026-01-31T12:00:00Z)") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _in_network(value: str, pattern: Pattern) -> bool:
    try:
        return ip_address(value) in ip_network(pattern.literal, strict=False)
    except ValueError:
        raise PolicyError(f"the request's value {value!r} is not an IP address") from None


def _network(text: str, where: str) -> None:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise PolicyError(f"{where}: {text!r} is not an address range (10.0.0.0/8)") from None


def _truth(text: str, where: str) -> None:
    if text.lower() not in ("true", "false"):
        raise PolicyError(f"{where}: {text!r} is not true or false")


def _any_text(_text: str, _where: str) -> None:
    """Every text is a legal value for the string operators."""


def _arn_pattern(text: str, where: str) -> None:
    if not text.startswith("${"):  # a variable may hold the whole ARN
        require_arn(text, where)


def _both_ways(
    name: str, negated_name: str, compare: Compare, valid: Callable[[str, str], object]
) -> dict[str, Operator]:
    return {name: Operator(compare, valid), negated_name: Operator(compare, valid, negated=True)}


def _ordered(prefix: str, read: Callable[..., Decimal] | Callable[..., datetime]) -> dict[str, Operator]:
    """The six comparisons of numbers and of dates."""

    def against(test: Callable[[object, object], bool]) -> Compare:
        return lambda value, pattern: test(read(value), read(pattern.literal))

    equals = against(lambda a, b: a == b)
    return {
        **_both_ways(f"{prefix}Equals", f"{prefix}NotEquals", equals, read),
        f"{prefix}LessThan": Operator(against(lambda a, b: a < b), read),  # type: ignore[operator]  # both of one type
        f"{prefix}LessThanEquals": Operator(against(lambda a, b: a <= b), read),  # type: ignore[operator]  # as above
        f"{prefix}GreaterThan": Operator(against(lambda a, b: a > b), read),  # type: ignore[operator]  # as above
        f"{prefix}GreaterThanEquals": Operator(against(lambda a, b: a >= b), read),  # type: ignore[operator]  # as above
    }


def _equal(value: str, pattern: Pattern) -> bool:
    return value == pattern.literal


def _equal_ignoring_case(value: str, pattern: Pattern) -> bool:
    return value.casefold() == pattern.literal.casefold()


def _like(value: str, pattern: Pattern) -> bool:
    return pattern.matches(value)


def _arn(value: str, pattern: Pattern) -> bool:
    return pattern.matches_arn(value)


OPERATORS: Mapping[str, Operator] = {
    **_both_ways("StringEquals", "StringNotEquals", _equal, _any_text),
    **_both_ways("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", _equal_ignoring_case, _any_text),
    **_both_ways("StringLike", "StringNotLike", _like, _any_text),
    **_both_ways("ArnEquals", "ArnNotEquals", _arn, _arn_pattern),  # AWS: behaves as ArnLike
    **_both_ways("ArnLike", "ArnNotLike", _arn, _arn_pattern),
    **_both_ways("IpAddress", "NotIpAddress", _in_network, _network),
    **_ordered("Numeric", _number),
    **_ordered("Date", _moment),
    "Bool": Operator(_equal_ignoring_case, _truth),
    "BinaryEquals": Operator(_equal, _any_text),
}
