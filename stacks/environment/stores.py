"""The data stores of an environment: their versions and their sizes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from stacks.configuration import Section, text_like


class Database(Section):
    engine_version: Annotated[
        str, AfterValidator(text_like(r"1[67]\.\d{1,2}", "an Aurora PostgreSQL version: 16.x, 17.x"))
    ]
    capacity_min: Annotated[float, Field(ge=0.5, le=128)]
    capacity_max: Annotated[float, Field(ge=1, le=256)]
    instances: Annotated[int, Field(ge=1, le=4)]
    backup_days: Annotated[int, Field(ge=1, le=35)]
    tls_min: Literal["TLSv1.2", "TLSv1.3"]
    """What the server accepts at least; the gateway itself never speaks less than TLS 1.3."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.capacity_min > self.capacity_max:
            raise ValueError(
                f"capacity_min must not exceed capacity_max (got {self.capacity_min} > {self.capacity_max})"
            )
        return self


class Cache(Section):
    data_gb_max: Annotated[int, Field(ge=1, le=100)]
    ecpu_per_second_max: Annotated[int, Field(ge=1000, le=1_000_000)]
