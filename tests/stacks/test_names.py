"""Names that AWS accepts, whatever the model is called."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stacks.names import Names

MODEL_IDS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
NAMES = Names("staging", "123456789012", "eu-central-1")


@given(model=MODEL_IDS)
def test_every_endpoint_and_its_role_have_a_name_that_aws_accepts(model: str) -> None:
    name = NAMES.managed_model(model)

    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
    assert len(name) <= 63
    assert len(f"{name}-endpoint") <= 64


@given(first=MODEL_IDS, second=MODEL_IDS)
def test_two_models_never_share_an_endpoint(first: str, second: str) -> None:
    assert (NAMES.managed_model(first) == NAMES.managed_model(second)) is (first == second)
