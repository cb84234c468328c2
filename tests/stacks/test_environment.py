"""Every environment loads; every wrong value is refused with the field and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.platform.catalogue import _written
from tests.stacks.configurations import ENVIRONMENTS, Values, changed, environment_values


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_environment_loads_as_it_is_written(stack: str) -> None:
    environment = Environment.load(environment_values(stack))

    assert environment.name.value == stack
    assert environment.tags["env"] == stack


_ROUTES = "rtb-0123456789abcdef0"
_ADOPTED: Values = {
    "vpc_id": "vpc-0123456789abcdef0",
    "subnet_ids": {tier: ["subnet-0123456789abcdef0"] for tier in ("edge", "app", "model", "data")},
    "route_table_ids": dict.fromkeys(("edge", "app", "model", "data"), _ROUTES),
}
_ADOPTED_WHOLE: Values = {
    **_ADOPTED,
    "subnet_ids": {
        tier: [f"subnet-0123456789abcd{tier_number}{zone}0" for zone in range(3)]
        for tier_number, tier in enumerate(("edge", "app", "model", "data"))
    },
    "route_table_ids": {
        tier: f"rtb-0123456789abcde{number}0" for number, tier in enumerate(("edge", "app", "model", "data"))
    },
}
_RESERVED: Values = {
    **environment_values("prod")["self_hosting"]["gpu_nodes"][0],
    "capacity": "capacity_block",
    "reservation_id": "cr-0123456789abcdef0",
    "zone": "us-east-1a",
}
_SELF_HOSTED: Values = {
    "id": "own",
    "kind": "chat",
    "backend": "openai",
    "base_url": "https://elsewhere.example.com/v1",
    "upstream_model": "own",
    "boundary": "self_hosted",
    "context_tokens_max": 8192,
    "usd_per_million_input_tokens": "0.05",
    "usd_per_million_output_tokens": "0.10",
}

# One row a field: what is written in prod's file instead, and what the refusal must say.
REFUSED: dict[str, tuple[str, Any, str]] = {
    "an unknown environment": ("name", "test", "'local', 'dev', 'staging' or 'prod'"),
    "an unknown region": ("region", "us-east-9", "'us-east-1'"),
    "an account of eleven digits": ("accounts.prod", "33334444555", "12 digits"),
    "an account used twice": ("accounts.prod", "111122223333", "one account each"),
    "an owner with spaces": ("owner", "Platform Team", "lower-case name"),
    "a deployer with a path": ("deployer_role", "admin/deployer", "no path"),
    "a data class misspelt": ("data_classes.0", "pubic", "'public', 'internal', 'confidential' or 'restricted'"),
    "no data class at all": ("data_classes", [], "must not be empty"),
    "singletons of nobody": ("account_singletons", "none", "'managed' or 'external'"),
    "prod without deletion protection": ("deletion_protection", False, "must be true in prod"),
    "a network that is too small": ("network.cidr", "10.28.0.0/24", "/16 to /20 (got /24)"),
    "a network that is too large": ("network.cidr", "10.0.0.0/8", "/16 to /20 (got /8)"),
    "a network of public addresses": ("network.cidr", "52.0.0.0/16", "must lie in 10.0.0.0/8"),
    "a network with host bits": ("network.cidr", "10.28.0.1/16", "host bits set"),
    "one zone": ("network.zones", ["us-east-1a"], "2 to 8 different"),
    "a zone twice": ("network.zones", ["us-east-1a", "us-east-1a"], "2 to 8 different"),
    "a zone of another region": ("network.zones", ["us-east-1a", "us-west-2a"], "must lie in us-east-1"),
    "clients from anywhere": ("network.client_cidrs", ["0.0.0.0/0"], "must lie in 10.0.0.0/8"),
    "no way to callers": ("network.transit_gateway_id", "", "set outside local"),
    "no way to issuers": ("network.issuer_cidrs", [], "set outside local"),
    "a hub that is none": ("network.transit_gateway_id", "vpc-1", "transit gateway"),
    "clients inside the network": ("network.client_cidrs", ["10.28.4.0/24"], "must not overlap network.cidr"),
    "evidence that can be deleted": ("retention.evidence_lock", "GOVERNANCE", "COMPLIANCE"),
    "evidence kept for a month": ("retention.evidence_days", 30, "400 or more"),
    "content kept for a quarter": ("retention.content_days", 90, "1 to 7 for data class restricted"),
    "a log retention AWS does not know": ("retention.log_days", 366, "365, 400"),
    "an image by tag": ("gateway.image_digest", "latest", "sha256: and 64 hexadecimal digits"),
    "a CPU size of our own": ("gateway.cpu", 300, "256, 512, 1024, 2048 or 4096"),
    "a gateway without tasks": ("gateway.tasks", 0, "greater than or equal to 1"),
    "a gateway on loopback in prod": ("gateway.listen", "127.0.0.1:8443", "0.0.0.0:8443"),
    "plain text to callers": ("gateway.url", "http://gateway.llm-prod.internal", "https"),
    "a URL that is not the host name": ("gateway.url", "https://elsewhere.example.com", "must be https://gateway"),
    "a certificate that is none": ("gateway.certificate_arn", "arn:aws:iam::333344445555:role/x", "ACM certificate"),
    "an issuer in plain text": ("issuers.0.issuer", "http://login.example.com", "https"),
    "a signature with a shared secret": ("issuers.0.algorithms", ["HS256"], "'RS256'"),
    "no issuer": ("issuers", [], "must not be empty"),
    "an old database": ("database.engine_version", "15.4", "16.x, 17.x"),
    "a database that shrinks upwards": ("database.capacity_min", 128, "must not exceed capacity_max"),
    "old TLS to the database": ("database.tls_min", "TLSv1.1", "'TLSv1.2' or 'TLSv1.3'"),
    "a model without a price": ("models.0.usd_per_million_input_tokens", "", "US dollars"),
    "a model with a negative price": ("models.0.usd_per_million_output_tokens", "-1", "US dollars"),
    "a model of an unknown backend": ("models.0.backend", "vertex", "'openai', 'bedrock', 'sagemaker'"),
    "a model of an unknown boundary": ("models.0.boundary", "public", "'public_api', 'private_endpoint'"),
    "a Bedrock model said to be ours": ("models.0.boundary", "self_hosted", "must be private_endpoint"),
    "a global profile": ("models.0.geo_profile", "global.amazon.nova-lite-v1:0", "never global"),
    "a model that leaves the region": ("models.0.destination_regions", ["us-east-1", "us-west-2"], "[us-east-1]"),
    "a place that is no region": ("models.0.destination_regions", ["nowhere"], "a region of AWS such as us-east-2"),
    "a cache price in words": ("models.0.usd_per_million_cache_read_tokens", "cheap", "US dollars as a decimal number"),
    "a cache price below nothing": (
        "models.0.usd_per_million_cache_write_tokens",
        "-1",
        "US dollars as a decimal number",
    ),
    "an unknown residency": ("residency", "world", "'geography' or 'region'"),
    "an unknown tier of guardrails": ("guardrail_tier", "PREMIUM", "'CLASSIC' or 'STANDARD'"),
    "a guardrail that leaves the region": ("guardrail_tier", "STANDARD", "must be CLASSIC with residency region"),
    "data that may not leave, leaving": ("residency", "geography", "residency must be region where data classes"),
    "an embedding model that is not listed": ("embedding_model", "nova-lite", "titan-embed"),
    "an odd number of dimensions": ("embedding_dimensions", 500, "256, 384, 512 or 1024"),
    "the key of another environment": (
        "gateway.certificate_arn",
        "arn:aws:acm:us-east-1:111122223333:certificate/00000000-0000-4000-8000-000000000000",
        "must name account 333344445555 only",
    ),
    "an organization that is none": ("organization.id", "123456789012", "id of an AWS organization"),
    "a trail of nobody": ("organization.trail", "off", "'managed' or 'external'"),
    "plain text inside prod": ("network.encryption", "monitor", "must be enforce in prod"),
    "an encryption control that is off": ("network.encryption", "off", "'monitor' or 'enforce'"),
    "a VPC adopted by name": ("network.existing", {**_ADOPTED, "vpc_id": "main"}, "the id of a VPC"),
    "a VPC adopted without a data tier": (
        "network.existing",
        {**_ADOPTED, "route_table_ids": {"edge": _ROUTES, "app": _ROUTES, "model": _ROUTES}},
        "none for data",
    ),
    "model servers in a VPC of others": ("network.existing", _ADOPTED_WHOLE, "must not be set together with"),
    "a VPC adopted in one zone": ("network.existing", _ADOPTED, "one subnet for each of the 3 zones"),
    "services that overlap the hub": ("self_hosting.service_cidr", "10.2.0.0/20", "overlaps 10.0.0.0/12"),
    "model servers without a name": ("self_hosting.host_name", "models", "host name"),
    "an operator with a path": ("self_hosting.administrator_role", "team/operator", "no path"),
    "system nodes that shrink upwards": ("self_hosting.system_nodes.nodes_min", 9, "must not exceed nodes_max"),
    "a disk that holds no weights": ("self_hosting.gpu_nodes.0.disk_gib", 20, "greater than or equal to 50"),
    "an instance type that is none": ("self_hosting.gpu_nodes.0.instance_type", "gpu", "EC2 instance type"),
    "no GPU nodes": ("self_hosting.gpu_nodes", [], "at least one node group"),
    "a reservation without its id": ("self_hosting.gpu_nodes.0.capacity", "reservation", "must be set with capacity"),
    "a reservation in another zone": (
        "self_hosting.gpu_nodes.0",
        {**_RESERVED, "zone": "us-east-1d"},
        "must be one of network.zones",
    ),
    "a reservation that is none": (
        "self_hosting.gpu_nodes.0",
        {**_RESERVED, "reservation_id": "res-1"},
        "id of a capacity reservation",
    ),
    "a self-hosted model elsewhere": ("models.2", _SELF_HOSTED, "self_hosting.host_name models.llm-prod.internal"),
    "a fallback that nobody offers": ("models.0.fallbacks", ["gone"], "must be out of nova-lite, titan-embed"),
    "a fallback to itself": ("models.0.fallbacks", ["nova-lite"], "must be other chat models"),
    "a fallback that embeds": ("models.0.fallbacks", ["titan-embed"], "must be other chat models"),
    "a looser fallback": ("models.2.fallbacks", ["nova-lite"], "of boundary self_hosted or stricter"),
    "a smaller fallback": ("models.0.fallbacks", ["assistant"], "with 300000 tokens of context or more"),
    "alarms that nobody hears": ("alarm_recipients", [], "must name somebody"),
    "alarms to a name": ("alarm_recipients", ["security team"], "an e-mail address"),
    "a release for which nobody answers": ("redaction_approver_role", None, "set in prod"),
    "a role of another environment": ("deployer_role", "llm-pipelines-dev-deployer", "must not name environment dev"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_value_is_refused_with_field_and_allowed_values(what: str) -> None:
    field, value, allowed = REFUSED[what]

    with pytest.raises(ConfigurationError) as refusal:
        Environment.load(changed(environment_values("prod"), {field: value}))

    assert allowed in str(refusal.value)
    assert field.split(".")[0] in str(refusal.value)


# One row: what dev's file holds beside its own values, and what the refusal must say.
_GPU = {**environment_values("prod")["self_hosting"], "host_name": "models.llm-dev.internal"}
_GPU["administrator_role"] = "llm-pipelines-dev-operator"
REFUSED_IN_DEV: dict[str, tuple[Values, str]] = {
    "a GPU family for production": ({"instance_type": "p5.48xlarge"}, "g4dn, g5, g6"),
    "a capacity block": (
        {"capacity": "capacity_block", "reservation_id": "cr-0123456789abcdef0", "zone": "us-east-1a"},
        "no capacity block",
    ),
}


@pytest.mark.parametrize("what", REFUSED_IN_DEV)
def test_d_13_dev_rents_no_expensive_gpu(what: str) -> None:
    changes, allowed = REFUSED_IN_DEV[what]
    nodes = [{**_GPU["gpu_nodes"][0], **changes}]

    with pytest.raises(ConfigurationError, match=allowed):
        Environment.load(changed(environment_values("dev"), {"self_hosting": {**_GPU, "gpu_nodes": nodes}}))


def test_d_13_dev_rents_a_small_gpu_by_the_hour() -> None:
    environment = Environment.load(changed(environment_values("dev"), {"self_hosting": _GPU}))

    assert environment.self_hosting is not None
    assert environment.self_hosting.gpu_nodes[0].instance_type == "g6.2xlarge"


def test_a_fallback_as_strict_and_as_large_is_accepted_and_told_to_the_gateway() -> None:
    values = environment_values("prod")
    values["models"][3]["fallbacks"] = ["assistant"]
    told = [_written(model, "upstream")["fallbacks"] for model in Environment.load(values).models]
    assert told == [None, None, None, ["assistant"]]


def test_a_public_model_needs_public_data_and_is_the_only_way_out() -> None:
    public = {**_SELF_HOSTED, "id": "public", "base_url": "https://api.example.com/v1", "boundary": "public_api"}
    values = environment_values("dev")
    values["models"].append(public)

    assert Environment.load(values).egress_domains == ("api.example.com",)
    with pytest.raises(ConfigurationError, match="need data class public"):
        Environment.load(changed(values, {"data_classes": ["internal"]}))


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_no_environment_leaves_the_network_as_it_is_written(stack: str) -> None:
    assert Environment.load(environment_values(stack)).egress_domains == ()


@pytest.mark.parametrize(
    "field",
    ["regoin", "network.subnets", "gateway.tls", "database.password", "models.0.endpoint", "issuers.0.jwks"],
)
def test_an_unknown_field_is_refused_with_the_fields_that_exist(field: str) -> None:
    with pytest.raises(ConfigurationError, match="unknown field \\(allowed: "):
        Environment.load(changed(environment_values("dev"), {field: "x"}))


def _leaves(values: Any, path: str = "") -> list[str]:
    if isinstance(values, dict):
        return [leaf for key, inner in values.items() for leaf in _leaves(inner, f"{path}.{key}".lstrip("."))]
    if isinstance(values, list):
        return [leaf for index, inner in enumerate(values) for leaf in _leaves(inner, f"{path}.{index}")]
    return [path]


def _missing(values: Values, path: str) -> Values:
    parent, _, last = path.rpartition(".")
    result = changed(values, {})
    place: Any = result
    for step in parent.split(".") if parent else []:
        place = place[int(step)] if isinstance(place, list) else place[step]
    del place[last if isinstance(place, dict) else int(last)]
    return result


# Entries of lists and of the map of workloads may be left out; fields may not.
FIELDS = [
    leaf
    for leaf in _leaves(environment_values("prod"))
    if not leaf[-1].isdigit() and not leaf.startswith("workload_deployers")
]


@pytest.mark.parametrize("field", FIELDS)
def test_nothing_has_a_silent_default(field: str) -> None:
    with pytest.raises(ConfigurationError):
        Environment.load(_missing(environment_values("prod"), field))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_field_of_dev_can_name_production(data: st.DataObject) -> None:
    values = environment_values("dev")
    texts = [leaf for leaf in _leaves(values) if not leaf.startswith("accounts")]
    field = data.draw(st.sampled_from(texts))
    foreign = data.draw(
        st.sampled_from(
            [
                "333344445555",
                "arn:aws:kms:us-east-1:333344445555:key/x",
                "gateway.llm-prod.internal",
                "alias/llm-prod-x",
            ]
        )
    )

    with pytest.raises(ConfigurationError):
        Environment.load(changed(values, {field: foreign}))


def test_a_model_server_of_ones_own_is_accepted_in_local_only() -> None:
    local = Environment.load(environment_values("local")).with_model_url("http://127.0.0.1:9000/v1", "Qwen/Qwen3-8B")

    served = [model.model_dump() for model in local.models if model.id == "local"]
    assert [(one["base_url"], one["upstream_model"]) for one in served] == [
        ("http://127.0.0.1:9000/v1", "Qwen/Qwen3-8B")
    ]
    with pytest.raises(ConfigurationError, match="modelUrl: accepted in environment local only"):
        Environment.load(environment_values("dev")).with_model_url("http://127.0.0.1:9000/v1", "local")
