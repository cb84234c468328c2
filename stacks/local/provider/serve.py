"""Serves a provider to the real Pulumi engine, which attaches to it instead of starting a plugin.

It prints its port, then serves. `moto` creates resources in the local AWS API (standard AWS variables), acting
in the two roles if they are given; `recording` creates nothing:

    python -m stacks.local.provider.serve moto [<deployer role> <break-glass role>] > port &
    PULUMI_DEBUG_PROVIDERS=aws:$(cat port) pulumi up --stack local

    python -m stacks.local.provider.serve recording [aws|kubernetes]
"""

# ruff: noqa: N802 - the protocol gives the names of its methods
from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from typing import Any

import grpc
from google.protobuf import empty_pb2  # type: ignore[import-untyped]  # the wheel of protobuf has no types
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2_grpc

from stacks.local.provider.aws_calls import Endpoint
from stacks.local.provider.guard import guard_process
from stacks.local.provider.provider import MotoProvider
from stacks.local.provider.recording import RecordingProvider

_MESSAGE_BYTES_MAX = 400 * 1024 * 1024


class AttachedServicer(ProviderServicer):
    """The SDK's servicer, plus the call by which an engine attaches."""

    async def Attach(self, request: Any, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()


async def serve(provider: RecordingProvider) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX)])
    version = importlib.metadata.version(f"pulumi-{provider.package}")
    servicer = AttachedServicer([], version, provider, engine_address="")
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def main(kind: str, *arguments: str) -> None:
    guard_process()
    if kind == "recording":
        provider = RecordingProvider()
        provider.package = arguments[0] if arguments else provider.package
        asyncio.run(serve(provider))
    elif kind == "moto":
        deployer, break_glass = arguments or ("", "")
        endpoint = Endpoint.from_environment()
        moto = MotoProvider(endpoint, invents=True, deployer_role=deployer, break_glass_role=break_glass)
        asyncio.run(serve(moto))
    else:
        raise SystemExit(f"{kind!r} is neither moto nor recording")


if __name__ == "__main__":
    main(*sys.argv[1:])
