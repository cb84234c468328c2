"""One line of the preflight: what was looked at, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    check: str
    subject: str
    held: bool
    found: str
    todo: str = ""
    """What to do; never empty on a row that does not hold."""

    def __post_init__(self) -> None:
        if not self.held and not self.todo:
            raise ValueError(f"a failing row says what to do ({self.check}: {self.subject})")


def judged(check: str, subject: str, held: bool, found: str, todo: str) -> Row:
    """Advice only where it is needed."""
    return Row(check, subject, held, found, "" if held else todo)
