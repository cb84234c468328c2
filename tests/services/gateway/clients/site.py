"""A gateway with the real detectors and backends, in a thread of its own: clients of every kind can call it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace

import pytest

from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.bedrock_model import BedrockModel
from services.gateway.adapters.embeddings import OpenAIEmbeddings
from services.gateway.adapters.openai_model import OpenAIModel
from services.gateway.adapters.tls import aws_session
from services.gateway.adapters.upstream import Upstream
from services.gateway.detectors.credentials import CredentialDetector
from services.gateway.detectors.personal_data import PersonalDataDetector
from services.gateway.detectors.prompt_injection import PromptInjectionDetector
from services.gateway.edge import application
from services.gateway.exchange import ModelOffer
from services.gateway.metrics import Metrics
from services.gateway.ports import Detectors, Ports
from tests.services.gateway.clients.upstreams import DIMENSIONS, Script, running_upstreams
from tests.services.gateway.fakes import World, offer, registration, role
from tests.services.gateway.serving import serving

DETECTORS = Detectors(CredentialDetector(), PersonalDataDetector(), PromptInjectionDetector())
START_DEADLINE_S = 60
GUARDED = {"guardrail_id": "gr-1", "guardrail_version": "3"}
CHAT_MODELS = ("local", "nova")  # behind OpenAI's API, behind Bedrock


@dataclass
class Site:
    """`url` ends in /v1. `script` is what the models say; `world` is everything else around the gateway."""

    url: str = ""
    script: Script = field(default_factory=Script)
    world: World = field(default_factory=World)

    def reset(self) -> None:
        """As new, for the next test. In place: the running gateway holds these very objects."""
        for kept, fresh in ((self.script, Script()), (self.world, _world())):
            for one in fields(fresh):
                old, new = getattr(kept, one.name), getattr(fresh, one.name)
                if hasattr(old, "__dict__") and isinstance(kept, World):
                    old.__dict__.update(new.__dict__)
                else:
                    setattr(kept, one.name, new)


def _world() -> World:
    world = World()
    own = role(models=(*CHAT_MODELS, "minilm"), collections=(), images=True)
    world.registrations.registrations = [registration(own)]
    return world


def _models(openai_url: str) -> dict[str, ModelOffer]:
    return {
        "local": offer(base_url=openai_url, takes_images=True),
        "nova": offer("nova", backend="bedrock", upstream_model="p", takes_images=True, **GUARDED),
        "minilm": offer("minilm", kind="embedding", base_url=openai_url),
    }


async def _ports(world: World, openai_url: str, parts: AsyncExitStack) -> Ports:
    upstream = Upstream()
    await upstream.start()
    parts.push_async_callback(upstream.close)
    models = _models(openai_url)
    signed = SignedRequests(aws_session("eu-west-1"), "bedrock-runtime", "bedrock")
    return replace(
        world.ports(),
        detectors=DETECTORS,
        models=models,
        embeddings=OpenAIEmbeddings(upstream, models["minilm"], DIMENSIONS),
        backends={"openai": OpenAIModel(upstream), "bedrock": BedrockModel(upstream, signed)},
    )


@contextmanager
def running_site() -> Iterator[Site]:
    """A site that runs while the block does."""
    site = Site(world=_world())
    started: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_run(site, started)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        thread.start()
        stop = started.result(START_DEADLINE_S)
        try:
            yield site
        finally:
            stop()
            thread.join()


async def _run(site: Site, started: Future[Callable[[], object]]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    try:
        async with AsyncExitStack() as parts:
            openai_url, bedrock_url = await parts.enter_async_context(running_upstreams(site.script))
            patch = parts.enter_context(pytest.MonkeyPatch.context())
            patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bedrock_url)
            ports = await _ports(site.world, openai_url, parts)
            site.url = await parts.enter_async_context(serving(application(ports, Metrics()))) + "/v1"
            started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        raise
