"""The organization's trail: made in the management account, kept in the archive's.

The archive is another account's bucket and key, so that who administers the organization cannot empty it.
"""

from __future__ import annotations

from components.data_key import DataKey, KeyUse
from components.key_policy import Place, administration, use_by_log_groups
from components.log_group import LogGroup
from components.permissions_boundary import PermissionsBoundary
from components.policy_document import document
from components.trail import Trail
from stacks.governance import Governance, TrailArchive
from stacks.names import Names
from stacks.placement import Placement


def deploy_trail(governance: Governance, archive: TrailArchive, placement: Placement) -> Trail:
    """The key and the log group first: the trail tries both when it is made."""
    names = Names("organization", governance.management_account_id, governance.region)
    boundary = PermissionsBoundary(
        "boundary",
        {"account_id": names.account_id, "policy_name": names.boundary_policy},
        placement.lasting(),
    )
    bounded = placement.bounded(boundary.arn)
    logs = _log_group(governance, archive, names, bounded)
    return Trail(
        "trail",
        {
            "account_id": names.account_id,
            "region": names.region,
            "trail_name": names.trail,
            "of_organization": True,
            "bucket_name": archive.bucket_name,
            # The bucket and its policy are the archive's: what must be there first of ours is the log group.
            "bucket_ready": logs,
            "key_arn": archive.key_arn,
            "log_group_name": names.log_group("trail"),
            "log_group_arn": logs.arn,
            "role_name": names.trail,
        },
        bounded.lasting(),
    )


def _log_group(governance: Governance, archive: TrailArchive, names: Names, placement: Placement) -> LogGroup:
    place = Place(names.account_id, names.region)
    name = names.log_group("trail")
    key = DataKey(
        "logs",
        {
            "purpose": "Log group of the organization's trail",
            "alias": names.alias("logs"),
            "use": KeyUse.ENCRYPT,
            "policy": document(*administration(place, governance.break_glass_role), use_by_log_groups(place, [name])),
        },
        placement.lasting(),
    )
    return LogGroup(
        "trail",
        {
            "log_group_name": name,
            "key_arn": key.arn,
            "retention_days": archive.log_days,
            "deletion_protection": True,
        },
        placement.lasting(),
    )
