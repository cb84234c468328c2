"""The last registration accepted of each workload, so that an older one that is put back does not count again.

A signature stays good for ever: who may write to the bucket, but not sign, could bring back a registration with wider
limits or a role that was since withdrawn. Serials only rise, and the database remembers them for every replica and
across restarts.
"""

from __future__ import annotations

from typing import Protocol

from services.gateway.adapters.database import Database
from services.gateway.adapters.registration_document import RegistrationError
from services.gateway.exchange import Registration

ADVANCE = "SELECT registrations.advance($1, $2, $3) AS accepted"


class Marks(Protocol):
    async def advance(self, registration: Registration) -> None:
        """Returns when it is the last accepted one or a newer one; RegistrationError when it is older.

        Unavailable when that cannot be known.
        """


class DatabaseMarks:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def advance(self, registration: Registration) -> None:
        rows = await self._database.fetch(ADVANCE, registration.workload, registration.serial, registration.digest)
        if not rows[0]["accepted"]:
            raise RegistrationError(
                f"serial must be higher than that of the last registration accepted (got {registration.serial})"
            )
