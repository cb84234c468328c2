"""A policy document has no holes: what is not known is refused, not written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.policy_document import IncompleteDocument, account, allow, deny, document


def test_a_document_is_written_as_iam_reads_it() -> None:
    written = json.loads(
        document(allow("Read", ["s3:GetObject"], "arn:aws:s3:::b/*", principal=account("123456789012")))
    )

    assert written == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Read",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": ["s3:GetObject"],
                "Resource": "arn:aws:s3:::b/*",
            }
        ],
    }


HOLES: dict[str, Any] = {
    "an unknown ARN": "None/*",
    "an output formatted as text": "Calling __str__ on an Output[T] is not supported",
    "nothing": None,
    "an empty list entry": [""],
}


@pytest.mark.parametrize("what", HOLES)
def test_a_hole_is_refused_by_its_place(what: str) -> None:
    statement = deny("Hole", ["s3:*"], "*")
    statement["Resource"] = HOLES[what]

    with pytest.raises(IncompleteDocument, match="Hole"):
        document(statement)


def test_a_document_without_statements_is_refused() -> None:
    with pytest.raises(IncompleteDocument, match="at least one statement"):
        document()
