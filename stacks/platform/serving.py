"""Serving: models, data stores, our own model servers and the one central gateway, on top of a foundation."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from stacks.environment import Environment
from stacks.placement import Placement
from stacks.platform.datasets import deploy_datasets
from stacks.platform.foundation import Foundation
from stacks.platform.gateway import Gateway, deploy_gateway
from stacks.platform.models import deploy_models
from stacks.platform.self_hosting import SelfHosted, deploy_self_hosting
from stacks.platform.stores import deploy_stores
from stacks.platform.weights import deploy_weights


@dataclass(frozen=True, slots=True)
class Serving:
    """What the promises to other programs are made of."""

    gateway: Gateway
    self_hosted: SelfHosted | None


def deploy_serving(environment: Environment, foundation: Foundation, placement: Placement) -> Serving:
    """Models and stores first, then the gateway that uses them."""
    weights = deploy_weights(environment, foundation, placement)
    models = deploy_models(environment, foundation, weights, placement)
    stores = deploy_stores(environment, foundation, placement)
    self_hosted = deploy_self_hosting(environment, foundation, weights, placement)
    authority: pulumi.Input[str] = self_hosted.private_ca_certificate if self_hosted else ""
    gateway = deploy_gateway(environment, foundation, models, stores, authority, placement)
    deploy_datasets(environment, foundation, gateway.image, placement)
    return Serving(gateway, self_hosted)
