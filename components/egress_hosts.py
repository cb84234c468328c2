"""Which hosts may stand on the list of a firewall: full names, and not too many."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Of the firewall's rule group. It cannot be changed later: room for more hosts than anybody has asked for.
RULE_CAPACITY = 300
HOSTS_MAX = RULE_CAPACITY // 3
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}\.)+[a-z]{{2,63}}")


class EgressError(ValueError):
    """The way out would be wider than named hosts. The message says what is allowed."""


def refuse_open_hosts(hosts: Sequence[str]) -> None:
    """Exact host names only: with a wildcard, whoever owns a name under it would be reached too."""
    wrong = [host for host in hosts if not _HOST.fullmatch(host)]
    if wrong:
        raise EgressError(
            f"hosts of public models must be full names such as api.example.com, without wildcards, addresses or "
            f"bare top-level domains (got {wrong})"
        )
    if not 1 <= len(set(hosts)) == len(hosts) <= HOSTS_MAX:
        raise EgressError(f"hosts of public models must be 1 to {HOSTS_MAX} different ones (got {len(hosts)})")
