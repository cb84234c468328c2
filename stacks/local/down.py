"""`make down`: ends every process that `up` started and removes what the run wrote, below build/ only."""

from __future__ import annotations

import shutil
import sys

from stacks.local.parts.part import PartError
from stacks.local.parts.places import Places
from stacks.local.parts.supervisor import stop_recorded


def stop_everything(places: Places) -> list[str]:
    """Ends the services and the parts by their recorded process identity; logs and the report stay."""
    stopped = stop_recorded(places)
    shutil.rmtree(places.root / "data", ignore_errors=True)
    return stopped


def main() -> int:
    try:
        stopped = stop_everything(Places.default())
    except PartError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"stopped: {', '.join(stopped) or 'nothing ran'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
