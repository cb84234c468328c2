"""A part that takes milliseconds: an HTTP server of the standard library, or a program that misbehaves."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from stacks.local.parts.health import serves
from stacks.local.parts.part import Launch, Part

SERVES = """
import http.server, pathlib, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
pathlib.Path(sys.argv[2]).touch()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n" + SERVES
DIES = "print('first line'); print('the key is missing'); raise SystemExit(3)"
SLEEPS = "print('still loading', flush=True); import time; time.sleep(600)"


def small_part(name: str, port: int, folder: Path, program: str = SERVES, module: str = "http") -> Part:
    data = folder / "data" / name
    return Part(
        name=name,
        title=f"Small {name}",
        distribution="pytest",
        module=module,
        port=port,
        prepare=lambda _fresh: data.mkdir(parents=True, exist_ok=True),
        launch=lambda: Launch((sys.executable, "-c", program, str(port), str(data / "started"))),
        is_ready=functools.partial(serves, port, "/"),
    )
