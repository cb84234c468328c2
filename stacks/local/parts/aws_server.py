"""Runs moto's server over TLS 1.3, with bucket policies judged by our own evaluator."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from stacks.local.parts.addresses import HOST


class PatientContext(ssl.SSLContext):
    """Shakes hands when a connection is first read, in its own thread: a silent client stops nobody else."""

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *arguments, **{**named, "do_handshake_on_connect": False})


def tls_1_3_only(chain: Path) -> ssl.SSLContext:
    context = PatientContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(chain)
    return context


def main(port: str, chain: str, access_log: str) -> None:
    os.environ["MOTO_PORT"] = port
    signal.signal(signal.SIGTERM, _leave)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    _keep_apart(Path(access_log))

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    from stacks.local.parts import bucket_policies, kms_limits, loopback_only

    loopback_only.install()
    bucket_policies.install()
    kms_limits.install()
    application = DomainDispatcherApplication(create_backend_app)
    run_simple(
        HOST,
        int(port),
        application,
        threaded=True,
        ssl_context=tls_1_3_only(Path(chain)),
        request_handler=bucket_policies.TlsRequestHandler,
    )


def _keep_apart(access_log: Path) -> None:
    """One line a request, in a file of its own, so that the log shows what went wrong."""
    requests = logging.getLogger("werkzeug")
    requests.setLevel(logging.INFO)
    requests.addHandler(logging.FileHandler(access_log))
    requests.propagate = False


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
