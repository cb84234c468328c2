"""Two rooms that may not import each other use the same words, in the same order."""

from __future__ import annotations

from services.gateway import exchange
from stacks import classification


def test_data_classes_are_the_same_and_in_the_same_order() -> None:
    assert [one.value for one in classification.DataClass] == [one.value for one in exchange.DataClass]


def test_boundaries_are_the_same_and_in_the_same_order() -> None:
    assert [one.value for one in classification.Boundary] == [one.value for one in exchange.Boundary]
