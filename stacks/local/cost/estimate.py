"""The estimate of one environment: what each component costs a month while idle, and each model per token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from stacks.classification import Boundary
from stacks.environment import Environment
from stacks.local.cost.meters import METERS, Charge, Metered
from stacks.local.cost.prices import Prices
from stacks.local.engine_graph import Deployment, Resource

SHARED = "shared"
_CENT = Decimal("0.01")
# What is there for one boundary only; everything else serves all of them.
_BOUNDARY_OF_TYPE = {
    "llm-pipelines:components:BedrockGuardrail": Boundary.PRIVATE_ENDPOINT,
    "llm-pipelines:components:BedrockAccess": Boundary.PRIVATE_ENDPOINT,
    "llm-pipelines:components:InvocationLogging": Boundary.PRIVATE_ENDPOINT,
    "llm-pipelines:components:ModelLoadBalancer": Boundary.SELF_HOSTED,
    "llm-pipelines:components:PrivateAuthority": Boundary.SELF_HOSTED,
    "aws:eks/": Boundary.SELF_HOSTED,
    "aws:sagemaker/": Boundary.PRIVATE_ENDPOINT,
    "aws:networkfirewall/": Boundary.PUBLIC_API,
    "aws:ec2/natGateway:": Boundary.PUBLIC_API,
}
_MODEL_SERVICES = ("bedrock", "sagemaker")


class Unpriceable(Exception):
    """The table does not fit the environment, so no figure would be true."""


@dataclass(frozen=True)
class Line:
    """One price times one resource."""

    component: str
    boundary: str
    resource: str
    price: str
    unit: str
    units: Decimal
    usd: Decimal


@dataclass(frozen=True)
class Unpriced:
    """No price is known; this is not zero."""

    type: str
    resource: str
    why: str


@dataclass(frozen=True)
class ModelPrice:
    model: str
    boundary: str
    usd_per_million_input_tokens: Decimal
    usd_per_million_output_tokens: Decimal


@dataclass(frozen=True)
class Estimate:
    environment: str
    table: Prices
    lines: tuple[Line, ...]
    by_use: tuple[str, ...]
    unpriced: tuple[Unpriced, ...]
    models: tuple[ModelPrice, ...]

    @property
    def total(self) -> Decimal:
        """Of what has a price."""
        return sum((line.usd for line in self.lines), Decimal(0)).quantize(_CENT)

    def by_component(self) -> dict[tuple[str, str], Decimal]:
        """Dollars a month by component and boundary, dearest first."""
        sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for line in self.lines:
            sums[line.component, line.boundary] += line.usd
        return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))

    def by_boundary(self) -> dict[str, Decimal]:
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for line in self.lines:
            sums[line.boundary] += line.usd
        return dict(sorted(sums.items()))


def estimate(environment: Environment, deployments: Sequence[Deployment], table: Prices) -> Estimate:
    if environment.region != table.region:
        raise Unpriceable(f"region must be {table.region}, of which the price table is (got {environment.region})")
    found = [entry for deployment in deployments for entry in _entries(deployment, table)]
    return Estimate(
        environment=environment.name.value,
        table=table,
        lines=tuple(sorted((entry for entry in found if isinstance(entry, Line)), key=_order)),
        by_use=tuple(sorted({entry for entry in found if isinstance(entry, str)})),
        unpriced=tuple(sorted((entry for entry in found if isinstance(entry, Unpriced)), key=_order)),
        models=tuple(_models(environment)),
    )


def _order(entry: Line | Unpriced) -> tuple[str, ...]:
    return (entry.resource, entry.price) if isinstance(entry, Line) else (entry.resource, entry.type)


def _entries(deployment: Deployment, table: Prices) -> Iterator[Line | Unpriced | str]:
    """A line per charge; the type of what is charged by use; what nobody entered."""
    others = {resource.urn: resource for resource in deployment.resources}
    for resource in deployment.resources:
        if not resource.custom or resource.type.startswith("pulumi:") or resource.type in table.free:
            continue
        if resource.type in table.by_use:
            yield resource.type
        elif meter := METERS.get(resource.type):
            charges = meter(Metered(resource, others, table))
            yield from _lines(charges, resource, _above(resource, others), deployment, table)
        else:
            yield Unpriced(resource.type, resource.name, "this type is not in the price table")


def _lines(
    charges: Iterable[Charge], resource: Resource, above: Sequence[Resource], deployment: Deployment, table: Prices
) -> Iterator[Line | Unpriced]:
    component = above[-1].type.rpartition(":")[2] if above else resource.type.rpartition(":")[2]
    for charge in charges:
        price = table.prices.get(charge.price)
        if price is None:
            yield Unpriced(resource.type, resource.name, f"no price of {charge.price!r} in the price table")
            continue
        yield Line(
            component=f"{deployment.project}: {component}",
            boundary=_boundary((resource, *above)),
            resource=resource.name,
            price=charge.price,
            unit=price.unit,
            units=charge.units,
            usd=charge.units * price.usd,
        )


def _above(resource: Resource, others: Mapping[str, Resource]) -> list[Resource]:
    """The components a resource lies in, the outermost last."""
    found: list[Resource] = []
    parent = others.get(resource.parent)
    while parent is not None and not parent.type.startswith("pulumi:"):
        found.append(parent)
        parent = others.get(parent.parent)
    return found


def _boundary(chain: Sequence[Resource]) -> str:
    service = str(chain[0].inputs.get("serviceName", ""))
    if any(f".{name}" in service for name in _MODEL_SERVICES):
        return Boundary.PRIVATE_ENDPOINT.value
    for resource in chain:
        for prefix, boundary in _BOUNDARY_OF_TYPE.items():
            if resource.type.startswith(prefix):
                return boundary.value
    return SHARED


def _models(environment: Environment) -> Iterator[ModelPrice]:
    for model in sorted(environment.models, key=lambda model: model.id):
        yield ModelPrice(
            model.id,
            model.boundary.value,
            Decimal(model.usd_per_million_input_tokens),
            Decimal(model.usd_per_million_output_tokens),
        )
