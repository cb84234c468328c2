"""POST /v1/embeddings in OpenAI's shape."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

import msgspec
import numpy
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stacks.local.parts.embeddings import MODEL_ID, EmbeddingModel, TextTooLongError

Text = Annotated[str, msgspec.Meta(min_length=1)]
Texts = Annotated[list[Text], msgspec.Meta(min_length=1, max_length=256)]


class EmbeddingsRequest(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    input: Text | Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Literal[384] = 384
    user: str | None = None


class EmbeddingsEndpoint:
    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model

    async def answer(self, request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body(), type=EmbeddingsRequest)
        except msgspec.DecodeError as error:
            return _refusal(400, str(error))
        if asked.model != MODEL_ID:
            return _refusal(404, f"the only model here is {MODEL_ID!r}", "model_not_found")
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        try:
            vectors, tokens = await run_in_threadpool(self._model.embed, texts)
        except TextTooLongError as error:
            return _refusal(400, str(error), "context_length_exceeded")
        return JSONResponse(_body(vectors, tokens, asked.encoding_format))


def _body(vectors: NDArray[numpy.float32], tokens: int, encoding_format: str) -> dict[str, object]:
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": MODEL_ID, "data": data, "usage": usage}


def _encoded(vector: NDArray[numpy.float32], encoding_format: str) -> str | list[float]:
    if encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in vector]


def _refusal(status: int, message: str, code: str | None = None) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status)
