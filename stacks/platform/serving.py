"""Serving: models, data stores and the one central gateway, on top of a foundation."""

from __future__ import annotations

from dataclasses import dataclass

from stacks.environment import Environment
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.gateway import Gateway, deploy_gateway
from stacks.platform.models import deploy_models
from stacks.platform.stores import deploy_stores


@dataclass(frozen=True, slots=True)
class Serving:
    """What the promise to other programs is made of."""

    gateway: Gateway


def deploy_serving(environment: Environment, foundation: Foundation, placement: Placement) -> Serving:
    """Models and stores first, then the gateway that uses them."""
    models = deploy_models(environment, foundation, placement)
    stores = deploy_stores(environment, foundation, placement)
    return Serving(deploy_gateway(environment, foundation, models, stores, "", placement))
