"""What AWS does where a program says nothing: the documented default of a property, by Pulumi type.

Absent is not false. A property that stands here reads as its default when it is left out; one that does not
stand here reads as missing, and no rule takes missing for compliant. Source of each block: the API reference
of the service, under the name of the property.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policy_packs.view import MISSING

DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    # KMS CreateKey; rotation is off until EnableKeyRotation.
    "aws:kms/key:Key": {
        "keyUsage": "ENCRYPT_DECRYPT",
        "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "enableKeyRotation": False,
    },
}


def default_of(resource_type: str, path: str) -> object:
    """The default, or MISSING where AWS documents none."""
    return DEFAULTS.get(resource_type, {}).get(path, MISSING)
