"""Three answers instead of two: yes, no, and not known yet. Unknown is never compliant."""

from __future__ import annotations

from enum import Enum


class Truth(Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, value: bool) -> Truth:
        return cls.YES if value else cls.NO


def any_of(*truths: Truth) -> Truth:
    """One certain yes decides, whatever is still unknown beside it."""
    if Truth.YES in truths:
        return Truth.YES
    return Truth.UNKNOWN if Truth.UNKNOWN in truths else Truth.NO


def all_of(*truths: Truth) -> Truth:
    """One certain no decides."""
    return negate(any_of(*(negate(truth) for truth in truths)))


def negate(truth: Truth) -> Truth:
    return {Truth.YES: Truth.NO, Truth.NO: Truth.YES}.get(truth, Truth.UNKNOWN)
