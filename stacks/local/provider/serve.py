"""Serves the provider to the real Pulumi engine, which attaches to it instead of starting a plugin.

`python -m stacks.local.provider.serve` prints its port, then serves; with the standard AWS variables set
for the local AWS API:

    PULUMI_DEBUG_PROVIDERS=aws:<port> pulumi up --stack local
"""

# ruff: noqa: N802 - the protocol gives the names of its methods
from __future__ import annotations

import asyncio
import importlib.metadata
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2_grpc

from stacks.local.provider.aws_calls import Endpoint
from stacks.local.provider.guard import guard_process
from stacks.local.provider.provider import MotoProvider

_MESSAGE_BYTES_MAX = 400 * 1024 * 1024


class AttachedServicer(ProviderServicer):
    """The SDK's servicer, plus the call by which an engine attaches."""

    async def Attach(self, request: Any, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()


async def serve() -> None:
    guard_process()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX)])
    version = importlib.metadata.version("pulumi-aws")
    provider = MotoProvider(Endpoint.from_environment(), invents=True)
    servicer = AttachedServicer([], version, provider, engine_address="")
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
