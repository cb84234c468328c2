"""Serves embeddings (OpenAI's API) and Converse (Bedrock's API) on one loopback port."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stacks.local.parts import loopback_only
from stacks.local.parts.addresses import HOST
from stacks.local.parts.bedrock_runtime import BedrockRuntime
from stacks.local.parts.embeddings import EmbeddingModel
from stacks.local.parts.embeddings_api import EmbeddingsEndpoint

UPSTREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=300)


def application(model_url: str, threads: int) -> Starlette:
    embeddings = EmbeddingsEndpoint(EmbeddingModel(threads))

    @asynccontextmanager
    async def lifespan(served: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=UPSTREAM_TIMEOUT) as session:
            bedrock = BedrockRuntime(session, model_url)
            # {model_id:path}: an application inference profile is named by an ARN, with a slash in it.
            served.router.routes.extend(
                [
                    Route("/model/{model_id:path}/converse", bedrock.converse, methods=["POST"]),
                    Route("/model/{model_id:path}/converse-stream", bedrock.converse_stream, methods=["POST"]),
                ]
            )
            yield

    routes = [
        Route("/healthz", _healthy),
        Route("/v1/embeddings", embeddings.answer, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _healthy(_request: Request) -> Response:
    return PlainTextResponse("ok")


def main(port: str, model_url: str, threads: str) -> None:
    loopback_only.install()
    uvicorn.run(application(model_url, int(threads)), host=HOST, port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
