"""What a rule about a whole stack does where the stack has nothing for it."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from policy_packs.rule import NotApplicable, Outcome


def needs(subjects: Sized, reason: str) -> Iterator[Outcome]:
    """Says so where there is no subject; a judgement that found nothing is not one that looked."""
    if not len(subjects):
        yield NotApplicable(reason)
