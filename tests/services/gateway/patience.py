"""Deadlines of other parts, longer than a busy machine can stall: only tests of a deadline itself are to meet it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import pytest

from services.gateway.adapters import audit_writer, database, jwks_cache, ledger, limits, upstream
from services.gateway.ingestion import extraction

LONG_S: Final = 60.0

_CONSTANTS: Final[tuple[tuple[ModuleType, str, float], ...]] = (
    (database, "CONNECT_DEADLINE_S", LONG_S),
    (database, "RELEASE_DEADLINE_S", LONG_S),
    (database, "STATEMENT_TIMEOUT_MS", int(LONG_S * 1000)),
    (audit_writer, "CONNECT_DEADLINE_S", LONG_S),
    (audit_writer, "LOCK_WAIT_S", LONG_S / 2),
    (audit_writer, "STATEMENT_TIMEOUT_MS", int(LONG_S * 1000)),
    (audit_writer, "WRITE_DEADLINE_S", LONG_S),
    (jwks_cache, "FETCH_TIMEOUT_S", LONG_S),
    (ledger, "DEADLINE_S", LONG_S),
    (limits, "DEADLINE_S", LONG_S),
    (limits, "FIRST_CONNECTION_DEADLINE_S", LONG_S),
    (upstream, "CONNECT_TIMEOUT_S", LONG_S),
    (upstream, "RETRY_BEGINS_WITHIN_S", LONG_S),
)
_FUNCTIONS: Final[tuple[tuple[Any, str, float], ...]] = (  # whose defaults are deadlines
    (database.Database.connection.__wrapped__, "deadline_s", LONG_S),  # type: ignore[attr-defined]  # decorated
    (database.Database.transaction.__wrapped__, "deadline_s", LONG_S),  # type: ignore[attr-defined]
    (database.Database.fetch, "deadline_s", LONG_S),
    (database.Database.dedicated, "statement_timeout_ms", int(LONG_S * 1000)),
    (database.Session.fetchval, "deadline_s", LONG_S),
    (extraction.extract, "deadline_s", 100.0),
)
_DEFAULTS: Final = tuple((function.__kwdefaults__, name, value) for function, name, value in _FUNCTIONS)
_OWN: Final = tuple((module, name, getattr(module, name)) for module, name, _ in _CONSTANTS)
_OWN_DEFAULTS: Final = tuple((defaults, name, defaults[name]) for defaults, name, _ in _DEFAULTS)


@contextmanager
def patient() -> Iterator[None]:
    """Other parts may take their time."""
    with _set(_CONSTANTS, _DEFAULTS):
        yield


@contextmanager
def own_deadlines() -> Iterator[None]:
    """Within a test that is patient: others have the time that the gateway gives them."""
    with _set(_OWN, _OWN_DEFAULTS):
        yield


@contextmanager
def _set(
    constants: Sequence[tuple[ModuleType, str, float]], defaults: Sequence[tuple[dict[str, Any], str, float]]
) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in constants:
            patch.setattr(module, name, value)
        for function, name, value in defaults:
            patch.setitem(function, name, value)
        yield
