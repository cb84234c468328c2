"""Environment: everything that differs between local, dev, staging and prod, and nothing else.

One program serves all environments; only these values differ. The object is read from the configuration
key `environment` of `Pulumi.<stack>.yaml`. A wrong value is refused before any resource exists, with the
field and what is allowed; so is a value that names another environment or its account.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from stacks.classification import TREATMENTS, Boundary, DataClass, strictest
from stacks.configuration import AccountId, ConfigurationError, ImageDigest, Name, Price, Section, load, text_like

ZONES_MAX = 8
PREFIX_LENGTHS = range(16, 21)
# What CloudWatch Logs accepts: up to three months for content, from a month up for logs.
CONTENT_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90)
LOG_RETENTION_DAYS = (30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


class EnvironmentName(StrEnum):
    LOCAL = "local"
    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class LockMode(StrEnum):
    """Object Lock: under COMPLIANCE nobody, not even the root user, can delete before the time is over."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


def _private_network(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"must be an IPv4 network such as 10.20.0.0/16 (got {value!r}: {error})") from None
    if not any(network.subnet_of(block) for block in _PRIVATE_BLOCKS):
        raise ValueError(f"must lie in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 (got {value!r})")
    return value


_PRIVATE_BLOCKS = tuple(ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))

PrivateNetworkCidr = Annotated[str, AfterValidator(_private_network)]
Region = Literal["eu-central-1", "eu-west-1", "us-east-1", "us-west-2"]
ModelId = Annotated[str, AfterValidator(text_like(r"[a-z0-9][a-z0-9._-]{0,63}", "a model id of a-z, 0-9, . _ -"))]
ServedModel = Annotated[
    str,
    AfterValidator(text_like(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", "the name under which a server offers a model")),
]
FoundationModel = Annotated[
    str, AfterValidator(text_like(r"[a-z0-9-]+\.[a-z0-9.:-]+", "a Bedrock model id such as amazon.nova-lite-v1:0"))
]
RoleName = Annotated[str, AfterValidator(text_like(r"[A-Za-z0-9+=,.@_-]{1,64}", "the name of an IAM role, no path"))]
HostName = Annotated[
    str, AfterValidator(text_like(r"([a-z0-9-]{1,63}\.){1,8}[a-z]{2,63}", "a host name such as gateway.llm.internal"))
]
TransitGatewayId = Annotated[
    str, AfterValidator(text_like(r"(tgw-[0-9a-f]{17})?", "the id of a transit gateway, or empty in local"))
]
ListenAddress = Annotated[
    str, AfterValidator(text_like(r"\d{1,3}(\.\d{1,3}){3}:\d{2,5}", "an IPv4 address and a port: 0.0.0.0:8443"))
]
CertificateArn = Annotated[
    str,
    AfterValidator(
        text_like(r"arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]{36}", "the ARN of an ACM certificate")
    ),
]
BaseUrl = Annotated[
    str,
    AfterValidator(
        text_like(
            r"(https://[^\s/@?#]+|http://(127\.0\.0\.1|localhost))(:\d{1,5})?(/[^\s?#]*)?",
            "a base URL with https (http to 127.0.0.1 and localhost only)",
        )
    ),
]


class Network(Section):
    cidr: PrivateNetworkCidr
    """The whole VPC; /16 to /20."""
    zones: tuple[str, ...]
    """Availability zones, at least two: databases and the load balancer demand it."""
    client_cidrs: tuple[PrivateNetworkCidr, ...]
    """Private networks whose clients may call the gateway."""
    issuer_cidrs: tuple[PrivateNetworkCidr, ...]
    """Private networks where the OIDC issuers answer: the gateway fetches their signing keys there."""
    transit_gateway_id: TransitGatewayId
    """The hub through which clients and issuers are reached; empty in local, where all is on one machine."""

    @field_validator("cidr")
    @classmethod
    def _room_for_every_subnet(cls, value: str) -> str:
        prefix = ipaddress.IPv4Network(value).prefixlen
        if prefix not in PREFIX_LENGTHS:
            raise ValueError(
                f"must be /16 to /20 (got /{prefix}): AWS makes no larger VPC than /16, and four tiers of "
                f"{ZONES_MAX} zones leave fewer than 128 addresses a subnet below /20"
            )
        return value

    @field_validator("zones")
    @classmethod
    def _two_zones(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not 2 <= len(set(value)) == len(value) <= ZONES_MAX:
            raise ValueError(f"must be 2 to {ZONES_MAX} different availability zones (got {list(value)})")
        return value


class Retention(Section):
    evidence_days: int
    evidence_lock: LockMode
    content_days: int
    """Prompts and answers in the model invocation log: as short as the strictest data class demands."""
    log_days: int

    @field_validator("content_days", "log_days")
    @classmethod
    def _known_to_cloudwatch(cls, value: int, field: ValidationInfo) -> int:
        allowed = CONTENT_RETENTION_DAYS if field.field_name == "content_days" else LOG_RETENTION_DAYS
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(map(str, allowed))} (got {value})")
        return value


class Issuer(Section):
    """An OIDC issuer whose tokens the gateway accepts, as GATEWAY_OIDC_ISSUERS spells it."""

    issuer: BaseUrl
    audience: Name
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"], ...] = ("RS256",)

    @field_validator("algorithms")
    @classmethod
    def _at_least_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one of RS256, PS256, ES256, ES384, EdDSA (got none)")
        return value


class Gateway(Section):
    image_digest: ImageDigest
    cpu: Literal[256, 512, 1024, 2048, 4096]
    memory_mib: Literal[512, 1024, 2048, 4096, 8192, 16384]
    tasks: Annotated[int, Field(ge=1, le=50)]
    listen: ListenAddress
    """Where the container listens. Plain HTTP on loopback only; TLS 1.3 everywhere else."""
    host_name: HostName
    url: BaseUrl
    """What clients use as base URL."""
    certificate_arn: CertificateArn

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class Database(Section):
    engine_version: Annotated[
        str, AfterValidator(text_like(r"1[67]\.\d{1,2}", "an Aurora PostgreSQL version: 16.x, 17.x"))
    ]
    capacity_min: Annotated[float, Field(ge=0.5, le=128)]
    capacity_max: Annotated[float, Field(ge=1, le=256)]
    instances: Annotated[int, Field(ge=1, le=4)]
    backup_days: Annotated[int, Field(ge=1, le=35)]
    tls_min: Literal["TLSv1.2", "TLSv1.3"]
    """What the server accepts at least; the gateway itself never speaks less than TLS 1.3."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.capacity_min > self.capacity_max:
            raise ValueError(
                f"capacity_min must not exceed capacity_max (got {self.capacity_min} > {self.capacity_max})"
            )
        return self


class Cache(Section):
    data_gb_max: Annotated[int, Field(ge=1, le=100)]
    ecpu_per_second_max: Annotated[int, Field(ge=1000, le=1_000_000)]


class _Offer(Section):
    id: ModelId
    kind: Literal["chat", "embedding"]
    boundary: Boundary
    context_tokens_max: Annotated[int, Field(ge=128, le=2_000_000)]
    usd_per_million_input_tokens: Price
    usd_per_million_output_tokens: Price


class OpenAIModel(_Offer):
    """A model behind an OpenAI-compatible server: our own model server, or a provider's API."""

    backend: Literal["openai"]
    base_url: BaseUrl
    upstream_model: ServedModel


class BedrockModel(_Offer):
    """A Bedrock model, called through an application inference profile that this program makes."""

    backend: Literal["bedrock"]
    foundation_model: FoundationModel
    geo_profile: str = ""
    """A geographic profile such as us.amazon.nova-lite-v1:0; empty: in this region only."""
    destination_regions: tuple[Region, ...]

    @field_validator("geo_profile")
    @classmethod
    def _never_global(cls, value: str) -> str:
        if value and not re.fullmatch(r"(us|eu|apac)\.[a-z0-9-]+\.[a-z0-9.:-]+", value):
            raise ValueError(f"must be empty or a profile of us, eu or apac, never global (got {value!r})")
        return value

    @model_validator(mode="after")
    def _private(self) -> Self:
        if self.boundary is not Boundary.PRIVATE_ENDPOINT:
            raise ValueError(f"boundary of a Bedrock model must be private_endpoint (got {self.boundary.value!r})")
        return self


Model = Annotated[OpenAIModel | BedrockModel, Field(discriminator="backend")]


class Environment(Section):
    name: EnvironmentName
    region: Region
    accounts: dict[EnvironmentName, AccountId]
    """The account of every environment: one each, so that no value can name another's by mistake."""
    owner: Name
    cost_center: Name
    deployer_role: RoleName
    break_glass_role: RoleName
    data_classes: tuple[DataClass, ...]
    account_singletons: Literal["managed", "external"]
    """Settings that exist once per account and region: managed here, or by somebody else."""
    deletion_protection: bool
    network: Network
    retention: Retention
    gateway: Gateway
    issuers: tuple[Issuer, ...]
    database: Database
    cache: Cache
    models: tuple[Model, ...]
    embedding_model: ModelId
    embedding_dimensions: Literal[256, 384, 512, 1024]
    workload_deployers: dict[Name, RoleName]
    """Per workload the role that deploys it: the only one that may write its registration."""

    @classmethod
    def load(cls, values: Mapping[str, object]) -> Environment:
        """Reads and judges the configuration of one environment; raises ConfigurationError."""
        return load(cls, values, "environment")

    @property
    def account_id(self) -> str:
        return self.accounts[self.name]

    @property
    def prefix(self) -> str:
        """In front of every name that must be known before the resource exists."""
        return f"llm-pipelines-{self.name.value}"

    @property
    def tags(self) -> dict[str, str]:
        return {
            "project": "llm-pipelines",
            "env": self.name.value,
            "owner": self.owner,
            "cost-center": self.cost_center,
            "data-class": strictest(self.data_classes).value,
        }

    @property
    def bedrock_models(self) -> tuple[BedrockModel, ...]:
        return tuple(model for model in self.models if isinstance(model, BedrockModel))

    def with_model_url(self, url: str, served_model: str) -> Environment:
        """The same environment with the self-hosted chat model at `url`, there named `served_model`. Local only."""
        if self.name is not EnvironmentName.LOCAL:
            raise ConfigurationError(f"modelUrl: accepted in environment local only (got it in {self.name.value})")
        changed = {"local": {"base_url": url, "upstream_model": served_model}}
        models = [{**model.model_dump(mode="json"), **changed.get(model.id, {})} for model in self.models]
        return Environment.load({**self.model_dump(mode="json"), "models": models})

    @field_validator("accounts")
    @classmethod
    def _one_account_each(cls, value: dict[EnvironmentName, str]) -> dict[EnvironmentName, str]:
        missing = [name.value for name in EnvironmentName if name not in value]
        if missing or len(set(value.values())) != len(value):
            raise ValueError(
                f"must give local, dev, staging and prod one account each "
                f"(missing: {', '.join(missing) or 'none'}; different accounts: {len(set(value.values()))})"
            )
        return value

    @field_validator("data_classes", "issuers")
    @classmethod
    def _not_empty(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if not value:
            raise ValueError("must not be empty (got none)")
        return value

    @model_validator(mode="after")
    def _of_one_piece(self) -> Self:
        for check in _CHECKS:
            check(self)
        return self


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
    chat = [model.id for model in environment.bedrock_models if model.kind == "chat"]
    if len(chat) != 1:
        raise ValueError(f"models must hold exactly one Bedrock chat model: permissions name one (got {chat})")
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
        if model.geo_profile and environment.region not in model.destination_regions:
            raise ValueError(f"models.{model.id}.destination_regions must hold {environment.region}")


def _own_account_only(environment: Environment) -> None:
    """No value but `accounts` may name another environment, nor any account but our own."""
    own = environment.name.value
    others = {name.value for name in EnvironmentName} - {own}
    for field, text in _texts(environment.model_dump(mode="json", exclude={"accounts"})):
        named_accounts = set(re.findall(r"arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):", text))
        named_accounts |= {account for account in environment.accounts.values() if account in text}
        for account in sorted(named_accounts - {environment.account_id}):
            raise ValueError(f"{field} must name account {environment.account_id} only (got {account} in {text!r})")
        for named in others.intersection(re.split(r"[^a-z0-9]+", text.lower())):
            raise ValueError(f"{field} of environment {own} must not name environment {named} (got {text!r})")


def _texts(value: object, field: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{field}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{field}.{index}")


_CHECKS = (
    _own_account_only,
    _zones_in_region,
    _reachable,
    _locked_as_long_as_promised,
    _content_as_short_as_demanded,
    _protected_where_it_counts,
    _plain_text_on_loopback_only,
    _one_catalogue,
    _within_its_boundaries,
)
