"""The model call: the complete prompt goes to the backend of the admitted model, and its events are counted.

Nothing else may call a model. What comes back is untrusted until output validation has seen it; what it
costs is counted here, event by event, so that a caller who hangs up still pays for what was generated.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from time import monotonic

from services.gateway.exchange import (
    Denied,
    Event,
    Finish,
    Generated,
    Grounded,
    ModelOffer,
    TextDelta,
    ToolCallReady,
    Unavailable,
    Usage,
)
from services.gateway.ports import Model
from services.gateway.stages.worst_case import prompt_tokens_max, size_bytes

# What a backend may send, whatever it makes of max_tokens: few tokens are longer, and no answer is of those alone.
BYTES_PER_TOKEN_MAX = 32
BYTES_ALWAYS_ALLOWED = 4_096


class Meter:
    """What one model call has used so far."""

    __slots__ = (
        "_assumed",
        "_bytes_max",
        "_counted",
        "_events",
        "_output_bytes",
        "fallback_reason",
        "guardrail",
        "model",
        "model_version",
        "on_fallback",
        "waited_s",
    )

    def __init__(self) -> None:
        self.model: ModelOffer | None = None  # that is asked in place of the admitted one; None: that one itself
        self.fallback_reason = ""
        self.on_fallback: Callable[[str], None] | None = None  # is told the id of the model that answers
        self.model_version = ""
        self.guardrail: tuple[str, ...] = ()
        self.waited_s = 0.0  # for the backend: the rest of a request's time is the gateway's own
        self._assumed: Usage | None = None
        self._counted: Usage | None = None
        self._events = 0
        self._output_bytes = 0
        self._bytes_max = 0

    def start(self, grounded: Grounded) -> None:
        """Until the backend says better, a call costs the bound on its prompt and, unseen, all it may answer."""
        admitted = grounded.governed.admitted
        unseen = 0 if admitted.submission.stream else admitted.lease.output_tokens
        self._assumed = Usage(prompt_tokens_max(grounded), unseen)
        self._bytes_max = BYTES_ALWAYS_ALLOWED + BYTES_PER_TOKEN_MAX * admitted.lease.output_tokens

    def failed(self) -> None:
        """The backend failed: what it sent before that, and only that, is charged."""
        if not self._events:
            self._assumed = None

    def fell_back(self, failure: Denied) -> None:
        """`model` has begun to answer, since the one that was asked for failed."""
        self.fallback_reason = failure.reason
        if self.on_fallback is not None and self.model is not None:
            self.on_fallback(self.model.id)

    def count(self, event: Event) -> None:
        self._events += 1
        if isinstance(event, TextDelta):
            self._output_bytes += size_bytes(event.text)
        elif isinstance(event, ToolCallReady):
            self._output_bytes += size_bytes(event.call.name) + size_bytes(event.call.arguments)
        elif isinstance(event, Finish):
            self._counted = event.usage
            self.model_version = event.model_version
            self.guardrail = event.guardrail
        if self._output_bytes > self._bytes_max:  # judging it would cost everybody else time
            raise _too_long()

    @property
    def estimated(self) -> bool:
        """True when the backend did not say, and bytes stand in for tokens."""
        return self._counted is None

    @property
    def usage(self) -> Usage:
        """Tokens as the backend counted them, or the sound bound."""
        if self._counted is not None:
            return self._counted
        if self._assumed is None:
            return Usage(0, 0)
        return Usage(self._assumed.input_tokens, self._output_bytes if self._events else self._assumed.output_tokens)


def _too_long() -> Denied:
    return Denied(
        "model_call",
        "the answer is longer than what was asked for",
        status=502,
        code="upstream_error",
        type="server_error",
        public="The model backend failed to answer.",
    )


def generate(grounded: Grounded, backends: Mapping[str, Model], meter: Meter) -> Generated:
    """The model's answer as it is made. The call begins when the first event is asked for."""
    name = grounded.governed.admitted.model.backend
    backend = backends.get(name)
    if backend is None:
        raise Unavailable("model_call", f"backend '{name}' is not wired")
    return Generated(grounded, _counted(backend, grounded, meter))


async def _counted(backend: Model, grounded: Grounded, meter: Meter) -> AsyncIterator[Event]:
    meter.start(grounded)
    events = backend.generate(grounded)
    asked_at = monotonic()
    try:
        async for event in events:
            meter.waited_s += monotonic() - asked_at
            meter.count(event)
            yield event
            asked_at = monotonic()
            if isinstance(event, Finish):
                return
    except Denied:
        meter.failed()
        raise
    finally:
        await close(events)
    raise Unavailable("model_call", "the backend's stream ended without a finish")


async def close(events: AsyncIterator[object]) -> None:
    """Ends a stream early, so that the connection behind it is cut now and not at garbage collection."""
    if isinstance(events, AsyncGenerator):
        await events.aclose()
