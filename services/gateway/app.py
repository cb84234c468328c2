"""The composition root: settings become adapters, adapters become ports, ports become the application.

Nothing is required to be reachable at the start: what is missing makes /readyz say so, refuses requests
with 503, and heals without a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import boto3
from starlette.types import ASGIApp

from services.gateway.adapters.audit_chain import audit_chain
from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.bedrock_model import BedrockModel
from services.gateway.adapters.cedar_authorization import CedarAuthorization
from services.gateway.adapters.circuits import Circuits, GuardedEmbeddings, GuardedModel
from services.gateway.adapters.database import connect
from services.gateway.adapters.documents import documents
from services.gateway.adapters.embeddings import BedrockEmbeddings, OpenAIEmbeddings
from services.gateway.adapters.ledger import Ledger
from services.gateway.adapters.limits import ValkeyLimits
from services.gateway.adapters.migrations import DIRECTORY, load, require_current
from services.gateway.adapters.oidc_identity import OidcIdentity
from services.gateway.adapters.openai_model import OpenAIModel
from services.gateway.adapters.operator_figures import operator_figures
from services.gateway.adapters.prompt_hash import derive
from services.gateway.adapters.refusal_tally import RefusalTally
from services.gateway.adapters.registration_marks import DatabaseMarks
from services.gateway.adapters.registrations import S3Registrations, Source
from services.gateway.adapters.sagemaker_model import SageMakerModel
from services.gateway.adapters.tls import aws_session
from services.gateway.adapters.upstream import Upstream
from services.gateway.cloudwatch_figures import CloudWatchFigures
from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.detectors.prompt_injection import PromptInjectionDetector
from services.gateway.edge import application
from services.gateway.exchange import ModelOffer
from services.gateway.metrics import Metrics
from services.gateway.operations_server import operations
from services.gateway.operator_page import Chains, OperatorPage
from services.gateway.pipeline import drain
from services.gateway.ports import Detectors, Embeddings, Model, Ports
from services.gateway.readiness import Check, Readiness
from services.gateway.settings import Settings, own_model_hosts

if TYPE_CHECKING:
    from services.gateway.telemetry import Telemetry


class Gateway:
    """Everything wired: `application` for callers, whose lifespan runs the parts, and `operations` for operators."""

    def __init__(self, settings: Settings) -> None:
        aws = aws_session(settings.region)
        self.settings = settings
        self._upstream = Upstream(own_model_hosts(settings.models), settings.model_authority)
        self._circuits = Circuits(settings.models)
        self._identity = OidcIdentity(settings.issuers, self._upstream)
        self._database = connect(settings)
        self._registrations = S3Registrations(aws, _source(settings), DatabaseMarks(self._database))
        self._migrations = load(DIRECTORY)
        self._figures = operator_figures(settings)
        self._limits = ValkeyLimits(settings)
        self._ledger = Ledger(self._database)
        self._prompt_hash = derive(settings)
        self._audit = audit_chain(settings, self._database)
        self._telemetry = _telemetry(settings)
        self._metrics = Metrics(self._telemetry)
        self._metrics.watch(
            "gateway_registrations_age_seconds", "Since the last look", lambda: self._registrations.age_s
        )
        self._metrics.watch(
            "gateway_issuer_silent_seconds", "Since an issuer's last answer", lambda: self._identity.unconfirmed_s
        )
        self._metrics.watch("gateway_audit_lag_seconds", "Age of the oldest unsealed record", lambda: self._audit.lag_s)
        self._metrics.watch("gateway_registrations_refused", "Refused since start", lambda: self._registrations.refused)
        self.ports = Ports(
            identity=self._identity,
            registrations=self._registrations,
            authorization=CedarAuthorization(),
            limits=self._limits,
            budget=self._ledger,
            detectors=Detectors(CredentialDetector(), PersonalDataDetector(), PromptInjectionDetector()),
            prompt_hash=self._prompt_hash,
            embeddings=_embeddings(settings, self._upstream, aws, self._circuits),
            documents=documents(settings, self._database),
            # Of embedding models only the one that passages were embedded with is offered.
            models={o.id: o for o in settings.models if o.kind == "chat" or o.id == settings.embedding_model},
            backends=_backends(settings, self._upstream, aws, self._circuits),
            audit=RefusalTally(self._audit),
        )
        self._metrics.watch("gateway_breakers_open", "Parts left alone", self._left_alone)
        self.readiness = Readiness(self._checks())
        self._told = CloudWatchFigures(settings.environment, self._metrics, self.readiness, _say)
        self.application: ASGIApp = application(self.ports, self._metrics, self._lifespan)
        page = OperatorPage(
            settings.environment, self.readiness, self._figures.today, self._chains, lambda: self._circuits.left_alone
        )
        pages = [("/", page.page), ("/style.css", page.style)]
        self.operations: ASGIApp = operations(self.readiness, self._metrics, pages)

    def _left_alone(self) -> float:
        """The cache, and the upstreams of how many models."""
        return float(self._limits.left_alone + len(self._circuits.left_alone))

    def _checks(self) -> dict[str, Check]:
        """Every part that a request needs, by the name /readyz calls it."""

        async def audit() -> None:
            self._audit.ready()

        async def prompt_hash() -> None:
            self._prompt_hash.ready()

        return {
            "identity": self._identity.ready,
            "registrations": self._registrations.ready,
            "limits": self._limits.ready,
            "database": self._schema_is_current,
            "audit": audit,
            "prompt_hash": prompt_hash,
        }

    async def _schema_is_current(self) -> None:
        """The chain, the ledger and the passages live in one database: it answers, and its schema is this release's."""
        await require_current(self._database, self._migrations)

    def _chains(self) -> Chains:
        return Chains(self._audit.sealed, self._audit.lag_s)

    @asynccontextmanager
    async def _lifespan(self, app: object) -> AsyncIterator[None]:
        del app
        async with AsyncExitStack() as parts:
            if self._telemetry is not None:
                parts.push_async_callback(asyncio.to_thread, self._telemetry.shut_down)
            await self._upstream.start()
            parts.push_async_callback(self._upstream.close)
            parts.push_async_callback(self._database.close)
            parts.push_async_callback(self._figures.close)
            parts.push_async_callback(self._limits.close)
            parts.push_async_callback(self._audit.close)
            parts.push_async_callback(self._ledger.close)
            parts.push_async_callback(self._registrations.close)
            parts.push_async_callback(drain)
            telling = asyncio.create_task(self._told.run())
            parts.callback(telling.cancel)
            self._ledger.start()
            await self._registrations.start()
            await asyncio.gather(self._limits.start(), self._audit.start(), self._prompt_hash.start())
            yield


