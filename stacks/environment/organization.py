"""The AWS organization that the account belongs to."""

from __future__ import annotations

from typing import Literal

from stacks.configuration import Section
from stacks.environment.fields import OrganizationId


class Organization(Section):
    id: OrganizationId
    trail: Literal["managed", "external"]
    """managed: this account writes its own CloudTrail; external: the organization's trail covers it."""
