"""What another resource says about one: a policy of a key, the versioning of a bucket."""

from __future__ import annotations

from collections.abc import Callable

from policy_packs.resource import Resource, Stack
from policy_packs.tristate import Truth, any_of


def any_satellite(
    stack: Stack, owner: Resource, satellite_type: str, by: str, judge: Callable[[Resource], Truth]
) -> Truth:
    """Whether a satellite of this type answers yes; one whose owner is not known yet may."""
    related = stack.related(owner, (satellite_type,), by=by)
    return any_of(*(judge(one) for one in related.certain), *([Truth.UNKNOWN] if related.is_unclear else []))
