"""Whether an account and region have what an environment needs, asked before anything is created.

    python -m stacks.preflight --environment prod           a table
    python -m stacks.preflight --environment prod --json    the same as JSON

Reads only, with the caller's own credentials. What cannot be found out counts as failed.
Exit 0: everything holds. Exit 1: something does not; each such row says what to do. Exit 2: wrong configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from stacks.configuration import ConfigurationError
from stacks.environment import EnvironmentName
from stacks.local.captured_platform import captured, configured
from stacks.local.engine_graph import EngineError
from stacks.preflight.aws import Session
from stacks.preflight.checks import examine
from stacks.preflight.needs import Needs, UnknownInstanceType, services_of
from stacks.preflight.report import as_json, table

_HOLDS, _FAILS, _WRONG = 0, 1, 2
_PIPE_WIDTH = 200


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        needs = needs_of(options.environment)
        rows = examine(needs, Session(needs.environment.region))
    except (ConfigurationError, EngineError, UnknownInstanceType) as refusal:
        print(f"not examined: {refusal}", file=sys.stderr)
        return _WRONG
    if options.json:
        print(as_json(options.environment, rows))
    else:
        console = Console()
        (console if console.is_terminal else Console(width=_PIPE_WIDTH)).print(table(options.environment, rows))
    return _HOLDS if all(row.held for row in rows) else _FAILS


def needs_of(name: str) -> Needs:
    """The environment as configured, and the endpoints that its program asks for."""
    environment = configured(name)
    endpoints = captured(name).of_type("aws:ec2/vpcEndpoint:VpcEndpoint")
    named = (
        str(endpoint.inputs["serviceName"])
        for endpoint in endpoints
        if endpoint.inputs.get("vpcEndpointType") == "Interface"
    )
    return Needs(environment, services_of(named, environment.region))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    # The local environment has no account at AWS.
    names = [name.value for name in EnvironmentName if name is not EnvironmentName.LOCAL]
    parser = argparse.ArgumentParser(prog="python -m stacks.preflight", description=__doc__)
    parser.add_argument("--environment", choices=names, required=True)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
