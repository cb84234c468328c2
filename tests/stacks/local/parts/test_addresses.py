"""Every part has a port of its own, and all of them move together."""

from __future__ import annotations

from dataclasses import astuple

from hypothesis import given
from hypothesis import strategies as st

from stacks.local.parts.addresses import Addresses


def test_default_ports_are_distinct() -> None:
    chosen = astuple(Addresses.default())
    assert len(set(chosen)) == len(chosen)


@given(st.integers(min_value=0, max_value=20_000))
def test_shifting_moves_every_port_and_every_url(offset: int) -> None:
    default, shifted = Addresses.default(), Addresses.default().shifted(offset)
    assert [port - offset for port in astuple(shifted)] == list(astuple(default))
    assert shifted.issuer.endswith(f":{default.oidc + offset}")
    assert shifted.aws_url.endswith(f":{default.aws + offset}")
