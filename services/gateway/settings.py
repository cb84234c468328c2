"""Settings of the gateway: from the environment only, complete and safe, or no start.

Every variable is set by the ECS task definition (`components/gateway_service.py`); a contract test
compares the two. Plain-text connections are accepted to loopback addresses only; every other
connection uses TLS 1.3 with verification. There is no switch that turns a protection off.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from services.gateway.exchange import Boundary, ModelOffer
from services.gateway.setting_list import AWS_ENDPOINTS, BY_NAME, KEY_LOG

OUTAGE_S_MAX = 3600  # how long an issuer's keys may count while it cannot be reached
FALLBACKS_MAX = 3  # of one model
STRICTNESS = {boundary: rank for rank, boundary in enumerate(Boundary)}
ENVIRONMENTS = ("local", "dev", "staging", "prod")
OPERATIONS_OFFSET = 1010
PORT_MAX = 65535
# RFC 1918, RFC 6598 (shared address space) and RFC 4193
PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)


class SettingsError(Exception):
    """A setting is missing or unsafe. The message names the variable and what is allowed."""


class ClaimPaths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an issuer's tokens say the tenant, the roles and the workload: names from the outside in."""

    tenant: tuple[str, ...] = ("tenant",)
    roles: tuple[str, ...] = ("roles",)
    workload: tuple[str, ...] = ("workload",)


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What exactly one subject is: an AWS role's ARN, or a CI job as its provider writes it."""

    subject: str
    tenant: str
    roles: tuple[str, ...]
    workload: str


class Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One OIDC issuer whose tokens are accepted. `algorithms` is an allow-list of asymmetric algorithms.

    Where `subjects` are named, no other subject of the issuer passes and no claim is looked at for what it is.
    `outage_s_max`: how long its keys go on counting while it cannot be reached; an hour is the most there is.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    claims: ClaimPaths = ClaimPaths()
    subjects: tuple[Subject, ...] = ()
    outage_s_max: int = OUTAGE_S_MAX


class _Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    kind: str
    backend: str
    upstream_model: str
    boundary: Boundary
    context_tokens_max: int
    usd_per_million_input_tokens: str
    usd_per_million_output_tokens: str
    base_url: str = ""
    workload_profiles: dict[str, str] = {}
    usd_per_million_cache_read_tokens: str | None = None
    usd_per_million_cache_write_tokens: str | None = None
    guardrail_id: str = ""
    guardrail_version: str = ""
    takes_images: bool = False
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port. `loopback` decides whether plain text is acceptable."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Settings:
    environment: str
    region: str
    listen: Address
    issuers: tuple[Issuer, ...]
    database: Address
    database_name: str
    database_user: str
    valkey: Address
    valkey_user: str
    registration_bucket: str
    registration_key_arn: str
    audit_bucket: str
    audit_signing_key_arn: str
    audit_mac_key_arn: str
    models: tuple[ModelOffer, ...]
    embedding_model: str
    embedding_dimensions: int
    model_authority: str
    """PEM: the private authority that vouches for our own model servers; empty where none is called over TLS."""
    operations_listen: Address = Address("127.0.0.1", 9453)
    telemetry_endpoint: str = ""
    """Base URL of an OTLP collector; empty: no traces and no figures are sent."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Reads and judges every variable; raises SettingsError naming the first that is wrong."""
        read = _Reader(environ)
        read.surroundings()
        models = read.models("GATEWAY_MODELS")
        listen = read.address("GATEWAY_LISTEN")
        settings = cls(
            environment=read.choice("GATEWAY_ENVIRONMENT", ENVIRONMENTS),
            region=read.text("AWS_REGION"),
            listen=listen,
            issuers=read.issuers("GATEWAY_OIDC_ISSUERS"),
            database=read.address("GATEWAY_DATABASE"),
            database_name=read.text("GATEWAY_DATABASE_NAME"),
            database_user=read.text("GATEWAY_DATABASE_USER"),
            valkey=read.address("GATEWAY_VALKEY"),
            valkey_user=read.text("GATEWAY_VALKEY_USER"),
            registration_bucket=read.text("GATEWAY_REGISTRATION_BUCKET"),
            registration_key_arn=read.arn("GATEWAY_REGISTRATION_KEY_ARN", "kms"),
            audit_bucket=read.text("GATEWAY_AUDIT_BUCKET"),
            audit_signing_key_arn=read.arn("GATEWAY_AUDIT_SIGNING_KEY_ARN", "kms"),
            audit_mac_key_arn=read.arn("GATEWAY_AUDIT_MAC_KEY_ARN", "kms"),
            models=models,
            embedding_model=read.text("GATEWAY_EMBEDDING_MODEL"),
            embedding_dimensions=read.integer("GATEWAY_EMBEDDING_DIMENSIONS", 8, 4096),
            model_authority=read.certificates("GATEWAY_MODEL_AUTHORITY") if own_model_hosts(models) else "",
            operations_listen=read.private_address("GATEWAY_OPERATIONS_LISTEN", beside(listen)),
            telemetry_endpoint=read.optional_url("GATEWAY_TELEMETRY_ENDPOINT"),
        )
        kinds = {offer.id: offer.kind for offer in settings.models}
        if kinds.get(settings.embedding_model) != "embedding":
            allowed = sorted(name for name, kind in kinds.items() if kind == "embedding")
            raise SettingsError(
                f"GATEWAY_EMBEDDING_MODEL must be the id of an embedding model in GATEWAY_MODELS "
                f"(got {settings.embedding_model!r}; allowed: {', '.join(allowed) or 'none is listed'})"
            )
        return settings


