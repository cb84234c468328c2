"""Wish: what a team says about its new workload, judged before a file is written."""

from __future__ import annotations

from typing import Self

from pydantic import field_validator, model_validator

from stacks.classification import TREATMENTS, Boundary, DataClass, require_boundary
from stacks.configuration import ConfigurationError, Name, Section
from stacks.workloads.workload import Tenant, WorkloadName


class Wish(Section):
    """The answers that a fork is made from; they are kept beside it, so that it can be made again."""

    name: WorkloadName
    data_class: DataClass
    boundary: Boundary
    owner: Name
    tenants: tuple[Tenant, ...]

    @property
    def module(self) -> str:
        """The name of the folder and of its tests."""
        return self.name.replace("-", "_")

    @field_validator("name")
    @classmethod
    def _importable(cls, value: str) -> str:
        if value.endswith("-") or "--" in value:
            raise ValueError(f"must have a letter or digit between and after every - (got {value!r})")
        return value

    @field_validator("tenants")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"must be at least one tenant, each once (got {list(value)})")
        return value

    @model_validator(mode="after")
    def _as_strict_as_its_class(self) -> Self:
        try:
            require_boundary(self.data_class, self.boundary)
        except ConfigurationError as error:
            raise ValueError(f"{error} (got it for workload {self.name})") from None
        return self


def usual_boundary(data_class: DataClass) -> Boundary:
    """A private endpoint where the class allows one; nobody is sent to a public API without asking for it."""
    allowed = TREATMENTS[data_class].boundaries
    return Boundary.PRIVATE_ENDPOINT if Boundary.PRIVATE_ENDPOINT in allowed else allowed[0]
