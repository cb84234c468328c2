"""Embeddings and Bedrock Runtime of the local platform, in one process."""

from __future__ import annotations

import functools
import sys

from stacks.local.parts.addresses import Addresses
from stacks.local.parts.health import serves
from stacks.local.parts.part import Launch, Part


def part(addresses: Addresses, threads: int) -> Part:
    return Part(
        name="inference",
        title="Embeddings and Bedrock Runtime",
        distribution="onnxruntime",
        module="onnxruntime",
        port=addresses.inference,
        prepare=lambda _fresh: None,
        launch=functools.partial(_launch, addresses, threads),
        is_ready=functools.partial(serves, addresses.inference, "/healthz"),
    )


def _launch(addresses: Addresses, threads: int) -> Launch:
    arguments = (str(addresses.inference), addresses.model_url, str(threads))
    return Launch((sys.executable, "-m", "stacks.local.parts.inference_server", *arguments))
