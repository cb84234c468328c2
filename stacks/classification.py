"""Data class → deployment boundary: the decision every program and the gateway obey.

The four classes and three boundaries are ordered. A workload states its data class and the loosest
boundary it wants; whatever is looser than its class allows is refused before any resource exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from stacks.configuration import ConfigurationError


class DataClass(StrEnum):
    """Data classes, from the least to the most sensitive."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Boundary(StrEnum):
    """Deployment boundaries, from the loosest to the strictest."""

    PUBLIC_API = "public_api"
    PRIVATE_ENDPOINT = "private_endpoint"
    SELF_HOSTED = "self_hosted"


class KeyTier(StrEnum):
    """Whose key encrypts a workload's content, from the widest use to the narrowest."""

    PLATFORM = "platform"
    WORKLOAD = "workload"
    TENANT = "tenant"


class Egress(StrEnum):
    """Whether content of a class may leave the network at all."""

    PROXY = "proxy"
    NONE = "none"


class Residency(StrEnum):
    """How far a managed model may be from the region that asks: AWS itself picks one for geographic profiles."""

    GEOGRAPHY = "geography"
    REGION = "region"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a data class demands."""

    boundaries: tuple[Boundary, ...]
    key_tier: KeyTier
    content_retention_days_max: int
    egress: Egress
    residency: Residency


TREATMENTS: dict[DataClass, Treatment] = {
    DataClass.PUBLIC: Treatment(tuple(Boundary), KeyTier.PLATFORM, 90, Egress.PROXY, Residency.GEOGRAPHY),
    DataClass.INTERNAL: Treatment(
        (Boundary.PRIVATE_ENDPOINT, Boundary.SELF_HOSTED), KeyTier.PLATFORM, 90, Egress.NONE, Residency.GEOGRAPHY
    ),
    DataClass.CONFIDENTIAL: Treatment(
        (Boundary.PRIVATE_ENDPOINT, Boundary.SELF_HOSTED), KeyTier.WORKLOAD, 30, Egress.NONE, Residency.REGION
    ),
    DataClass.RESTRICTED: Treatment((Boundary.SELF_HOSTED,), KeyTier.TENANT, 7, Egress.NONE, Residency.REGION),
}

Choice = TypeVar("Choice", bound=StrEnum)


def choose(kind: type[Choice], value: str, field: str) -> Choice:
    """The member spelt `value`, or a refusal that names the field and every allowed value."""
    try:
        return kind(value)
    except ValueError:
        raise ConfigurationError(f"{field}: must be one of {_listed(kind)} (got {value!r})") from None


def require_boundary(data_class: DataClass, boundary: Boundary, field: str = "boundary") -> Boundary:
    """`boundary` if the class allows it; refuses a looser one."""
    allowed = TREATMENTS[data_class].boundaries
    if boundary not in allowed:
        raise ConfigurationError(
            f"{field}: {boundary.value} is looser than data class {data_class.value} allows "
            f"(allowed: {_listed(allowed)})"
        )
    return boundary


def require_retention(data_class: DataClass, days: int, field: str = "retention.content_days") -> int:
    """`days` if content of the class may be kept that long."""
    most = TREATMENTS[data_class].content_retention_days_max
    if not 1 <= days <= most:
        raise ConfigurationError(
            f"{field}: content of data class {data_class.value} is kept 1 to {most} days (got {days})"
        )
    return days


def require_key_tier(data_class: DataClass, tier: KeyTier, field: str = "key_tier") -> KeyTier:
    """`tier` if it is at least as narrow as the class demands."""
    narrow_enough = tuple(KeyTier)[tuple(KeyTier).index(TREATMENTS[data_class].key_tier) :]
    if tier not in narrow_enough:
        raise ConfigurationError(
            f"{field}: {tier.value} is wider than data class {data_class.value} allows "
            f"(allowed: {_listed(narrow_enough)})"
        )
    return tier


def at_least_as_strict(boundary: Boundary, than: Boundary) -> bool:
    """True when `boundary` is `than` or stricter."""
    order = tuple(Boundary)
    return order.index(boundary) >= order.index(than)


def strictest(classes: Iterable[DataClass]) -> DataClass:
    """The most sensitive of `classes`."""
    return max(classes, key=tuple(DataClass).index)


def _listed(values: Iterable[StrEnum]) -> str:
    return ", ".join(value.value for value in values)
