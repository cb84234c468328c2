"""The environments, by name."""

from __future__ import annotations

from enum import StrEnum


class EnvironmentName(StrEnum):
    LOCAL = "local"
    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"
