"""No criterion is without an answer, and the page that says so is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.criteria.criteria import CRITERIA, GRAPH
from tests.criteria.table import LIVE, PAGE, answers, criterion, live_checks, page


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_is_answered_by_a_test(name: str) -> None:
    assert answers()[name]


def test_no_test_names_a_criterion_that_does_not_exist() -> None:
    assert set(answers()) <= set(CRITERIA)


@pytest.mark.parametrize("number", GRAPH)
def test_every_graph_test_carries_its_given_name(number: int) -> None:
    names = [test.rpartition("::")[2] for test in answers()[f"graph-{number}"]]

    assert any(name.startswith(f"test_graph_{number}_{GRAPH[number]}") for name in names), names


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(answers(), live_checks(LIVE.read_text(encoding="utf-8"))), (
        "run: python -m tests.criteria.table --write"
    )


def test_an_id_is_read_from_a_name_and_from_nothing_else() -> None:
    assert criterion("test_a_7_only_the_gateway") == "A-7"
    assert criterion("test_graph_12_no_default_route") == "graph-12"
    assert criterion("test_a_model_answers") is None
    assert criterion("test_e_1_nothing") is None


def test_a_criterion_without_a_test_is_seen(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_a_1_x() -> None: ...\n", encoding="utf-8")

    found = answers(tmp_path)

    assert list(found) == ["A-1"]
    assert "| A-2 |" in page(found, set())
    assert "**open**" in page(found, set())
    assert live_checks("| A-20 | x |\n| graph-3 | y |\nA-4\n") == {"A-20", "graph-3"}
