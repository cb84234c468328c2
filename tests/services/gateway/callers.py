"""Callers, a registration and roles for tests of limits and budgets."""

from __future__ import annotations

from decimal import Decimal

from services.gateway.exchange import (
    Boundary,
    Caller,
    DataClass,
    Registration,
    Role,
    RoleBudget,
    RoleLimits,
    Template,
)

PLENTY = 1_000_000


def caller(subject: str, tenant: str = "acme") -> Caller:
    return Caller("https://identity.example", subject, tenant, ("analyst",), {})


def registration(workload: str = "assistant") -> Registration:
    return Registration(
        workload=workload,
        environment="local",
        digest="sha256:0",
        data_class=DataClass.INTERNAL,
        boundary=Boundary.SELF_HOSTED,
        claims={"workload": workload},
        tenants=("acme", "globex"),
        roles={},
        key_arn="",
        document_bucket="",
        document_queue_url="",
        dead_letter_queue_url="",
    )


def role(
    *,
    name: str = "analyst",
    requests_per_minute: int = PLENTY,
    input_tokens_per_minute: int = PLENTY,
    output_tokens_per_minute: int = PLENTY,
    concurrent_requests_max: int = PLENTY,
    usd_per_day_user: str = "1000",
    usd_per_day_workload: str = "1000",
    **budgets: str,
) -> Role:
    """`budgets` are further fields of RoleBudget."""
    return Role(
        name=name,
        template=Template("answer", "sha256:0", ""),
        models=("local",),
        collections=(),
        tools={},
        limits=RoleLimits(
            requests_per_minute,
            input_tokens_per_minute,
            output_tokens_per_minute,
            concurrent_requests_max,
            input_tokens_max=PLENTY,
            output_tokens_max=PLENTY,
        ),
        budget=RoleBudget(
            Decimal(usd_per_day_user),
            Decimal(usd_per_day_workload),
            **{name: Decimal(usd) for name, usd in budgets.items()},
        ),
    )
