"""What one replica of a model takes and costs, as measured and agreed, from a TOML file:

[models."llama-8b"]
tokens_per_s_replica = 2500      # input and output, measured under the SLO with `vllm bench serve`
headroom = 0.2                   # share of a replica that is kept free
replicas_min = 1
replicas_max = 8                 # what quota and reserved capacity allow
usd_per_replica_hour = 1.21
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path


class CapacityError(Exception):
    """The file names a wrong value. The message says which and what is allowed."""


@dataclass(frozen=True, slots=True)
class Capacity:
    tokens_per_s_replica: float
    headroom: float
    replicas_min: int
    replicas_max: int
    usd_per_replica_hour: float

    def replicas(self, tokens_per_s: float) -> int:
        """How many it takes, within what is allowed."""
        return min(max(self.replicas_wanted(tokens_per_s), self.replicas_min), self.replicas_max)

    def replicas_wanted(self, tokens_per_s: float) -> int:
        """How many it would take, whatever is allowed."""
        return math.ceil(tokens_per_s / (self.tokens_per_s_replica * (1 - self.headroom)))


def read_capacities(path: Path) -> dict[str, Capacity]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CapacityError(f"{path.name}: {error}") from None
    models = document.pop("models", None)
    if document or not isinstance(models, dict) or not models:
        raise CapacityError(f"{path.name} must hold tables [models.<name>] and nothing else")
    return {model: _capacity(f"{path.name}: models.{model}", entry) for model, entry in models.items()}


def _capacity(where: str, entry: object) -> Capacity:
    names = [field.name for field in fields(Capacity)]
    if not isinstance(entry, dict) or sorted(entry) != sorted(names):
        raise CapacityError(f"{where} must have exactly {', '.join(names)}")
    for name, value in entry.items():
        if type(value) not in (int, float) or (name.startswith("replicas") and type(value) is not int):
            raise CapacityError(f"{where}.{name} must be a number (replicas: a whole one)")
    capacity = Capacity(**entry)
    _require(where, "tokens_per_s_replica must be above 0", 0 < capacity.tokens_per_s_replica < math.inf)
    _require(where, "headroom must be from 0 to 0.9", 0 <= capacity.headroom <= 0.9)
    _require(where, "replicas_min must be at most replicas_max", 0 <= capacity.replicas_min <= capacity.replicas_max)
    _require(where, "replicas_max must be at least 1", capacity.replicas_max >= 1)
    _require(where, "usd_per_replica_hour must not be negative", 0 <= capacity.usd_per_replica_hour < math.inf)
    return capacity


def _require(where: str, demand: str, holds: bool) -> None:
    if not holds:
        raise CapacityError(f"{where}.{demand}")