def own_model_hosts(models: Iterable[ModelOffer]) -> frozenset[str]:
    """The hosts of our own model servers that are reached over TLS: only their own authority vouches for them."""
    urls = (urlsplit(model.base_url) for model in models if model.boundary is Boundary.SELF_HOSTED)
    return frozenset(url.hostname for url in urls if url.scheme == "https" and url.hostname)


def beside(listen: Address) -> Address:
    """Where the operations port is when nobody says so: on loopback, OPERATIONS_OFFSET above the other one."""
    port = listen.port + OPERATIONS_OFFSET
    return Address("127.0.0.1", port if port <= PORT_MAX else listen.port - OPERATIONS_OFFSET)


def is_private(host: str) -> bool:
    """True for loopback and for addresses of private networks: never for a name, nor for all addresses at once."""
    if is_loopback(host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in PRIVATE_NETWORKS)


def is_loopback(host: str) -> bool:
    """True for localhost and loopback addresses: traffic that cannot leave the machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_safe_url(name: str, url: str) -> str:
    """Accepts https anywhere and http to loopback; refuses everything else, naming `name`."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise SettingsError(f"{name}: {url!r} is not a plain base URL")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return url.rstrip("/")
    raise SettingsError(f"{name}: {url!r} must use https (http is accepted to loopback addresses only)")


