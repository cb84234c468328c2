"""`forecast expose`: the figures of a mounted plan for the scraper, over TLS 1.3, true at the moment of asking.

The plan is read for every question, so a new one counts at once. No plan, or one that has run out: no figure.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from services.forecast.documents import PlanError, as_figures

DEADLINE_S = 10
PLAN_BYTES_MAX = 1 << 20  # what a ConfigMap can hold

Clock = Callable[[], datetime]


def server(host: str, port: int, plan: Path, tls: ssl.SSLContext, clock: Clock | None = None) -> ThreadingHTTPServer:
    """Not yet serving."""
    now = clock or (lambda: datetime.now(UTC))

    class Answer(BaseHTTPRequestHandler):
        timeout = DEADLINE_S
        server_version = "forecast"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            status, body = _figures(plan, now())
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as in http.server
            """A line for every scrape would say nothing."""

    listening = ThreadingHTTPServer((host, port), Answer)
    # The handshake belongs to the connection's own thread, not to the one that accepts.
    listening.socket = tls.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    return listening


def tls13(certificate: Path, private_key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, private_key)
    return context


def _figures(plan: Path, now: datetime) -> tuple[int, bytes]:
    try:
        with plan.open("rb") as file:
            return 200, as_figures(json.loads(file.read(PLAN_BYTES_MAX)), now).encode()
    except (OSError, ValueError, PlanError) as error:
        return 503, f"# no plan: {type(error).__name__}\n".encode()
