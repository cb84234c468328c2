"""Placing: what a wish becomes in each environment, out of what that environment's platform holds and offers.

An environment that may not hold the workload's data gets the strictest class that it may hold, so that the
same workload can be tried out there with other data. An environment without a fitting model is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from stacks.classification import TREATMENTS, Boundary, DataClass, KeyTier, at_least_as_strict
from stacks.configuration import ConfigurationError
from stacks.environment import Environment, EnvironmentName
from stacks.fork.wish import Wish

CLASSES = tuple(DataClass)


@dataclass(frozen=True, slots=True)
class Placed:
    """One workload in one environment."""

    environment: Environment
    data_class: DataClass
    boundary: Boundary
    key_tier: KeyTier
    models: tuple[str, ...]
    deployer_role: str


def place(wish: Wish, environments: tuple[Environment, ...]) -> tuple[Placed, ...]:
    """The wish in every environment that can serve it; refused when production cannot."""
    placed = tuple(found for environment in environments if (found := _placed(wish, environment)))
    if not any(one.environment.name is EnvironmentName.PROD and one.data_class is wish.data_class for one in placed):
        raise ConfigurationError(
            f"data_class: prod offers no chat model at boundary {wish.boundary.value} or stricter for data class "
            f"{wish.data_class.value} (allowed there: {_offered(environments)})"
        )
    return placed


def _placed(wish: Wish, environment: Environment) -> Placed | None:
    held = [one for one in environment.data_classes if CLASSES.index(one) <= CLASSES.index(wish.data_class)]
    if not held:
        return None
    data_class = max(held, key=CLASSES.index)
    for boundary in _boundaries(wish, data_class):
        models = _models(environment, data_class, boundary)
        if models:
            tier = max(KeyTier.WORKLOAD, TREATMENTS[data_class].key_tier, key=tuple(KeyTier).index)
            return Placed(environment, data_class, boundary, tier, models, _deployer(wish, environment))
    return None


def _boundaries(wish: Wish, data_class: DataClass) -> list[Boundary]:
    """The one wished for; for stand-in data also what its own class allows, the strictest first."""
    allowed = TREATMENTS[data_class].boundaries
    instead = [] if data_class is wish.data_class else list(reversed(allowed))
    return [one for one in (wish.boundary, *instead) if one in allowed]


def _models(environment: Environment, data_class: DataClass, boundary: Boundary) -> tuple[str, ...]:
    allowed = TREATMENTS[data_class].boundaries
    return tuple(
        model.id
        for model in environment.models
        if model.kind == "chat" and model.boundary in allowed and at_least_as_strict(model.boundary, boundary)
    )


def _deployer(wish: Wish, environment: Environment) -> str:
    """One role a workload; in local one person plays all roles."""
    if environment.name is EnvironmentName.LOCAL:
        return environment.deployer_role
    return f"{environment.prefix}-{wish.name}-deployer"


def _offered(environments: tuple[Environment, ...]) -> str:
    models = [model for one in environments if one.name is EnvironmentName.PROD for model in one.models]
    return ", ".join(f"{model.id} at {model.boundary.value}" for model in models if model.kind == "chat") or "none"
