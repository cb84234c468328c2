"""What must hold between the fields of an environment; each check names the field and what is allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from components.address_plan import plan_way_out
from components.cross_region_inference import UnlistedProfile, destinations
from components.egress_hosts import refuse_open_hosts
from stacks.classification import TREATMENTS, Boundary, DataClass, Residency, strictest
from stacks.environment.models import OpenAIModel
from stacks.environment.name import EnvironmentName
from stacks.environment.retention import LockMode
from stacks.separation import foreign_environments, texts

if TYPE_CHECKING:
    from stacks.environment.environment import Environment
    from stacks.environment.models import BedrockModel, Model
    from stacks.environment.self_hosting import GpuNodeGroup, SelfHosting

# GPU families that a development account may rent by the hour.
DEV_GPU_FAMILIES = ("g4dn", "g5", "g6")


def _zones_in_region(environment: Environment) -> None:
    wrong = [zone for zone in environment.network.zones if not re.fullmatch(environment.region + "[a-h]", zone)]
    if wrong:
        raise ValueError(f"network.zones must lie in {environment.region}: {environment.region}a to h (got {wrong})")


def _reachable(environment: Environment) -> None:
    """Without a hub nobody could call, and no token could be checked: there is no other way out."""
    network = environment.network
    local = environment.name is EnvironmentName.LOCAL
    if local is bool(network.transit_gateway_id) or local is bool(network.issuer_cidrs):
        wanted = "empty in local" if local else "set outside local: they are the only way to callers and issuers"
        raise ValueError(
            f"network.transit_gateway_id and network.issuer_cidrs must be {wanted} "
            f"(got {network.transit_gateway_id!r}, {list(network.issuer_cidrs)})"
        )
    own = ipaddress.IPv4Network(network.cidr)
    for cidr in (*network.client_cidrs, *network.issuer_cidrs):
        if own.overlaps(ipaddress.IPv4Network(cidr)):
            raise ValueError(f"network.client_cidrs and issuer_cidrs must not overlap network.cidr (got {cidr!r})")


def _ways_out_are_named(environment: Environment) -> None:
    """A way to the internet leads to named hosts, and only out of a network that is ours to route."""
    if not environment.egress_domains:
        return
    refuse_open_hosts(environment.egress_domains)
    plan_way_out(environment.network.cidr, environment.network.zones)
    if environment.network.existing:
        raise ValueError(
            "models with boundary public_api must not be offered with network.existing: the way out of a VPC belongs "
            f"to its owner (got {list(environment.egress_domains)})"
        )


def _locked_as_long_as_promised(environment: Environment) -> None:
    retention = environment.retention
    production = environment.name is EnvironmentName.PROD
    if production and (retention.evidence_lock is not LockMode.COMPLIANCE or retention.evidence_days < 400):
        raise ValueError(
            "retention in prod must be evidence_lock COMPLIANCE and evidence_days 400 or more "
            f"(got {retention.evidence_lock.value}, {retention.evidence_days})"
        )
    if not production and (retention.evidence_lock is not LockMode.GOVERNANCE or not 1 <= retention.evidence_days <= 7):
        raise ValueError(
            "retention outside prod must be evidence_lock GOVERNANCE and evidence_days 1 to 7, or nothing can be "
            f"taken down again (got {retention.evidence_lock.value}, {retention.evidence_days})"
        )


def _content_as_short_as_demanded(environment: Environment) -> None:
    data_class = strictest(environment.data_classes)
    most = TREATMENTS[data_class].content_retention_days_max
    if not 1 <= environment.retention.content_days <= most:
        raise ValueError(
            f"retention.content_days must be 1 to {most} for data class {data_class.value} "
            f"(got {environment.retention.content_days})"
        )


def _protected_where_it_counts(environment: Environment) -> None:
    if environment.name is EnvironmentName.PROD and not environment.deletion_protection:
        raise ValueError("deletion_protection must be true in prod (got False)")


def _plain_text_on_loopback_only(environment: Environment) -> None:
    gateway = environment.gateway
    local = environment.name is EnvironmentName.LOCAL
    allowed = "http://" + gateway.listen if local else "https://" + gateway.host_name
    if gateway.url != allowed:
        raise ValueError(f"gateway.url must be {allowed} (got {gateway.url!r})")
    if gateway.listen.startswith("127.") is not local:
        wanted = "a 127.0.0.1 address in local" if local else "an address that the load balancer reaches: 0.0.0.0:8443"
        raise ValueError(f"gateway.listen must be {wanted} (got {gateway.listen!r})")
    loopback = [url for url in _base_urls(environment) if url.startswith("http://")]
    if loopback and not local:
        raise ValueError(f"issuers and models must use https outside local (got {loopback})")


def _base_urls(environment: Environment) -> Iterator[str]:
    yield from (issuer.issuer for issuer in environment.issuers)
    yield from (model.base_url for model in environment.models if isinstance(model, OpenAIModel))


def _one_catalogue(environment: Environment) -> None:
    ids = [model.id for model in environment.models]
    if len(set(ids)) != len(ids):
        raise ValueError(f"models must have different ids (got {ids})")
    if not any(model.kind == "chat" for model in environment.models):
        raise ValueError(f"models must hold at least one chat model (got {ids})")
    embeddings = [model.id for model in environment.models if model.kind == "embedding"]
    if environment.embedding_model not in embeddings:
        raise ValueError(
            f"embedding_model must be an embedding model out of models: {', '.join(embeddings) or 'none is listed'} "
            f"(got {environment.embedding_model!r})"
        )


def _within_its_boundaries(environment: Environment) -> None:
    for model in environment.bedrock_models:
        alone = model.destination_regions == (environment.region,)
        if not model.geo_profile and not alone:
            raise ValueError(
                f"models.{model.id}.destination_regions must be [{environment.region}] without a geo_profile "
                f"(got {list(model.destination_regions)})"
            )
        if model.geo_profile:
            _within_the_geography(environment, model)


def _within_the_geography(environment: Environment, model: BedrockModel) -> None:
    """A geographic profile needs a decision on residency, and permissions for exactly the regions AWS may pick."""
    if environment.residency is not Residency.GEOGRAPHY:
        raise ValueError(
            f"models.{model.id}.geo_profile must be empty with residency region (got {model.geo_profile!r}): "
            "a private endpoint keeps a call off the internet, not in its region"
        )
    try:
        listed = destinations(model.geo_profile, environment.region)
    except UnlistedProfile as error:
        raise ValueError(f"models.{model.id}.geo_profile: {error}") from None
    if not model.geo_profile.endswith(f".{model.foundation_model}"):
        raise ValueError(
            f"models.{model.id}.geo_profile must be of foundation_model {model.foundation_model} "
            f"(got {model.geo_profile!r})"
        )
    if set(model.destination_regions) != set(listed) or len(model.destination_regions) != len(listed):
        raise ValueError(
            f"models.{model.id}.destination_regions must be those of {model.geo_profile}: {', '.join(listed)} "
            f"(got {list(model.destination_regions)})"
        )


def _resident_as_demanded(environment: Environment) -> None:
    """Residency is of the whole environment: a model cannot know whose data it is going to see."""
    bound = [each.value for each in environment.data_classes if TREATMENTS[each].residency is Residency.REGION]
    if environment.residency is Residency.GEOGRAPHY and bound:
        raise ValueError(
            f"residency must be region where data classes {', '.join(bound)} are held: their data stays in "
            f"{environment.region} (got geography)"
        )
    if environment.guardrail_tier == "STANDARD" and environment.residency is not Residency.GEOGRAPHY:
        raise ValueError(
            "guardrail_tier must be CLASSIC with residency region: AWS runs STANDARD across regions (got STANDARD)"
        )


def _encrypted_where_it_counts(environment: Environment) -> None:
    if environment.name is EnvironmentName.PROD and environment.network.encryption != "enforce":
        raise ValueError(f"network.encryption must be enforce in prod (got {environment.network.encryption!r})")


def _nodes_within_the_environment(environment: Environment) -> None:
    hosting = environment.self_hosting
    if hosting is None:
        return
    if environment.network.existing:
        raise ValueError(
            "self_hosting must not be set together with network.existing: network policies inside the cluster are "
            "written from the address plan, which an adopted VPC does not follow (got both)"
        )
    _service_addresses_apart(environment, hosting)
    for group in hosting.gpu_nodes:
        if group.zone and group.zone not in environment.network.zones:
            raise ValueError(
                f"self_hosting.gpu_nodes.{group.name}.zone must be one of network.zones: "
                f"{', '.join(environment.network.zones)} (got {group.zone!r})"
            )
        if environment.name is EnvironmentName.DEV:
            _affordable_in_dev(group)


def _service_addresses_apart(environment: Environment, hosting: SelfHosting) -> None:
    services = ipaddress.IPv4Network(hosting.service_cidr)
    network = environment.network
    for cidr in (network.cidr, *network.client_cidrs, *network.issuer_cidrs):
        if services.overlaps(ipaddress.IPv4Network(cidr)):
            raise ValueError(
                f"self_hosting.service_cidr must overlap neither the network nor what the hub routes "
                f"(got {hosting.service_cidr!r}, which overlaps {cidr})"
            )


def _affordable_in_dev(group: GpuNodeGroup) -> None:
    family = group.instance_type.partition(".")[0]
    if family not in DEV_GPU_FAMILIES or group.capacity == "capacity_block":
        raise ValueError(
            f"self_hosting.gpu_nodes.{group.name} in dev must be of family {', '.join(DEV_GPU_FAMILIES)}, "
            f"and no capacity block (got {group.instance_type}, {group.capacity})"
        )


def _served_where_it_is_hosted(environment: Environment) -> None:
    """Outside local a self-hosted model answers at the name of our own model servers, nowhere else."""
    if environment.name is EnvironmentName.LOCAL:
        return
    host = environment.self_hosting.host_name if environment.self_hosting else ""
    for model in environment.models:
        if not isinstance(model, OpenAIModel) or model.boundary is Boundary.PUBLIC_API:
            continue
        if model.host != host:
            raise ValueError(
                f"models.{model.id}.base_url must be at self_hosting.host_name "
                f"{host or '(self_hosting is not set)'} (got {model.base_url!r})"
            )


def _public_models_for_public_data(environment: Environment) -> None:
    public = [model.id for model in environment.models if model.boundary is Boundary.PUBLIC_API]
    if public and DataClass.PUBLIC not in environment.data_classes:
        raise ValueError(
            f"models with boundary public_api need data class public in data_classes (got {public}, "
            f"{[data_class.value for data_class in environment.data_classes]})"
        )


def _released_from_prod_only(environment: Environment) -> None:
    production = environment.name is EnvironmentName.PROD
    if production is not bool(environment.redaction_approver_role):
        wanted = "set in prod: somebody answers for what is released" if production else "empty outside prod"
        raise ValueError(f"redaction_approver_role must be {wanted} (got {environment.redaction_approver_role!r})")


def _somebody_is_told(environment: Environment) -> None:
    if not environment.alarm_recipients and environment.name is not EnvironmentName.LOCAL:
        raise ValueError("alarm_recipients must name somebody who is told when evidence is in danger (got none)")


def _fallbacks_stand_in(environment: Environment) -> None:
    """As the gateway demands when it starts, said before anything is deployed."""
    models = {model.id: model for model in environment.models}
    for model in environment.models:
        for name in model.fallbacks:
            if name not in models:
                raise ValueError(f"models.{model.id}.fallbacks must be out of {', '.join(models)} (got {name!r})")
            if not _stands_in(models[name], model):
                raise ValueError(
                    f"models.{model.id}.fallbacks must be other chat models of boundary {model.boundary.value} or "
                    f"stricter, with {model.context_tokens_max} tokens of context or more, that take images if it does "
                    f"and do not fall back to it (got {name!r})"
                )


def _stands_in(other: Model, model: Model) -> bool:
    """Whether `other` may answer in place of `model`."""
    strictness = list(Boundary)
    return (
        (model.kind, other.kind) == ("chat", "chat")
        and model.id not in (other.id, *other.fallbacks)
        and strictness.index(other.boundary) >= strictness.index(model.boundary)
        and other.context_tokens_max >= model.context_tokens_max
        and other.takes_images >= model.takes_images
    )


def _own_account_only(environment: Environment) -> None:
    """No value but `accounts` may name another environment, nor any account but our own."""
    own = environment.name.value
    for field, text in texts(environment.model_dump(mode="json", exclude={"accounts"})):
        named_accounts = set(re.findall(r"arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):", text))
        named_accounts |= {account for account in environment.accounts.values() if account in text}
        for account in sorted(named_accounts - {environment.account_id}):
            raise ValueError(f"{field} must name account {environment.account_id} only (got {account} in {text!r})")
        for named in foreign_environments(own, text):
            raise ValueError(f"{field} of environment {own} must not name environment {named} (got {text!r})")


CHECKS: tuple[Callable[[Environment], None], ...] = (
    _own_account_only,
    _zones_in_region,
    _reachable,
    _ways_out_are_named,
    _locked_as_long_as_promised,
    _content_as_short_as_demanded,
    _protected_where_it_counts,
    _plain_text_on_loopback_only,
    _one_catalogue,
    _fallbacks_stand_in,
    _within_its_boundaries,
    _resident_as_demanded,
    _encrypted_where_it_counts,
    _nodes_within_the_environment,
    _served_where_it_is_hosted,
    _public_models_for_public_data,
    _released_from_prod_only,
    _somebody_is_told,
)
