"""Data class → boundary, key and retention: what is looser than allowed is refused by name."""

from __future__ import annotations

import pytest

from stacks.classification import (
    Boundary,
    DataClass,
    KeyTier,
    at_least_as_strict,
    choose,
    require_boundary,
    require_key_tier,
    require_retention,
    strictest,
)
from stacks.configuration import ConfigurationError

# The decision framework, written out: y = allowed.
BOUNDARIES = {
    DataClass.PUBLIC: "yyy",
    DataClass.INTERNAL: "-yy",
    DataClass.CONFIDENTIAL: "-yy",
    DataClass.RESTRICTED: "--y",
}
MATRIX = [
    (data_class, boundary, allowed == "y")
    for data_class, row in BOUNDARIES.items()
    for boundary, allowed in zip(Boundary, row, strict=True)
]


@pytest.mark.parametrize(("data_class", "boundary", "allowed"), MATRIX)
def test_a_boundary_is_accepted_exactly_where_the_framework_allows_it(
    data_class: DataClass, boundary: Boundary, *, allowed: bool
) -> None:
    if allowed:
        assert require_boundary(data_class, boundary) is boundary
        return
    with pytest.raises(ConfigurationError, match=rf"boundary: {boundary} is looser than data class {data_class}"):
        require_boundary(data_class, boundary)


def test_a_more_sensitive_class_never_allows_more() -> None:
    allowed = [row.count("y") for row in BOUNDARIES.values()]

    assert allowed == sorted(allowed, reverse=True)


def test_a_misspelt_class_is_refused_with_every_class() -> None:
    assert choose(DataClass, "public", "data_class") is DataClass.PUBLIC
    with pytest.raises(ConfigurationError, match="data_class: must be one of public, internal, confidential, restrict"):
        choose(DataClass, "secret", "data_class")


@pytest.mark.parametrize(("days", "kept"), [(0, False), (1, True), (7, True), (8, False)])
def test_restricted_content_is_kept_a_week_at_most(days: int, *, kept: bool) -> None:
    if kept:
        assert require_retention(DataClass.RESTRICTED, days) == days
        return
    with pytest.raises(ConfigurationError, match="kept 1 to 7 days"):
        require_retention(DataClass.RESTRICTED, days)


def test_confidential_content_needs_a_key_of_its_workload() -> None:
    assert require_key_tier(DataClass.CONFIDENTIAL, KeyTier.WORKLOAD) is KeyTier.WORKLOAD
    with pytest.raises(ConfigurationError, match=r"key_tier: platform is wider .* \(allowed: workload, tenant\)"):
        require_key_tier(DataClass.CONFIDENTIAL, KeyTier.PLATFORM)


def test_boundaries_and_classes_are_ordered() -> None:
    assert at_least_as_strict(Boundary.SELF_HOSTED, Boundary.PRIVATE_ENDPOINT)
    assert not at_least_as_strict(Boundary.PUBLIC_API, Boundary.PRIVATE_ENDPOINT)
    assert strictest([DataClass.INTERNAL, DataClass.RESTRICTED, DataClass.PUBLIC]) is DataClass.RESTRICTED
