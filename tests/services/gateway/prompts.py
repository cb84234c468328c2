"""Prompts that have come through the stages before, for tests that begin in the middle."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from services.gateway.exchange import (
    Admitted,
    Chunk,
    Governed,
    Grounded,
    Lease,
    Message,
    ModelOffer,
    Parameters,
    Reservation,
    Role,
    Tool,
)
from tests.services.gateway.fakes import caller, offer, registration, role, submission


def admitted_prompt(
    *messages: Message,
    stream: bool = False,
    parameters: Parameters | None = None,
    model: ModelOffer | None = None,
    as_role: Role | None = None,
) -> Admitted:
    turns = messages or (Message("user", "How many days of leave?"),)
    sent = submission(stream=stream, parameters=parameters or Parameters(), messages=turns)
    return Admitted(
        submission=sent,
        caller=caller(),
        registration=registration(),
        role=as_role or role(),
        model=model or offer(),
        lease=Lease("lease", (), 100, 77),
        reservation=Reservation("reservation", Decimal(1)),
    )


def grounded_prompt(
    admitted: Admitted,
    *,
    tools: tuple[Tool, ...] = (),
    placeholders: Mapping[str, str] | None = None,
    chunks: tuple[Chunk, ...] = (),
    system: str = "Answer briefly.",
    delimiter: str = "",
) -> Grounded:
    governed = Governed(admitted, admitted.submission.messages, placeholders or {}, {}, "hash", "question", tools)
    return Grounded(governed, chunks, system, delimiter)
