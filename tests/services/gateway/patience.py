"""Deadlines of other parts, longer than a busy machine can stall: only tests of a deadline itself are to meet it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import pytest

from services.gateway.adapters import audit_writer, database, jwks_cache, ledger, limits, upstream

LONG_S: Final = 60.0

_CONSTANTS: Final = (
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
_USES: Final[tuple[Any, ...]] = (  # of a connection; each has its own deadline as a default
    database.Database.connection.__wrapped__,  # type: ignore[attr-defined]  # of contextlib's decorator
    database.Database.transaction.__wrapped__,  # type: ignore[attr-defined]
    database.Database.fetch,
    database.Session.fetchval,
)
_connecting: Final = cast("dict[str, Any]", database.Database.dedicated.__kwdefaults__)
_OWN: Final = tuple((module, name, getattr(module, name)) for module, name, _ in _CONSTANTS)


@contextmanager
def patient() -> Iterator[None]:
    """Other parts may take their time."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in _CONSTANTS:
            patch.setattr(module, name, value)
        for use in _USES:
            patch.setitem(use.__kwdefaults__, "deadline_s", LONG_S)
        patch.setitem(_connecting, "statement_timeout_ms", int(LONG_S * 1000))
        yield


@contextmanager
def own_deadlines() -> Iterator[None]:
    """Within a test that is patient: others have the time that the gateway gives them."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in _OWN:
            patch.setattr(module, name, value)
        for use in _USES:
            patch.setitem(use.__kwdefaults__, "deadline_s", database.DEADLINE_S)
        patch.setitem(_connecting, "statement_timeout_ms", database.STATEMENT_TIMEOUT_MS)
        yield
