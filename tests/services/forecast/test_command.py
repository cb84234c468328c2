"""From history to the figure that KEDA reads, on the command line."""

from __future__ import annotations

import io
import json
import ssl
import threading
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from services.forecast.command import main
from services.forecast.documents import METRIC, PlanError, as_figures, required
from services.forecast.exposition import server, tls13
from services.forecast.table import bars
from tests.services.forecast.traces import INTERVAL, NOW, seasonal
from tests.services.model_proxy.certificates import pair, trusting

CAPACITY = "services/forecast/capacity.example.toml"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "tokens.csv"
    series = seasonal()
    lines = [
        f"{(series.begins_at + number * INTERVAL).isoformat()},llama-8b,{int(rate * 3_600)},0"
        for number, rate in enumerate(series.tokens_per_s)
    ]
    path.write_text("\n".join(["timestamp,model,input_tokens,output_tokens", *lines]))
    return path


@pytest.fixture(scope="module")
def written(history: Path) -> Path:
    """The folder of a plan; what was said on the way is in it, too."""
    out = history.parent / "out"
    with redirect_stdout(io.StringIO()) as said:
        assert run("plan", "--history", history, "--capacity", CAPACITY, "--now", NOW.isoformat(), "--out", out) == 0
    (out / "said.txt").write_text(said.getvalue())
    return out


def test_plan_is_written_as_json_config_map_figures_and_picture(written: Path) -> None:
    document = json.loads((written / "plan.json").read_text())
    model = document["models"]["llama-8b"]
    assert (document["source"], model["mode"], len(model["steps"])) == ("tokens.csv", "forecast", 24)
    assert model["backtest"]["wape"] < model["backtest"]["wape_seasonal_naive"]
    config_map = json.loads((written / "configmap.json").read_text())
    assert (config_map["apiVersion"], config_map["kind"]) == ("v1", "ConfigMap")
    assert json.loads(config_map["data"]["plan.json"]) == document
    families = {one.name: one for one in text_string_to_metric_families((written / "metrics.prom").read_text())}
    sample = families[METRIC].samples[0]
    assert sample.labels == {"model": "llama-8b"}
    assert sample.value == model["steps"][0]["replicas"]
    assert ET.fromstring((written / "forecast.svg").read_text()).tag.endswith("svg")  # noqa: S314 - our own file


def test_table_shows_the_plan(written: Path) -> None:
    said = (written / "said.txt").read_text()
    assert "llama-8b" in said
    assert "█" in said


def test_stale_history_is_said_and_makes_no_figure(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = NOW + timedelta(hours=5)
    assert run("plan", "--history", history, "--capacity", CAPACITY, "--now", later.isoformat(), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["models"]["llama-8b"]["mode"] == "reactive"
    assert METRIC + "{" not in as_figures(document, later)


def test_invented_week_is_said_to_be_invented_and_has_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--synthetic", 3, "--capacity", CAPACITY, "--now", NOW.isoformat(), "--days", 7, "--out", tmp_path)
    assert run("plan", *words, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert "synthetic" in document["source"]
    assert len(document["models"]["llama-8b"]["steps"]) == 168
    hours = yaml.safe_load((tmp_path / "hours-llama-8b.yaml").read_text())["forecast"]
    assert hours == document["models"]["llama-8b"]["hours_of_week"] != []


def test_what_is_wrong_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.csv").write_text("a,b\n")
    assert run("plan", "--history", tmp_path / "wrong.csv", "--capacity", CAPACITY) == 1
    assert run("plan", "--history", tmp_path / "none.csv", "--capacity", CAPACITY) == 1
    assert run("plan", "--synthetic", 1, "--capacity", tmp_path / "none.toml") == 1
    assert run("plan", "--from-audit", "--capacity", CAPACITY) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert all(line.startswith("forecast: ") for line in said)
    assert said[3] == "forecast: FORECAST_DATABASE is not set"


class Clock:
    """The scraper's time, set by a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def exposed(written: Path, tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext, Path, Clock]]:
    made = pair()
    certificate, private_key = made.write(tmp_path)
    plan, clock = tmp_path / "plan.json", Clock()
    plan.write_bytes((written / "plan.json").read_bytes())
    with server("127.0.0.1", 0, plan, tls13(certificate, private_key), clock) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{listening.server_address[1]}", trusting(made), plan, clock
        finally:
            listening.shutdown()
            thread.join()


Exposed = tuple[str, ssl.SSLContext, Path, Clock]


def get(url: str, tls: ssl.SSLContext) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, context=tls, timeout=60) as answer:  # noqa: S310 - to our own server
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_figure_is_true_at_the_moment_of_asking_and_ends_with_the_plan(exposed: Exposed) -> None:
    url, tls, plan, clock = exposed
    steps = required(json.loads(plan.read_text()))
    for hour in (3, 10, 20):
        clock.now = NOW + timedelta(hours=hour, minutes=5)
        assert f'{METRIC}{{model="llama-8b"}} {steps[hour].replicas}\n' in get(f"{url}/metrics", tls)[1]
    assert len({step.replicas for step in steps}) > 1
    clock.now = NOW + timedelta(hours=25)
    status, text = get(f"{url}/metrics", tls)
    assert status == 200
    assert METRIC + "{" not in text
    assert 'llm_forecast_reactive{model="llama-8b"} 1' in text


def test_exposition_speaks_tls_1_3_only_and_has_one_path(exposed: Exposed) -> None:
    url, tls, plan, _ = exposed
    assert get(f"{url}/", tls)[0] == 404
    plan.write_text("{}")
    assert get(f"{url}/metrics", tls)[0] == 503
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError, match=r"(?i)protocol|version|reset|EOF"):
        get(f"{url}/metrics", tls)


@pytest.mark.parametrize(
    "document", [{}, {"version": 2}, {"version": 1, "models": []}, {"version": 1, "models": {"a": 1}}]
)
def test_document_that_is_no_plan_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        required(document)


def test_bars_keep_the_peak() -> None:
    assert bars([0, 1]) == "▁█"
    assert bars([0.0]) == "▁"
    assert len(bars([1] * 168)) <= 24
    assert "█" in bars([0] * 100 + [9] + [0] * 67)
