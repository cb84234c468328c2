"""Embeddings from an OpenAI-compatible server or from Bedrock: one vector a text, of the configured dimension."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.upstream import Upstream, whole_body
from services.gateway.exchange import Denied, ModelOffer, Unavailable

Vector = tuple[float, ...]

COMPONENT_MAX = 1e30
CONCURRENT_CALLS_MAX = 8  # Bedrock embeds one text a call
_HEADERS = {"content-type": "application/json"}


class _Entry(msgspec.Struct):
    embedding: Vector
    index: int = 0


class _List(msgspec.Struct):
    data: list[_Entry]


class _Titan(msgspec.Struct):
    embedding: Vector


_decode_list = msgspec.json.Decoder(_List).decode
_decode_titan = msgspec.json.Decoder(_Titan).decode


class OpenAIEmbeddings:
    """One embedding model behind an OpenAI-compatible API."""

    def __init__(self, upstream: Upstream, offer: ModelOffer, dimensions: int) -> None:
        self._upstream = upstream
        self._offer = offer
        self.dimensions = dimensions

    async def embed(self, texts: Sequence[str]) -> tuple[Vector, ...]:
        body = msgspec.json.encode({"model": self._offer.upstream_model, "input": texts, "encoding_format": "float"})
        answer = await _posted(self._upstream, f"{self._offer.base_url}/embeddings", body, _HEADERS)
        try:
            entries = sorted(_decode_list(answer).data, key=lambda entry: entry.index)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unavailable("embeddings", "the response is not in OpenAI's shape") from error
        return _checked([entry.embedding for entry in entries], len(texts), self.dimensions)


class BedrockEmbeddings:
    """One Titan text embedding model of Bedrock."""

    def __init__(self, upstream: Upstream, signed: SignedRequests, offer: ModelOffer, dimensions: int) -> None:
        self._upstream = upstream
        self._signed = signed
        self._url = f"{signed.endpoint}/model/{quote(offer.upstream_model, safe='')}/invoke"
        self.dimensions = dimensions
        self._places = asyncio.Semaphore(CONCURRENT_CALLS_MAX)

    async def embed(self, texts: Sequence[str]) -> tuple[Vector, ...]:
        vectors = await asyncio.gather(*(self._embed(text) for text in texts))
        return _checked(vectors, len(texts), self.dimensions)

    async def _embed(self, text: str) -> Vector:
        body = msgspec.json.encode({"inputText": text, "dimensions": self.dimensions, "normalize": True})
        async with self._places:
            headers = await self._signed.headers(self._url, body, _HEADERS)
            answer = await _posted(self._upstream, self._url, body, headers)
        try:
            return _decode_titan(answer).embedding
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unavailable("embeddings", "the response is not in Titan's shape") from error


async def _posted(upstream: Upstream, url: str, body: bytes, headers: dict[str, str]) -> bytes:
    try:
        async with upstream.post(url, body, headers) as response:
            return await whole_body(response)
    except Denied as denied:
        if denied.status == 400:
            raise
        raise Unavailable("embeddings", denied.reason) from denied


def _checked(vectors: Sequence[Vector], count: int, dimensions: int) -> tuple[Vector, ...]:
    whole = len(vectors) == count and all(len(vector) == dimensions for vector in vectors)
    # A component of a unit vector is at most 1; what no float of 4 bytes holds could not be answered as base64.
    if not whole or not all(math.hypot(*vector) <= COMPONENT_MAX for vector in vectors):
        raise Unavailable("embeddings", f"the backend did not give {count} vectors of {dimensions} dimensions")
    return tuple(vectors)
