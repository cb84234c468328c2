"""History is read as it is, or refused with the place."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.forecast.capacity import CapacityError, read_capacities
from services.forecast.csv_history import usages_in
from services.forecast.history import HistoryError, Usage, series_of

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


def test_intervals_have_no_gap_and_the_running_one_is_left_out() -> None:
    noon = NOW.replace(minute=0)
    usages = [
        Usage(noon - 5 * HOUR, "a", 3_600, 0),
        Usage(noon - 2 * HOUR + timedelta(minutes=59), "a", 1_800, 1_800),
        Usage(noon - 2 * HOUR, "a", 0, 3_600),
        Usage(noon, "a", 1 << 40, 0),
        Usage(noon - HOUR, "b", 36, 0),
    ]
    a, b = series_of(usages, HOUR, NOW)
    assert (a.model, a.begins_at, a.ends_at) == ("a", noon - 5 * HOUR, noon)
    assert a.tokens_per_s.tolist() == [1, 0, 0, 2, 0]
    assert b.tokens_per_s.tolist() == [0.01]


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from("ab"), st.integers(0, 1 << 30)), max_size=50))
def test_no_token_is_lost_or_invented(entries: list[tuple[int, str, int]]) -> None:
    usages = [
        Usage(NOW - 2 * HOUR - timedelta(minutes=minutes), model, tokens, 1) for minutes, model, tokens in entries
    ]
    series = series_of(usages, HOUR, NOW)
    total = sum(float(np.sum(one.tokens_per_s)) * 3_600 for one in series)
    assert total == pytest.approx(sum(tokens + 1 for _, _, tokens in entries))
    assert len({one.ends_at for one in series}) <= 1


def test_record_of_tomorrow_is_refused() -> None:
    with pytest.raises(HistoryError, match="lies in the future"):
        series_of([Usage(NOW + HOUR, "a", 1, 1)], HOUR, NOW)


@pytest.mark.parametrize("interval", [timedelta(seconds=60), timedelta(hours=5), timedelta(days=2)])
def test_interval_divides_a_day(interval: timedelta) -> None:
    with pytest.raises(HistoryError, match="divide a day"):
        series_of([Usage(NOW, "a", 1, 1)], interval, NOW)


HEAD = "timestamp,model,input_tokens,output_tokens\n"


def test_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(HEAD + '2026-03-02T10:00:00Z,"a, b",1,2\n2026-03-02T12:00:00+02:00,c,3,4\n')
    assert [(one.at.astimezone(UTC).hour, one.model, one.output_tokens) for one in usages_in(path)] == [
        (10, "a, b", 2),
        (10, "c", 4),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the first line must be"),
        ("time,model,input_tokens,output_tokens\n", "the first line must be"),
        (HEAD + "2026-03-02T10:00:00,a,1,2\n", "line 2: the time needs an offset"),
        (HEAD + "2026-03-02T10:00:00Z,,1,2\n", "line 2: the time needs"),
        (HEAD + "2026-03-02T10:00:00Z,a,-1,2\n", "line 2: the time needs"),
        (HEAD + "2026-03-02T10:00:00Z,a,1.5,2\n", "line 2: must be a time"),
        (HEAD + "2026-03-02T10:00:00Z,a,1\n", "line 2: must be a time"),
        (HEAD + "yesterday,a,1,2\n", "line 2: must be a time"),
    ],
)
def test_csv_that_is_no_history_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(HistoryError, match=says):
        list(usages_in(path))


CAPACITY = {
    "tokens_per_s_replica": "2500",
    "headroom": "0.2",
    "replicas_min": "1",
    "replicas_max": "8",
    "usd_per_replica_hour": "1.21",
}


def capacity(folder: Path, **changes: str) -> Path:
    path = folder / "capacity.toml"
    lines = [f"{name} = {value}" for name, value in (CAPACITY | changes).items() if value]
    path.write_text("\n".join(['[models."a"]', *lines]))
    return path


def test_capacity_is_read_and_the_example_is_one(tmp_path: Path) -> None:
    assert read_capacities(capacity(tmp_path))["a"].replicas(4_001) == 3
    assert read_capacities(capacity(tmp_path))["a"].replicas(0) == 1
    assert read_capacities(capacity(tmp_path))["a"].replicas(1e9) == 8
    assert read_capacities(Path("services/forecast/capacity.example.toml"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tokens_per_s_replica": "0"}, "tokens_per_s_replica must be above 0"),
        ({"tokens_per_s_replica": "nan"}, "tokens_per_s_replica must be above 0"),
        ({"headroom": "1"}, "headroom must be from 0 to 0.9"),
        ({"replicas_min": "9"}, "replicas_min must be at most replicas_max"),
        ({"replicas_min": "0", "replicas_max": "0"}, "replicas_max must be at least 1"),
        ({"replicas_max": "1.5"}, "replicas_max must be a number"),
        ({"usd_per_replica_hour": "-1"}, "usd_per_replica_hour must not be negative"),
        ({"usd_per_replica_hour": '"1"'}, "usd_per_replica_hour must be a number"),
        ({"headroom": ""}, "must have exactly"),
        ({"burst": "1"}, "must have exactly"),
    ],
)
def test_wrong_capacity_is_named_with_what_is_allowed(tmp_path: Path, changes: dict[str, str], says: str) -> None:
    with pytest.raises(CapacityError, match=re.escape(says)):
        read_capacities(capacity(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "models = 1", "[models]", "[other]\na = 1", "[", "[models]\na = 1"])
def test_file_that_is_no_capacity_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "capacity.toml"
    path.write_text(text)
    with pytest.raises(CapacityError):
        read_capacities(path)