class _Reader:
    """Reads variables one by one; each method says what it allows."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def optional(self, name: str) -> str:
        """The value, or nothing. A name that the list does not hold is a mistake of ours."""
        return self._environ.get(BY_NAME[name].name, "").strip()

    def surroundings(self) -> None:
        """What libraries would do because of a variable of their own."""
        for name in sorted(self._environ):
            if name.startswith(AWS_ENDPOINTS) and self._environ[name]:
                require_safe_url(name, self._environ[name])
        if self._environ.get(KEY_LOG):
            raise SettingsError(f"{KEY_LOG} must not be set: the keys of every TLS connection would be written down")

    def text(self, name: str) -> str:
        value = self.optional(name)
        if not value:
            raise SettingsError(f"{name} is not set")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise SettingsError(f"{name} must be one of {', '.join(allowed)} (got {value!r})")
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        value = self.text(name)
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise SettingsError(f"{name} must be a whole number from {least} to {most} (got {value!r})")
        return int(value)

    def address(self, name: str) -> Address:
        value = self.text(name)
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise SettingsError(f"{name} must be host:port (got {value!r})")
        return Address(host.strip("[]"), int(port))

    def private_address(self, name: str, otherwise: Address) -> Address:
        if not self.optional(name):
            return otherwise
        address = self.address(name)
        if not is_private(address.host):
            raise SettingsError(
                f"{name} must be a loopback address or one of a private network (got {address.host!r}): "
                "what is told there is for operators"
            )
        return address

    def optional_url(self, name: str) -> str:
        url = self.optional(name)
        return require_safe_url(name, url) if url else ""

    def arn(self, name: str, service: str) -> str:
        value = self.text(name)
        if not re.fullmatch(rf"arn:aws[a-z-]*:{service}:[a-z0-9-]*:\d{{12}}:\S+", value):
            raise SettingsError(f"{name} must be an ARN of {service} (got {value!r})")
        return value

    def certificates(self, name: str) -> str:
        value = self.text(name)
        if "-----BEGIN CERTIFICATE-----" not in value or "PRIVATE KEY" in value:
            raise SettingsError(
                f"{name} must be one or more certificates in PEM (got {len(value)} characters of other text)"
            )
        return value

    def issuers(self, name: str) -> tuple[Issuer, ...]:
        issuers = _decode(name, self.text(name), tuple[Issuer, ...])
        if not issuers:
            raise SettingsError(f"{name} must name at least one issuer")
        for issuer in issuers:
            require_safe_url(f"{name}[].issuer", issuer.issuer)
            _require_asymmetric(f"{name}[].algorithms", issuer.algorithms)
            if not issuer.audience:
                raise SettingsError(f"{name}[].audience must not be empty")
            _require_outage(f"{name}[].outage_s_max", issuer.outage_s_max)
            _require_paths(f"{name}[].claims", issuer.claims)
            _require_subjects(f"{name}[].subjects", issuer.subjects)
        if len({issuer.issuer for issuer in issuers}) != len(issuers):
            raise SettingsError(f"{name}: two entries name the same issuer")
        return issuers

    def models(self, name: str) -> tuple[ModelOffer, ...]:
        offers = tuple(_offer(name, raw) for raw in _decode(name, self.text(name), tuple[_Offer, ...]))
        if len({offer.id for offer in offers}) != len(offers):
            raise SettingsError(f"{name}: two models share an id")
        _require_fallbacks(name, {offer.id: offer for offer in offers})
        return offers


T = TypeVar("T")


def _decode(name: str, text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{name}: {error}") from None


def _require_asymmetric(name: str, algorithms: tuple[str, ...]) -> None:
    allowed = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
    wrong = [algorithm for algorithm in algorithms if algorithm not in allowed]
    if wrong or not algorithms:
        raise SettingsError(f"{name} must be a non-empty list out of {', '.join(allowed)} (got {wrong})")


def _require_outage(name: str, seconds: int) -> None:
    if not 0 <= seconds <= OUTAGE_S_MAX:
        raise SettingsError(f"{name} must be a whole number from 0 to {OUTAGE_S_MAX} (got {seconds})")


def _require_paths(name: str, claims: ClaimPaths) -> None:
    for path in (claims.tenant, claims.roles, claims.workload):
        if not path or not all(path):
            raise SettingsError(f"{name}: a path must be one or more names (got {list(path)})")
        if "request_tags" in path:
            raise SettingsError(f"{name}: request_tags are the caller's own words (got {list(path)})")


def _require_subjects(name: str, subjects: tuple[Subject, ...]) -> None:
    for subject in subjects:
        if not (subject.subject and subject.tenant and subject.roles and all(subject.roles) and subject.workload):
            raise SettingsError(f"{name}: subject, tenant, roles and workload must not be empty (got {subject})")
    if len({subject.subject for subject in subjects}) != len(subjects):
        raise SettingsError(f"{name}: two entries name the same subject")


def _offer(name: str, raw: _Offer) -> ModelOffer:
    where = f"{name}[{raw.id!r}]"
    if raw.kind not in ("chat", "embedding"):
        raise SettingsError(f"{where}.kind must be chat or embedding (got {raw.kind!r})")
    if raw.backend not in ("openai", "bedrock", "sagemaker"):
        raise SettingsError(f"{where}.backend must be openai, bedrock or sagemaker (got {raw.backend!r})")
    if raw.backend == "sagemaker" and raw.kind != "chat":
        raise SettingsError(f"{where}.kind must be chat with backend sagemaker (got {raw.kind!r})")
    if raw.backend == "bedrock" and raw.kind == "chat" and not re.fullmatch(r"[1-9]\d*", raw.guardrail_version):
        raise SettingsError(f"{where}.guardrail_version must be a number, never DRAFT (got {raw.guardrail_version!r})")
    if raw.context_tokens_max < 1:
        raise SettingsError(f"{where}.context_tokens_max must be positive (got {raw.context_tokens_max})")
    return ModelOffer(
        id=raw.id,
        kind=raw.kind,
        backend=raw.backend,
        upstream_model=raw.upstream_model,
        workload_profiles=raw.workload_profiles,
        base_url=require_safe_url(f"{where}.base_url", raw.base_url) if raw.backend == "openai" else "",
        boundary=raw.boundary,
        context_tokens_max=raw.context_tokens_max,
        usd_per_million_input_tokens=_price(f"{where}.usd_per_million_input_tokens", raw.usd_per_million_input_tokens),
        usd_per_million_output_tokens=_price(
            f"{where}.usd_per_million_output_tokens", raw.usd_per_million_output_tokens
        ),
        usd_per_million_cache_read_tokens=_cache_price(where, "read", raw.usd_per_million_cache_read_tokens),
        usd_per_million_cache_write_tokens=_cache_price(where, "write", raw.usd_per_million_cache_write_tokens),
        guardrail_id=raw.guardrail_id,
        guardrail_version=raw.guardrail_version,
        takes_images=raw.takes_images,
        fallbacks=raw.fallbacks,
    )


def _require_fallbacks(name: str, offers: Mapping[str, ModelOffer]) -> None:
    """A fallback can stand in for its model in every respect, and chains have an end."""
    for offer in offers.values():
        where = f"{name}[{offer.id!r}].fallbacks"
        if offer.fallbacks and offer.kind != "chat":
            raise SettingsError(f"{where} must be empty: vectors of two embedding models cannot be compared")
        if len(set(offer.fallbacks)) != len(offer.fallbacks) or len(offer.fallbacks) > FALLBACKS_MAX:
            raise SettingsError(f"{where} must be up to {FALLBACKS_MAX} different models (got {list(offer.fallbacks)})")
        for fallback in offer.fallbacks:
            if fallback not in offers:
                raise SettingsError(f"{where}: {fallback!r} is not in the catalogue")
            if reason := _why_no_fallback(offer, offers[fallback]):
                raise SettingsError(f"{where}: {fallback!r} {reason}")
        if offer.id in _reached(offer.fallbacks, offers):
            raise SettingsError(f"{where}: they lead back to {offer.id!r}")


def _why_no_fallback(offer: ModelOffer, fallback: ModelOffer) -> str:
    """Why `fallback` cannot stand in for `offer`; empty when it can."""
    if fallback.kind != offer.kind:
        return f"is of kind {fallback.kind} (must be {offer.kind})"
    if STRICTNESS[fallback.boundary] < STRICTNESS[offer.boundary]:
        return f"has the looser boundary {fallback.boundary} (must be {offer.boundary} or stricter)"
    if fallback.context_tokens_max < offer.context_tokens_max:
        return f"holds {fallback.context_tokens_max} tokens (must hold {offer.context_tokens_max} or more)"
    return "takes no images" if offer.takes_images and not fallback.takes_images else ""


def _reached(names: Iterable[str], offers: Mapping[str, ModelOffer]) -> frozenset[str]:
    """Every model to which these and their own fallbacks lead."""
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached and name in offers:
            reached.add(name)
            waiting += offers[name].fallbacks
    return frozenset(reached)


def _cache_price(where: str, act: str, text: str | None) -> Decimal | None:
    return None if text is None else _price(f"{where}.usd_per_million_cache_{act}_tokens", text)


def _price(name: str, text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise SettingsError(f"{name} must be a decimal number (got {text!r})") from None
    if not price.is_finite() or price < 0:
        raise SettingsError(f"{name} must not be negative (got {text!r})")
    return price
