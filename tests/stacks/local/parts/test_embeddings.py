"""Embeddings mean something, come in OpenAI's shapes, and refuse rather than cut."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy
import openai
import pytest
from numpy.typing import NDArray

from tests.stacks.local.parts.running_parts import RunningParts


@pytest.fixture
def embeddings(running: RunningParts) -> Iterator[openai.resources.Embeddings]:
    with openai.OpenAI(base_url=running.addresses.embeddings_url, api_key="-", max_retries=0) as client:
        yield client.embeddings


def vectors(embeddings: openai.resources.Embeddings, *texts: str) -> NDArray[numpy.float64]:
    return numpy.array([one.embedding for one in embeddings.create(model="minilm", input=list(texts)).data])


def test_related_sentences_are_nearer_than_unrelated_ones(embeddings: openai.resources.Embeddings) -> None:
    question, answer, other = vectors(
        embeddings,
        "How many days of vacation do I get?",
        "Employees have 27 days of paid vacation a year.",
        "The cat sat on the mat.",
    )
    assert question @ answer > 0.5
    assert question @ other < 0.2


def test_vectors_have_384_dimensions_and_length_one(embeddings: openai.resources.Embeddings) -> None:
    found = vectors(embeddings, "one", "a much longer sentence that is padded with nothing", "drei")
    assert found.shape == (3, 384)
    assert numpy.allclose(numpy.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_text_is_embedded_alike_alone_and_among_others(embeddings: openai.resources.Embeddings) -> None:
    alone = vectors(embeddings, "The leave policy.")[0]
    among = vectors(embeddings, "The leave policy.", "word " * 200, "x")[0]
    assert alone @ among > 0.98  # int8 arithmetic scales with the batch, so not to the last bit


def test_base64_and_numbers_say_the_same(running: RunningParts) -> None:
    as_numbers = _post(running, {"model": "minilm", "input": "text"})
    as_text = _post(running, {"model": "minilm", "input": "text", "encoding_format": "base64"})
    decoded = numpy.frombuffer(base64.b64decode(as_text["data"][0]["embedding"]), dtype="<f4")
    assert numpy.allclose(decoded, as_numbers["data"][0]["embedding"])
    assert as_numbers["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_long_text_is_refused_not_cut(embeddings: openai.resources.Embeddings) -> None:
    assert vectors(embeddings, "word " * 510).shape == (1, 384)
    with pytest.raises(openai.BadRequestError, match="input 1 has 513 tokens; this model takes at most 512") as refused:
        vectors(embeddings, "fine", "word " * 511)
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    "wrong",
    [{"input": ""}, {"input": []}, {"input": [1, 2]}, {"dimensions": 256}, {"encoding_format": "int8"}, {"other": 1}],
)
def test_misshapen_request_is_refused(running: RunningParts, wrong: dict[str, object]) -> None:
    refused = _post(running, {"model": "minilm", "input": "text", **wrong}, expected=400)
    assert refused["error"]["type"] == "invalid_request_error"


def test_unknown_model_is_not_found(embeddings: openai.resources.Embeddings) -> None:
    with pytest.raises(openai.NotFoundError, match="the only model here is 'minilm'"):
        embeddings.create(model="ada", input="text")


def _post(running: RunningParts, body: dict[str, object], expected: int = 200) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", running.addresses.inference)
    connection.request("POST", "/v1/embeddings", json.dumps(body))
    answer = connection.getresponse()
    assert answer.status == expected
    found = json.loads(answer.read())
    connection.close()
    return found
