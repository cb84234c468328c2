"""A key of ours, told from the one that AWS manages for a service."""

from __future__ import annotations

from typing import Final

from policy_packs.tristate import Truth, all_of, negate
from policy_packs.view import View

# For the examples of rules.
OWN_KEY: Final = "arn:aws:kms:eu-central-1:111122223333:key/0d1c5a52-7f0e-4f5e-9a3e-2b6d1f0c9e11"


def is_customer_key(key: View) -> Truth:
    """A key is named, and it is not the one that AWS manages for a service."""
    return all_of(key.is_given(), negate(key.matches(r"(arn:[^:]*:kms:[^:]*:[^:]*:)?alias/aws/.*")))
