"""A permission that was granted a second ago is not yet known everywhere at AWS: try again, for a while.

IAM is eventually consistent. Some services try out a role when a resource names it (Bedrock's invocation
logging, add-ons of a cluster) and refuse the first `up` in a new account, although the order was right. The
hook repeats a creation that failed for such a reason; every other failure ends the update at once.
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pulumi

# Together a little more than a minute: what takes longer is no question of time.
DELAYS_S = (2.0, 5.0, 10.0, 20.0, 30.0)
NOT_YET = (
    "cannot be assumed",
    "could not assume",
    "failed to validate permissions",
    "invalid principal",
    "is not authorized to perform",
    "nosuchentity",
    "unable to assume",
)


def until_permissions_spread(name: str, delays_s: Sequence[float] = DELAYS_S) -> pulumi.ResourceHookBinding:
    """Options of a resource: `hooks=until_permissions_spread("…")`. The name is unique in its program."""

    async def again(failed: pulumi.ErrorHookArgs) -> bool:
        if not is_worth_waiting(failed.failed_operation, failed.errors, len(delays_s)):
            return False
        await asyncio.sleep(delays_s[len(failed.errors) - 1])
        return True

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}-until-permissions-spread", again)])


def is_worth_waiting(operation: str, errors: Sequence[str], attempts_max: int) -> bool:
    """`errors` newest first, one for each attempt: only the newest decides."""
    if operation not in ("create", "update") or not 1 <= len(errors) <= attempts_max:
        return False
    return any(reason in errors[0].lower() for reason in NOT_YET)
