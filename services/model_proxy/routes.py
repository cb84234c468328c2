"""Which requests there are. Method and target are compared byte for byte with this list, never interpreted.

Nothing is decoded, joined, lower-cased or cut at a `?` first: two readers of one path (`%2e`, `//`, `;`, an
absolute URL) are how path filters are passed. The path sent on is the constant here, not what the caller wrote.
A model server opens more: `/invocations` repeats every endpoint without its key, `/pause`, `/update_weights`,
`/load`, `/metrics` and others have none (https://docs.vllm.ai/en/latest/usage/security.html).
"""

from __future__ import annotations

from dataclasses import dataclass

from services.model_proxy.allowed_requests import ChatRequest, CompletionRequest, EmbeddingRequest, Request


@dataclass(frozen=True, slots=True)
class Route:
    path: str
    endpoint: str  # its name in figures
    body: type[Request] | None  # None: GET, without a body


ROUTES = {
    ("POST", "/v1/chat/completions"): Route("/v1/chat/completions", "chat", ChatRequest),
    ("POST", "/v1/completions"): Route("/v1/completions", "completions", CompletionRequest),
    ("POST", "/v1/embeddings"): Route("/v1/embeddings", "embeddings", EmbeddingRequest),
    ("GET", "/v1/models"): Route("/v1/models", "models", None),
}


def route(method: str, target: str) -> Route | None:
    """None: there is nothing here, whatever the model server may have."""
    return ROUTES.get((method, target))
