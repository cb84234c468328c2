"""`make down`: ends every process that `up` started and removes what the run wrote, below build/ only."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from stacks.local.parts.part import PartError
from stacks.local.parts.places import DEFAULT_ROOT, Places
from stacks.local.parts.supervisor import stop_recorded


def stop_everything(places: Places) -> list[str]:
    """Ends the services and the parts by their recorded process identity.

    Data and everything that opens a door go with them; logs and the report stay.
    """
    stopped = stop_recorded(places)
    for folder in (places.root / "data", places.run):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("connection.json", "gateway.env"):
        (places.root / name).unlink(missing_ok=True)
    return stopped


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="down", description=__doc__)
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="where the run wrote")
    try:
        stopped = stop_everything(Places(parser.parse_args(arguments).root.resolve()))
    except PartError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"stopped: {', '.join(stopped) or 'nothing ran'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
