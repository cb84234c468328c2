"""Cost before deploy: every resource has a price, is charged by use, is free, or is listed as unknown."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from stacks.environment import Environment
from stacks.local import engine
from stacks.local.captured_platform import captured, captured_workloads, configured
from stacks.local.cost.__main__ import as_json, exit_code
from stacks.local.cost.__main__ import main as cost
from stacks.local.cost.estimate import Estimate, Unpriceable, estimate
from stacks.local.cost.meters import METERS
from stacks.local.cost.prices import Prices, noted
from stacks.local.cost.table import tables
from tests.stacks.configurations import ENVIRONMENTS, changed, environment_values

KEY = "aws:kms/key:Key"


@functools.cache
def deployments(stack: str) -> tuple[engine.Deployment, ...]:
    platform = captured(stack)
    return (platform, *captured_workloads(stack, platform))


@functools.cache
def of(stack: str) -> Estimate:
    return estimate(configured(stack), deployments(stack), noted())


def with_more(*inputs_by_type: tuple[str, dict[str, Any]]) -> Estimate:
    """Production with resources added."""
    platform, *workloads = deployments("prod")
    like = platform.of_type(KEY)[0]
    more = [
        dataclasses.replace(like, type=kind, name=f"planted-{number}", urn=f"planted-{number}", inputs=inputs)
        for number, (kind, inputs) in enumerate(inputs_by_type)
    ]
    grown = dataclasses.replace(platform, resources=(*platform.resources, *more))
    return estimate(configured("prod"), (grown, *workloads), noted())


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_type_of_our_programs_is_in_the_table(stack: str) -> None:
    assert of(stack).unpriced == ()
    assert of(stack).total > 0


def test_type_that_is_not_in_the_table_is_listed_and_never_zero() -> None:
    grown = with_more(("aws:msk/cluster:Cluster", {}))
    assert [(entry.type, entry.resource) for entry in grown.unpriced] == [("aws:msk/cluster:Cluster", "planted-0")]
    assert grown.total == of("prod").total
    assert not [line for line in grown.lines if line.resource == "planted-0"]


def servers(kind: str) -> Estimate:
    return with_more(("aws:eks/nodeGroup:NodeGroup", {"instanceTypes": [kind], "scalingConfig": {"desiredSize": 2}}))


def test_known_type_of_a_kind_without_a_price_is_listed() -> None:
    (entry,) = servers("p9.metal").unpriced
    assert entry.why == "no price of 'instance p9.metal' in the price table"


def test_what_is_added_raises_the_total_by_its_price() -> None:
    assert with_more((KEY, {})).total - of("prod").total == Decimal("1.00")
    grown = servers("g6.xlarge").by_boundary()["self_hosted"] - of("prod").by_boundary()["self_hosted"]
    assert grown == Decimal("0.8048") * 2 * 730


def test_nodes_are_charged_with_their_disks_and_what_makes_these_fast() -> None:
    units = {line.price: line.units for line in of("prod").lines if line.resource == "l4-nodes-group"}
    hosting = configured("prod").self_hosting
    assert hosting is not None
    [group] = hosting.gpu_nodes
    assert units == {
        f"instance {group.instance_type}": group.nodes_min * noted().hours_per_month,
        "gp3-storage": group.nodes_min * group.disk_gib,
        "gp3-iops": group.nodes_min * 1000,
        "gp3-throughput": group.nodes_min * 875,
    }
    slow = {line.price for line in of("prod").lines if line.resource == "system-nodes-group"}
    assert "gp3-storage" in slow
    assert not slow & {"gp3-iops", "gp3-throughput"}


def test_a_general_certificate_authority_is_not_taken_for_a_cheap_one() -> None:
    authority = "aws:acmpca/certificateAuthority:CertificateAuthority"
    assert with_more((authority, {"usageMode": "SHORT_LIVED_CERTIFICATE"})).total - of("prod").total == Decimal(50)
    (entry,) = with_more((authority, {})).unpriced
    assert "GENERAL_PURPOSE" in entry.why


def test_a_managed_model_costs_its_instances_by_the_hour() -> None:
    variants = {
        model.instance_type: model.instances * noted().hours_per_month for model in configured("prod").sagemaker_models
    }
    charged = {
        line.price.removeprefix("instance "): line.units
        for line in of("prod").lines
        if line.price.startswith("instance ml.")
    }
    assert charged == variants


def test_gateway_is_charged_for_its_tasks() -> None:
    lines = {line.price: line.units for line in of("prod").lines if line.resource == "gateway"}
    gateway = configured("prod").gateway
    assert lines["fargate-vcpu"] == Decimal(gateway.tasks * gateway.cpu) / 1024 * 730
    assert lines["fargate-memory"] == Decimal(gateway.tasks * gateway.memory_mib) / 1024 * 730


def test_database_idles_at_its_least_capacity_in_every_instance() -> None:
    capacity = [line.units for line in of("prod").lines if line.price == "aurora-acu"]
    assert capacity == [Decimal(2 * 730)] * 3


def test_endpoints_are_charged_by_zone_and_the_gateway_endpoint_is_not() -> None:
    lines = [line for line in of("prod").lines if line.price == "interface-endpoint"]
    assert {line.units for line in lines} == {Decimal(3 * 730)}
    assert "network-s3-endpoint" not in {line.resource for line in lines}
    private = {line.resource for line in lines if line.boundary == "private_endpoint"}
    assert private == {"bedrock-endpoint", "bedrock-runtime-endpoint", "sagemaker-runtime-endpoint"}


def test_sums_agree_with_the_lines() -> None:
    one = of("prod")
    exact = sum((line.usd for line in one.lines), Decimal(0))
    assert sum(one.by_component().values()) == sum(one.by_boundary().values()) == exact
    assert one.total == exact.quantize(Decimal("0.01"))


def test_models_cost_what_the_environment_says() -> None:
    prices = {model.model: str(model.usd_per_million_output_tokens) for model in of("prod").models}
    assert prices == {"nova-lite": "0.24", "titan-embed": "0", "assistant": "0.30", "summariser": "0.45"}


def test_prices_of_another_region_are_not_used() -> None:
    models = [{**model, "destination_regions": ["eu-west-1"]} for model in environment_values("dev")["models"]]
    values = changed(
        environment_values("dev"),
        {"region": "eu-west-1", "network.zones": ["eu-west-1a", "eu-west-1b"], "models": models},
    )
    with pytest.raises(Unpriceable, match=r"region must be us-east-1.*got eu-west-1"):
        estimate(Environment.load(values), deployments("dev"), noted())


def test_estimate_is_the_same_every_time_and_in_every_order() -> None:
    platform, *workloads = deployments("prod")
    backward = dataclasses.replace(platform, resources=tuple(reversed(platform.resources)))
    assert as_json(estimate(configured("prod"), (backward, *workloads), noted())) == as_json(of("prod"))


def test_exit_code_tells_whether_everything_has_a_price() -> None:
    assert exit_code([of("dev"), of("prod")]) == 0
    assert exit_code([of("dev"), with_more(("aws:msk/cluster:Cluster", {}))]) == 2


def test_tables_name_what_has_no_known_price() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    for part in tables(with_more(("aws:msk/cluster:Cluster", {}))):
        console.print(part)
    printed = console.export_text()
    assert "no price known: aws:msk/cluster:Cluster planted-0" in printed
    assert "total and 1 without a known price" in printed
    assert "list prices noted on" in printed


def test_table_says_its_date_and_that_it_is_to_be_checked() -> None:
    assert noted().as_of.year >= 2026
    assert "Check each" in noted().note


def test_table_with_a_misspelt_key_is_refused() -> None:
    values = noted().model_dump(mode="json")
    with pytest.raises(ValidationError, match="pricess"):
        Prices.model_validate({**values, "pricess": {}})


def test_every_price_is_one_that_something_is_charged_by() -> None:
    meters = Path(inspect.getfile(METERS["aws:lb/loadBalancer:LoadBalancer"])).read_text(encoding="utf-8")
    built = ("instance ", "-load-balancer", "-serverless-data")
    unused = [name for name in noted().prices if f'"{name}"' not in meters and not any(part in name for part in built)]
    assert unused == []


def test_no_type_is_both_charged_and_free() -> None:
    free, by_use = set(noted().free), set(noted().by_use)
    assert not free & by_use
    assert not (free | by_use) & set(METERS)


def test_command_prints_json_that_names_what_is_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost(["--environment", "dev", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert printed["as_of"] == noted().as_of.isoformat()
    assert printed["no_price_known"] == []
    assert Decimal(printed["usd_per_month_idle"]) == of("dev").total
    assert "bucket_gb" in printed["assumed"]
