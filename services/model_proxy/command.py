"""The command line: `model-proxy serve`. A setting that is missing or unsafe is one sentence and exit code 1."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from services.model_proxy.certificate import CertificateError
from services.model_proxy.logs import write_to_stdout
from services.model_proxy.server import serve
from services.model_proxy.settings import Settings, SettingsError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; the process ends with its exit code."""
    parser = argparse.ArgumentParser(prog="model-proxy", description="The path allow-list before a model server.")
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("serve", help="pass on what is allowed")
    parser.parse_args(arguments)
    write_to_stdout()
    try:
        uvloop.run(_serve(Settings.from_environment(os.environ)))
    except (SettingsError, CertificateError) as error:
        print(f"model-proxy: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        print(f"model-proxy: cannot listen: {os.strerror(error.errno or 0)}", file=sys.stderr)
        raise SystemExit(1) from None
    logging.shutdown()


async def _serve(settings: Settings) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await serve(settings, ended)
