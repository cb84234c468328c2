"""By hand: `python -m stacks.local.parts start | stop | status`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stacks.local.parts.addresses import Addresses
from stacks.local.parts.local_parts import Options, local_supervisor
from stacks.local.parts.part import PartError
from stacks.local.parts.places import Places
from stacks.local.parts.supervisor import Interrupted, Status


def table(rows: Sequence[Status]) -> Table:
    drawn = Table(title="Local parts", title_justify="left")
    for heading in ("part", "version", "address", "state"):
        drawn.add_column(heading, no_wrap=True)
    for heading in ("pid", "RSS MiB", "ready in s"):
        drawn.add_column(heading, justify="right")
    for row in rows:
        drawn.add_row(
            row.title, row.version, row.address, row.state, str(row.pid), f"{row.rss_mib:.0f}", f"{row.ready_s:.1f}"
        )
    drawn.add_section()
    drawn.add_row("together", "", "", "", "", f"{sum(row.rss_mib for row in rows):.0f}", "")
    return drawn


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stacks.local.parts", description=__doc__)
    parser.add_argument("command", choices=("start", "stop", "status"))
    parser.add_argument("--model-url", default="", help="OpenAI-compatible base URL to use instead of our model")
    parser.add_argument("--model-threads", type=int, default=1)
    parser.add_argument("--root", type=Path, default=Places.default().root, help="where the run writes")
    parser.add_argument("--port-offset", type=int, default=0, help="moves every port, beside another run")
    chosen = parser.parse_args(arguments)
    addresses = Addresses.default().shifted(chosen.port_offset)
    try:
        options = Options(chosen.model_url, chosen.model_threads)
        supervisor = local_supervisor(Places(chosen.root.resolve()), addresses, options)
        if chosen.command == "stop":
            print(f"stopped: {', '.join(supervisor.stop_all()) or 'nothing ran'}")
            return 0
        rows = supervisor.start_all() if chosen.command == "start" else supervisor.status()
    except PartError as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("interrupted: what was started is stopped again", file=sys.stderr)
        return 1
    Console().print(table(rows))
    return 0 if rows and all(row.state == "runs" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