def _telemetry(settings: Settings) -> Telemetry | None:
    """Nothing of it is even imported where no collector is named."""
    if not settings.telemetry_endpoint:
        return None
    from services.gateway import telemetry

    return telemetry.telemetry(settings.environment, settings.telemetry_endpoint)


def _say(line: str) -> None:
    """On Fargate standard output is the log group."""
    print(line, flush=True)


def _source(settings: Settings) -> Source:
    return Source(settings.registration_bucket, settings.registration_key_arn, settings.environment)


def _backends(settings: Settings, upstream: Upstream, aws: boto3.Session, circuits: Circuits) -> dict[str, Model]:
    """A backend for each kind that the catalogue names, with a circuit for each upstream."""
    backends: dict[str, Model] = {"openai": OpenAIModel(upstream)}
    if any(offer.backend == "bedrock" for offer in settings.models):
        backends["bedrock"] = BedrockModel(upstream, SignedRequests(aws, "bedrock-runtime", "bedrock"))
    if any(offer.backend == "sagemaker" for offer in settings.models):
        backends["sagemaker"] = SageMakerModel(upstream, SignedRequests(aws, "sagemaker-runtime", "sagemaker"))
    return {name: GuardedModel(backend, circuits) for name, backend in backends.items()}


def _embeddings(settings: Settings, upstream: Upstream, aws: boto3.Session, circuits: Circuits) -> Embeddings:
    offer = next(offer for offer in settings.models if offer.id == settings.embedding_model)
    return GuardedEmbeddings(_unguarded(settings, upstream, aws, offer), circuits.of(offer))


def _unguarded(settings: Settings, upstream: Upstream, aws: boto3.Session, offer: ModelOffer) -> Embeddings:
    if offer.backend == "bedrock":
        signed = SignedRequests(aws, "bedrock-runtime", "bedrock")
        return BedrockEmbeddings(upstream, signed, offer, settings.embedding_dimensions)
    return OpenAIEmbeddings(upstream, offer, settings.embedding_dimensions)
