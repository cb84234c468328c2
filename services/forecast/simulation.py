"""What a plan is worth: the same days served by reactive scaling alone, and by the larger of plan and reactive.

Reactive scaling sees an interval's demand when it is over, and a GPU replica starts with gigabytes of weights: what
is asked for now is there in the next interval. KEDA takes the largest of its triggers, so the plan can only add.

`violations`: intervals in which demand was more than the replicas take. `cost_variance`: mean square of a day's cost
minus what was announced for it the day before (by the plan, or, without one, by the cost of the day before).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from services.forecast.capacity import Capacity
from services.forecast.history import Numbers


@dataclass(frozen=True, slots=True)
class Served:
    violations: int
    cost_variance: float
    usd: float


def reactive_only(demand: Numbers, capacity: Capacity, interval: timedelta, per_day: int) -> Served:
    replicas = _reactive(demand, capacity)
    costs = _daily_usd(replicas, capacity, interval, per_day)
    return _served(demand, replicas, capacity, costs[1:], costs[:-1])


def with_plan(demand: Numbers, planned: Numbers, capacity: Capacity, interval: timedelta, per_day: int) -> Served:
    """`planned` are the replicas that were announced the day before, interval by interval."""
    replicas = np.maximum(_reactive(demand, capacity), planned)
    costs = _daily_usd(replicas, capacity, interval, per_day)
    announced = _daily_usd(planned, capacity, interval, per_day)
    return _served(demand, replicas, capacity, costs[1:], announced[1:])


def _reactive(demand: Numbers, capacity: Capacity) -> Numbers:
    seen = np.concatenate([demand[:1], demand[:-1]])
    return np.array([capacity.replicas(float(one)) for one in seen], dtype=np.float64)


def _daily_usd(replicas: Numbers, capacity: Capacity, interval: timedelta, per_day: int) -> Numbers:
    price = capacity.usd_per_replica_hour * (interval / timedelta(hours=1))
    return np.asarray(replicas.reshape(-1, per_day).sum(axis=1) * price)


def _served(demand: Numbers, replicas: Numbers, capacity: Capacity, costs: Numbers, announced: Numbers) -> Served:
    short = demand > replicas * capacity.tokens_per_s_replica
    return Served(int(short.sum()), float(np.mean((costs - announced) ** 2)), float(costs.sum()))
