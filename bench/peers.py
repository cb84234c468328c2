"""Other gateways in front of the same fake upstream, bare: no controls, no database, no keys of their own.

They are fetched on the first run into `build/peers` from the registries of their languages, and never become
part of the project. What a machine cannot fetch is named and not measured.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = Path("build/peers").resolve()
START_TIMEOUT_S: Final = 90
_FETCH_TIMEOUT_S: Final = 300
_UV: Final = Path(".tools/uv/bin/uv").resolve()

PORTKEY: Final = "@portkey-ai/gateway@1.15.2"
LITELLM: Final = "litellm[proxy]==1.106.2"


class NotHereError(Exception):
    """The peer cannot be fetched or started on this machine; the text says why."""


@dataclass(frozen=True)
class Running:
    """A peer that answers: where, and which headers and bearer token it wants."""

    pid: int
    url: str
    bearer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def nginx(upstream_port: int) -> Iterator[Running]:
    """The speed of light: one worker that only passes bytes on."""
    program = _debian("nginx") / "usr" / "sbin" / "nginx"
    port = _free_port()
    home = FOLDER / "nginx-run"
    home.mkdir(exist_ok=True)
    settings = home / "nginx.conf"
    settings.write_text(_NGINX.format(home=home, port=port, upstream=upstream_port), encoding="utf-8")
    command = [str(program), "-p", str(home), "-c", str(settings), "-e", str(home / "error.log")]
    with _started(command, port) as pid:
        yield Running(pid, f"http://127.0.0.1:{port}/v1/chat/completions")


@contextmanager
def portkey(upstream_port: int) -> Iterator[Running]:
    """Portkey's open gateway, which takes the upstream from headers."""
    server = _npm(PORTKEY) / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    port = _free_port()
    upstream = f"http://127.0.0.1:{upstream_port}/v1"
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream}
    command = [_program("node"), str(server), f"--port={port}", "--headless"]
    with _started(command, port, {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}) as pid:
        yield Running(pid, f"http://127.0.0.1:{port}/v1/chat/completions", "bench", headers)


@contextmanager
def litellm(upstream_port: int) -> Iterator[Running]:
    """LiteLLM's proxy with one worker, so that one core is compared with one core."""
    program = _python("litellm", LITELLM) / "bin" / "litellm"
    port, key = _free_port(), f"sk-{secrets.token_hex(32)}"
    settings = FOLDER / "litellm.yaml"
    settings.write_text(_LITELLM.format(upstream=upstream_port), encoding="utf-8")
    command = [str(program), "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    offline = {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_OFFLINE_MODE": "true",
        "LITELLM_LOG": "ERROR",
    }
    with _started([*command, "--num_workers", "1"], port, offline) as pid:
        yield Running(pid, f"http://127.0.0.1:{port}/v1/chat/completions", key)


_NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {home}/pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};
  uwsgi_temp_path {home}; scgi_temp_path {home};
  keepalive_requests 1000000;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    client_body_buffer_size 1m;
    location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
_LITELLM = """
model_list:
  - model_name: local
    litellm_params: {{model: openai/local, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
"""


@contextmanager
def _started(command: Sequence[str], port: int, variables: Mapping[str, str] | None = None) -> Iterator[int]:
    """The process, once it listens; ended by its own id."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(FOLDER), **(variables or {})}
    log = FOLDER / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=FOLDER, env=environment, stdout=output, stderr=output)
    try:
        _await(port, process, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends_at and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise NotHereError(f"it does not listen; its last words are in {log.relative_to(FOLDER.parent.parent)}")


def _npm(package: str) -> Path:
    """The folder with a package of npm and what it needs; none of their scripts runs."""
    folder = FOLDER / "portkey"
    if not (folder / "node_modules").is_dir():
        _fetch(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), package])
    return folder


def _python(name: str, requirement: str) -> Path:
    """A virtual environment with one requirement."""
    folder = FOLDER / name
    if not (folder / "done").is_file():
        _fetch([str(_UV), "venv", "--quiet", "--clear", str(folder)])
        _fetch([str(_UV), "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), requirement])
        (folder / "done").touch()
    return folder


def _debian(package: str) -> Path:
    """The contents of a Debian package, unpacked and not installed."""
    folder = FOLDER / package
    if not folder.is_dir():
        download = FOLDER / "debian"
        download.mkdir(parents=True, exist_ok=True)
        _fetch(["apt-get", "--quiet", "download", package], download)
        [file] = download.glob(f"{package}_*.deb")
        _fetch(["dpkg", "--extract", str(file), str(folder)])
    return folder


def _fetch(command: Sequence[str], folder: Path | None = None) -> None:
    place = folder or FOLDER
    place.mkdir(parents=True, exist_ok=True)
    name = _program(command[0])
    done = subprocess.run(
        [name, *command[1:]], cwd=place, capture_output=True, text=True, check=False, timeout=_FETCH_TIMEOUT_S
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise NotHereError(f"{Path(name).name} failed: {last}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotHereError(f"{name} is not on this machine")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
