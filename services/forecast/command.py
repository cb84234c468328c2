"""The command line: `forecast plan` makes a plan from token history, `forecast expose` tells it to KEDA's scraper.

forecast plan --history tokens.csv --capacity capacity.toml --out build/forecast
forecast plan --from-audit --capacity capacity.toml --days 7 --out build/forecast   and hours for the cluster
forecast plan --synthetic 7 --capacity capacity.toml          an invented history, for a first look
forecast expose --plan plan.json --listen 0.0.0.0:9443 --certificate tls.crt --private-key tls.key
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from services.forecast.audit_history import Place, usages_since
from services.forecast.capacity import Capacity, CapacityError, read_capacities
from services.forecast.csv_history import usages_in
from services.forecast.documents import PlanError, as_config_map, as_document, as_figures
from services.forecast.exposition import server, tls13
from services.forecast.history import HistoryError, Series, Usage, series_of
from services.forecast.hours import as_yaml, hours_of_week
from services.forecast.picture import draw
from services.forecast.plan import ModelPlan, plan
from services.forecast.synthetic import usages
from services.forecast.table import show

HISTORY_DAYS_MAX = 63  # nine weeks: older habits mislead


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; the process ends with its exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
    except (HistoryError, CapacityError, PlanError) as error:
        code = _failed(str(error))
    except OSError as error:
        code = _failed(f"{error.filename}: {os.strerror(error.errno or 0)}")
    raise SystemExit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="forecast", description="Replicas and cost of model servers, ahead of time.")
    commands = parser.add_subparsers(required=True, metavar="command")
    planning = commands.add_parser("plan", help="make a plan from token history")
    planning.set_defaults(run=_plan)
    source = planning.add_mutually_exclusive_group(required=True)
    source.add_argument("--history", type=Path, help="CSV file: timestamp,model,input_tokens,output_tokens")
    source.add_argument("--from-audit", action="store_true", help="the gateway's audit records in PostgreSQL")
    source.add_argument("--synthetic", type=int, metavar="SEED", help="an invented history")
    planning.add_argument("--capacity", type=Path, required=True, help="TOML file: what a replica takes and costs")
    planning.add_argument("--interval-s", type=int, default=3_600, help="length of an interval (3600)")
    planning.add_argument("--days", type=int, choices=range(1, 8), default=1, help="how far ahead (1)")
    planning.add_argument("--now", type=_moment, help="plan as if it were then (ISO 8601 with offset)")
    planning.add_argument("--out", type=Path, help="folder for the documents and the picture")
    planning.add_argument("--namespace", default="model-serving", help="of the ConfigMap")
    planning.add_argument("--json", action="store_true", dest="as_json", help="print the plan as JSON")
    exposing = commands.add_parser("expose", help="tell a plan to a Prometheus scraper")
    exposing.set_defaults(run=_expose)
    exposing.add_argument("--plan", type=Path, required=True)
    exposing.add_argument("--listen", required=True, help="host:port")
    exposing.add_argument("--certificate", type=Path, required=True)
    exposing.add_argument("--private-key", type=Path, required=True)
    return parser


def _plan(options: argparse.Namespace) -> int:
    now = options.now or datetime.now(UTC)
    capacities = read_capacities(options.capacity)
    histories, source = _histories(options, now, capacities)
    plans = [
        _planned(model, histories.get(model), capacity, now, options) for model, capacity in sorted(capacities.items())
    ]
    document = as_document(plans, now, source)
    if options.out is not None:
        _write(options, document, plans, histories, now)
    if options.as_json:
        print(json.dumps(document, indent=2))
    else:
        show(plans, source, Console())
        unknown = sorted(histories.keys() - capacities.keys())
        if unknown:
            print(f"no capacity is known of: {', '.join(unknown)}")
    return 0


def _histories(
    options: argparse.Namespace, now: datetime, capacities: dict[str, Capacity]
) -> tuple[dict[str, Series], str]:
    interval = timedelta(seconds=options.interval_s)
    since = now - timedelta(days=HISTORY_DAYS_MAX)
    found: list[Usage]
    if options.history is not None:
        found, source = [one for one in usages_in(options.history) if one.at >= since], options.history.name
    elif options.from_audit:
        found, source = usages_since(Place.from_environment(os.environ), since, interval), "audit records"
    else:
        full = datetime.fromtimestamp(now.timestamp() // options.interval_s * options.interval_s, UTC)
        seeds = enumerate(sorted(capacities), start=options.synthetic)
        found = [usage for seed, model in seeds for usage in usages(seed, model, full, 42, interval)]
        source = f"a synthetic history (seed {options.synthetic}), not measured"
    return {series.model: series for series in series_of(found, interval, now)}, source


def _planned(
    model: str, history: Series | None, capacity: Capacity, now: datetime, options: argparse.Namespace
) -> ModelPlan:
    if history is None:
        return ModelPlan(model, timedelta(seconds=options.interval_s), reactive="there is no history of this model")
    return plan(history, capacity, now, options.days)


def _write(
    options: argparse.Namespace,
    document: dict[str, Any],
    plans: Sequence[ModelPlan],
    histories: dict[str, Series],
    now: datetime,
) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    config_map = as_config_map(document, "llm-forecast", options.namespace)
    (options.out / "plan.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (options.out / "configmap.json").write_text(json.dumps(config_map, indent=2) + "\n", encoding="utf-8")
    (options.out / "metrics.prom").write_text(as_figures(document, now), encoding="utf-8")
    for one in plans:
        if one.steps and options.days == 7:
            hours = as_yaml(hours_of_week(one.steps, one.replicas_min))
            (options.out / f"hours-{_file_name(one.model)}.yaml").write_text(hours, encoding="utf-8")
    drawn = [one for one in plans if one.model in histories]
    (options.out / "forecast.svg").write_text(draw(drawn, histories), encoding="utf-8")


def _expose(options: argparse.Namespace) -> int:
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdigit():
        return _failed("--listen must be host:port")
    with server(
        host.strip("[]"), int(port), options.plan, tls13(options.certificate, options.private_key)
    ) as listening:
        listening.serve_forever()
    return 0


def _file_name(model: str) -> str:
    """A model's name comes from a file: it must not lead out of the folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", model)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("needs an offset, as in 2026-01-31T12:00:00Z")
    return moment


def _failed(sentence: str) -> int:
    print(f"forecast: {sentence}", file=sys.stderr)
    return 1
