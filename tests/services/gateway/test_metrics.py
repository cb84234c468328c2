"""Figures: bounded labels, and a line a minute for CloudWatch that tells what happened in it."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import cloudwatch_figures
from services.gateway.cloudwatch_figures import FIGURES, CloudWatchFigures
from services.gateway.edge import application
from services.gateway.exchange import Denied, Finish, TextDelta, Unavailable, Usage
from services.gateway.metrics import OTHER, VALUES_MAX, Bounded, Metrics
from services.gateway.readiness import Readiness
from tests.services.gateway.fakes import World
from tests.services.gateway.serving import serving


def figures(metrics: Metrics, written: list[str] | None = None) -> CloudWatchFigures:
    return CloudWatchFigures("dev", metrics, Readiness({}), (written if written is not None else []).append)


def told(metrics: Metrics) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(figures(metrics).line({}))
    return line


@given(st.lists(st.text(max_size=4), max_size=400))
def test_a_label_has_so_many_values_and_no_more(values: list[str]) -> None:
    bounded = Bounded(10)
    assert len({bounded(value) for value in values}) <= 11


def test_a_value_that_was_let_through_stays() -> None:
    bounded = Bounded(2)
    assert [bounded(value) for value in ("a", "b", "c", "a", "b")] == ["a", "b", OTHER, "a", "b"]


def test_refusals_of_endless_codes_are_bounded() -> None:
    metrics = Metrics()
    for number in range(3 * VALUES_MAX):
        metrics.refused(Denied("stage", "x", status=400, code=f"code-{number}", public=""))
    lines = [line for line in metrics.exposition().decode().splitlines() if line.startswith("gateway_refusals_total{")]
    assert len(lines) <= VALUES_MAX + 1


# --- the line for CloudWatch --------------------------------------------------------------------------------


async def asked(metrics: Metrics, world: World, **changes: Any) -> int:
    text = f"canary{secrets.token_hex(4)}"
    body = {"model": "local", "messages": [{"role": "user", "content": text}], **changes}
    async with serving(application(world.ports(), metrics)) as url, aiohttp.ClientSession() as http:
        headers = {"authorization": "Bearer alice"}
        async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
            await response.read()
            return response.status


async def test_what_happened_in_a_minute_is_told_once() -> None:
    metrics, world = Metrics(), World()
    writing = figures(metrics)
    assert await asked(metrics, world) == 200
    assert await asked(metrics, world, model="gpt-9") == 404
    first, second = json.loads(writing.line({})), json.loads(writing.line({}))
    assert (first["requests"], first["refusals"], first["server_errors"]) == (2, 1, 0)
    assert first["own_p99"] > 0
    assert (second["requests"], second["refusals"], second["own_p99"]) == (0, 0, 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_that_fails_is_counted_before_and_after_the_status_has_left(stream: bool) -> None:
    metrics, world = Metrics(), World()
    world.model.script = lambda _: [TextDelta("word " * 200), Unavailable("model_call", "x")]
    await asked(metrics, world, stream=stream)
    assert told(metrics)["upstream_failures"] == 1


async def test_an_answer_is_no_failure() -> None:
    metrics, world = Metrics(), World()
    world.model.script = lambda _: [TextDelta("word"), Finish("stop", Usage(1, 1))]
    await asked(metrics, world)
    line = told(metrics)
    assert [line[name] for name in ("upstream_failures", "refusals", "server_errors", "budget_refusals")] == [0] * 4


def test_a_used_up_budget_is_told_apart() -> None:
    metrics = Metrics()
    metrics.refused(Denied("budget", "x", status=429, code="insufficient_quota", public=""))
    metrics.refused(Denied("limits", "x", status=429, code="rate_limit_exceeded", public=""))
    line = told(metrics)
    assert (line["budget_refusals"], line["refusals"]) == (1, 2)


def test_parts_that_are_not_ready_are_counted() -> None:
    line = json.loads(figures(Metrics()).line({"a": "ready", "b": "not ready: b", "c": "not ready: TimeoutError"}))
    assert line["parts_not_ready"] == 2


@pytest.mark.parametrize(("own_ms", "p99_ms"), [(0.4, 0.5), (1.5, 2), (90, 100), (400, 500), (9_000, 1_000)])
def test_the_slowest_of_a_hundred_is_within_its_bucket(own_ms: float, p99_ms: float) -> None:
    metrics = Metrics()
    for _ in range(50):
        metrics.took(own_ms)
    assert told(metrics)["own_p99"] == pytest.approx(p99_ms)


def test_one_slow_request_of_a_thousand_is_not_the_slowest_of_a_hundred() -> None:
    metrics = Metrics()
    for _ in range(999):
        metrics.took(0.4)
    metrics.took(400)
    assert told(metrics)["own_p99"] == pytest.approx(0.5)


def test_the_line_is_what_cloudwatch_makes_metrics_of() -> None:
    metrics = Metrics()
    metrics.watch("gateway_audit_lag_seconds", "x", lambda: 3.5)
    metrics.watch("gateway_registrations_age_seconds", "x", lambda: float("inf"))
    line = told(metrics)
    (definition,) = line["_aws"]["CloudWatchMetrics"]
    assert definition["Dimensions"] == [["environment"]]
    assert line["environment"] == "dev"
    names = [one["Name"] for one in definition["Metrics"]]
    assert names == list(FIGURES)
    assert all(isinstance(line[name], int | float) for name in names)
    assert line["audit_lag"] == 3.5
    assert set(line) == {"_aws", "environment", *names}


async def test_lines_are_written_at_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudwatch_figures, "INTERVAL_S", 0.01)
    written: list[str] = []
    task = asyncio.create_task(figures(Metrics(), written).run())
    async with asyncio.timeout(60):
        while len(written) < 2:  # noqa: ASYNC110 - waits for what the task writes
            await asyncio.sleep(0.01)
    task.cancel()
    assert json.loads(written[0])["requests"] == 0
