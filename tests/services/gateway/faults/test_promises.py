"""The table of promises names tests that exist, covers what it must, and is what the page says."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.services.gateway.faults.promises import CLIENT_CONTRACT, FAULTS, PAIN_POINTS, SECTIONS
from tests.services.gateway.faults.table import PAGE, place, text

NAMED = sorted({test for promises in SECTIONS.values() for one in promises for test in one.tests})
PARTS = [
    "audit store",
    "disk full",
    "Valkey",
    "PostgreSQL",
    "KMS",
    "OIDC keys",
    "upstream",
    "client",
    "JSON",
    "clock",
    "SIGTERM",
    "kill -9",
]
UPSTREAM = ["refused", "hung", "slow", "erroring", "half-closed", "garbage", "huge", "gzip bomb", "redirect", "TLS 1.2"]
CLIENT = ["disconnects", "slowly", "smuggles", "giant or deep", "duplicate keys", "invalid UTF-8"]


@cache
def _functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("test", NAMED)
def test_a_named_test_exists(test: str) -> None:
    file, function = place(test)
    assert function.startswith("test_")
    assert function in _functions(file)


def test_a_test_that_does_not_exist_is_noticed() -> None:
    file, _ = place("test_pipeline.py::test_of_nothing")
    assert "test_of_nothing" not in _functions(file)


@pytest.mark.parametrize("word", [*PARTS, *UPSTREAM, *CLIENT])
def test_every_fault_has_a_row(word: str) -> None:
    assert any(word in one.name for one in FAULTS)


def test_every_row_has_a_test() -> None:
    assert all(one.tests for promises in SECTIONS.values() for one in promises)


def test_all_nineteen_failures_of_others_have_a_row() -> None:
    numbers = [one.name.split(" ")[0] for one in PAIN_POINTS]
    assert numbers == [*map(str, range(1, 14)), "13b", *map(str, range(14, 19))]


def test_every_topic_of_the_client_contract_has_a_row() -> None:
    topics = [
        "error body",
        "status map",
        "retries",
        "request id",
        "SSE",
        "mid-stream",
        "include_usage",
        "deltas",
        "vLLM",
        "Bedrock Converse",
        "max tokens",
        "embeddings",
        "/v1/models",
        "Responses API",
        "n",
        "guard knobs in the body",
        "other fields",
        "LiteLLM client",
        "LangChain",
    ]
    assert [one.name for one in CLIENT_CONTRACT] == topics


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "python -m tests.services.gateway.faults.table --write"
