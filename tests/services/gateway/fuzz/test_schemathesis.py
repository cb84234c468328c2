"""Requests drawn from our own published document, good ones and bad ones: nothing breaks, and answers keep to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.services.gateway.clients.site import Site
from tests.services.gateway.fuzz.wire import Answer, require_openais_shape

DOCUMENT = Path(__file__).parents[4] / "docs" / "openapi.json"
SCHEMA = schemathesis.openapi.from_path(str(DOCUMENT))
OPERATIONS = {one.label: one for one in (found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok))}
METHODS = {"get", "post", "put", "patch", "delete"}
MODELS = ("local", "nova", "minilm")
# What a shape cannot say, so that many a drawn body goes all the way: a conversation that hangs together, our own size.
FITTING: dict[str, dict[str, Any]] = {
    "POST /v1/chat/completions": {"messages": [{"role": "user", "content": "Leave?"}]},
    "POST /v1/responses": {"input": "Leave?"},
    "POST /v1/embeddings": {"input": "Leave?", "dimensions": 8, "model": "minilm"},
}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def test_every_operation_of_the_document_is_drawn_from() -> None:
    assert len(OPERATIONS) == sum(
        len(path.keys() & METHODS) for path in json.loads(DOCUMENT.read_text())["paths"].values()
    )


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_the_document_allows_or_forbids_breaks_the_gateway(
    operation: str, mode: GenerationMode, site: Site, session: requests.Session
) -> None:
    cases = OPERATIONS[operation].as_strategy(generation_mode=mode)

    @some
    @given(
        case=cases,
        model=st.sampled_from(MODELS),
        signed=st.sampled_from([True, True, True, False]),
        fitting=st.booleans(),
    )
    def drawn(case: Any, model: str, signed: bool, fitting: bool) -> None:
        site.reset()
        if signed:  # drawn tokens are nobody's either
            case.headers = {**(case.headers or {}), "Authorization": "Bearer alice"}
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = model  # a drawn name is nobody's
            case.body |= FITTING[operation] if fitting else {}
        response = case.call(base_url=site.url.removesuffix("/v1"), session=session)
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            content_type = response.headers["content-type"][0]
            require_openais_shape(Answer(response.status_code, response.content, content_type))
        assert site.world.nothing_is_left_open()

    drawn()
