"""How long what is kept, and how firmly."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ValidationInfo, field_validator

from stacks.configuration import Section

# What CloudWatch Logs accepts: up to three months for content, from a month up for logs.
CONTENT_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90)
LOG_RETENTION_DAYS = (30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


class LockMode(StrEnum):
    """Object Lock: under COMPLIANCE nobody, not even the root user, can delete before the time is over."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


class Retention(Section):
    evidence_days: int
    evidence_lock: LockMode
    content_days: int
    """Prompts and answers in the model invocation log: as short as the strictest data class demands."""
    log_days: int

    @field_validator("content_days", "log_days")
    @classmethod
    def _known_to_cloudwatch(cls, value: int, field: ValidationInfo) -> int:
        allowed = CONTENT_RETENTION_DAYS if field.field_name == "content_days" else LOG_RETENTION_DAYS
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(map(str, allowed))} (got {value})")
        return value
