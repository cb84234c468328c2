"""A circuit for each upstream: what fails before its first event again and again is left alone for a moment.

(1) FAILURES_MAX failures in a row open it. While it is open, requests are refused at once: 503, and when to come
    back; those with a fallback go there. Every PAUSE_S one request tries; the first event of any closes it.
(2) What is the caller's own fault, or ours, is no failure of the upstream: 4xx, a parameter it does not know,
    no credentials. A stream that its caller gives up is one only after SILENT_S without a word: callers have less
    patience than our own deadline, and who hangs up at once must not be able to open a circuit.
(3) "Too many requests" is no failure either: who says so is well, and its quota refills by the second. THROTTLED_MAX
    in a row open the circuit too, but for THROTTLED_PAUSE_S only: asking on would use up what has just come back.
    It neither adds to the failures nor forgives them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType

from services.gateway.adapters.breaker import Breaker
from services.gateway.adapters.upstream import Throttled
from services.gateway.exchange import Denied, Event, Grounded, ModelOffer, Unavailable
from services.gateway.ports import Embeddings, Model

FAILURES_MAX = 5
PAUSE_S = 5.0
SILENT_S = 30.0
THROTTLED_MAX = 5
THROTTLED_PAUSE_S = 1.0

Clock = Callable[[], float]
Upstream = tuple[str, str, str, str]  # kind, backend, place, model


class Circuit:
    """Of one upstream."""

    def __init__(self, clock: Clock) -> None:
        self._failing = Breaker(failures_max=FAILURES_MAX, pause_s=PAUSE_S, clock=clock)
        self._throttled = Breaker(failures_max=THROTTLED_MAX, pause_s=THROTTLED_PAUSE_S, clock=clock)
        self._trying = ""  # the request whose calls are the try
        self.clock = clock

    @property
    def left_alone(self) -> bool:
        """True while it has been failing, or throttling, and is tried once a moment only. Asking changes nothing."""
        return self._failing.tripped or self._throttled.tripped

    def enter(self, together: str = "") -> None:
        """Returns where the upstream may be asked, 503 where it is left alone.

        `together` names a request that makes several calls at once: they are one try, or all would fail with the
        others of theirs and none ever close the circuit.
        """
        if together and together == self._trying:
            return
        for breaker in (self._failing, self._throttled):
            if breaker.tripped:
                if breaker.is_open:
                    raise _left_alone(breaker.tries_again_in_s)
                self._trying = together

    def succeeded(self) -> None:
        self._failing.succeeded()
        self._throttled.succeeded()

    def failed(self, denied: Denied) -> None:
        """Counts what befell a request before its first event, if it is the upstream's fault."""
        if isinstance(denied, Throttled):
            self._throttled.failed()
        elif denied.status >= 500 and not isinstance(denied, Unavailable):
            self._throttled.succeeded()
            self._failing.failed()

    def given_up(self, silent_s: float) -> None:
        """Nobody waits for the first event any more, after so many seconds."""
        if silent_s >= SILENT_S:
            self._failing.failed()


class Circuits:
    """One circuit for each kind, backend, place and model: two entries of the catalogue that share them share it."""

    def __init__(self, offers: Iterable[ModelOffer] = (), clock: Clock | None = None) -> None:
        self._clock = clock or time.monotonic
        self._circuits: dict[Upstream, Circuit] = {}
        self._names: dict[Upstream, list[str]] = {}
        for offer in offers:
            self._names.setdefault(_upstream(offer), []).append(offer.id)

    def of(self, offer: ModelOffer) -> Circuit:
        upstream = _upstream(offer)
        circuit = self._circuits.get(upstream)
        if circuit is None:
            circuit = self._circuits[upstream] = Circuit(self._clock)
        return circuit

    @property
    def left_alone(self) -> tuple[str, ...]:
        """The catalogue's ids of models whose upstream is left alone."""
        failing = [upstream for upstream, circuit in self._circuits.items() if circuit.left_alone]
        return tuple(sorted(name for upstream in failing for name in self._names.get(upstream, ())))


class GuardedModel:
    """A backend whose upstreams have circuits. Implements Model."""

    def __init__(self, model: Model, circuits: Circuits) -> None:
        self._model = model
        self._circuits = circuits

    def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        admitted = grounded.governed.admitted
        together = admitted.reservation.id if admitted.submission.choices > 1 else ""
        circuit, stream = self._circuits.of(admitted.model), admitted.submission.stream
        return _Watched(lambda: self._model.generate(grounded), circuit, together, stream=stream)


class GuardedEmbeddings:
    """Embeddings whose upstream has a circuit. Implements Embeddings."""

    def __init__(self, embeddings: Embeddings, circuit: Circuit) -> None:
        self._embeddings = embeddings
        self._circuit = circuit
        self.dimensions = embeddings.dimensions

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        try:
            self._circuit.enter()
        except Denied as denied:
            raise Unavailable("embeddings", denied.reason, retry_after_s=denied.retry_after_s or 1) from denied
        try:
            vectors = await self._embeddings.embed(texts)
        except Unavailable as unavailable:  # what the upstream did is behind it
            if isinstance(unavailable.__cause__, Denied):
                self._circuit.failed(unavailable.__cause__)
            raise
        self._circuit.succeeded()
        return vectors


class _Watched(AsyncGenerator[Event, None]):
    """A backend's events: looked at until the first has come, passed on without a step between from then on."""

    __slots__ = ("_ask", "_circuit", "_events", "_next", "_stream", "_together")

    def __init__(
        self, ask: Callable[[], AsyncIterator[Event]], circuit: Circuit, together: str, *, stream: bool
    ) -> None:
        self._ask = ask
        self._circuit = circuit
        self._together = together
        self._stream = stream
        self._events: AsyncIterator[Event] | None = None
        self._next: Callable[[], Awaitable[Event]] = self._first

    def __anext__(self) -> Awaitable[Event]:  # type: ignore[override]  # any awaitable will do
        return self._next()

    async def _first(self) -> Event:
        self._circuit.enter(self._together)
        events = self._events = self._ask()
        asked_at = self._circuit.clock()
        try:
            event = await anext(events)
        except asyncio.CancelledError:
            if self._stream:  # a whole answer comes when all of it is made: its silence says nothing
                self._circuit.given_up(self._circuit.clock() - asked_at)
            raise
        except Denied as denied:
            self._circuit.failed(denied)
            raise
        self._circuit.succeeded()
        self._next = events.__anext__
        return event

    async def asend(self, value: None) -> Event:
        del value
        return await self._next()

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        value: object = None,
        trace: TracebackType | None = None,
    ) -> Event:
        raise NotImplementedError("nobody throws into a backend's events")

    async def aclose(self) -> None:
        if isinstance(self._events, AsyncGenerator):
            await self._events.aclose()


def _upstream(offer: ModelOffer) -> Upstream:
    return offer.kind, offer.backend, offer.base_url, offer.upstream_model


def _left_alone(again_in_s: float) -> Denied:
    return Denied(
        "model_call",
        "the upstream has been failing: left alone for a moment",
        status=503,
        code="upstream_unavailable",
        type="server_error",
        public="The model backend has been failing and is left alone for a moment. Try again shortly.",
        retry_after_s=max(1, round(again_in_s + 0.5)),
    )
