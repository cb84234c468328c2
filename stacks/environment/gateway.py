"""The gateway of an environment, and the issuers whose tokens it accepts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from stacks.configuration import ImageDigest, Name, Section
from stacks.environment.fields import BaseUrl, CertificateArn, HostName, ListenAddress


class ClaimPaths(Section):
    """Where an issuer's tokens say the tenant, the roles and the workload: names from the outside in."""

    tenant: tuple[str, ...] = ("tenant",)
    roles: tuple[str, ...] = ("roles",)
    workload: tuple[str, ...] = ("workload",)


class Subject(Section):
    """What exactly one subject is: an AWS role's ARN, or a CI job as its provider writes it."""

    subject: str
    tenant: Name
    roles: Annotated[tuple[Name, ...], Field(min_length=1)]
    workload: Name


class Issuer(Section):
    """An OIDC issuer whose tokens the gateway accepts, as GATEWAY_OIDC_ISSUERS spells it."""

    issuer: BaseUrl
    audience: Name
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"], ...] = ("RS256",)
    claims: ClaimPaths = ClaimPaths()
    subjects: tuple[Subject, ...] = ()
    """Where there are any, no other subject of the issuer passes."""
    outage_s_max: Annotated[int, Field(ge=0, le=3600)] = 3600
    """How long its keys go on counting while it cannot be reached."""

    @field_validator("algorithms")
    @classmethod
    def _at_least_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one of RS256, PS256, ES256, ES384, EdDSA (got none)")
        return value


class Gateway(Section):
    image_digest: ImageDigest
    cpu: Literal[256, 512, 1024, 2048, 4096]
    memory_mib: Literal[512, 1024, 2048, 4096, 8192, 16384]
    tasks: Annotated[int, Field(ge=1, le=50)]
    listen: ListenAddress
    """Where the container listens. Plain HTTP on loopback only; TLS 1.3 everywhere else."""
    host_name: HostName
    url: BaseUrl
    """What clients use as base URL."""
    certificate_arn: CertificateArn

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])
