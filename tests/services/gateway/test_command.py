"""The command line as an operator meets it: real processes, one sentence when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from urllib.error import HTTPError

import pytest

from tests.free_ports import free_port

HOST = "127.0.0.1"
MODELS = [
    {
        "id": "minilm",
        "kind": "embedding",
        "backend": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        "upstream_model": "minilm",
        "boundary": "self_hosted",
        "context_tokens_max": 256,
        "usd_per_million_input_tokens": "0",
        "usd_per_million_output_tokens": "0",
    }
]


def environment(**changes: str) -> dict[str, str]:
    """A complete environment in which nothing answers."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return (
        kept
        | {
            "GATEWAY_ENVIRONMENT": "local",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "GATEWAY_LISTEN": f"{HOST}:{free_port()}",
            "GATEWAY_OPERATIONS_LISTEN": f"{HOST}:{free_port()}",
            "GATEWAY_OIDC_ISSUERS": json.dumps(
                [{"issuer": "http://127.0.0.1:9", "audience": "llm-gateway", "algorithms": ["RS256"]}]
            ),
            "GATEWAY_DATABASE": "127.0.0.1:9",
            "GATEWAY_DATABASE_NAME": "llm",
            "GATEWAY_DATABASE_USER": "gateway",
            "GATEWAY_VALKEY": "127.0.0.1:9",
            "GATEWAY_VALKEY_USER": "gateway",
            "GATEWAY_REGISTRATION_BUCKET": "registrations",
            "GATEWAY_REGISTRATION_KEY_ARN": "arn:aws:kms:eu-west-1:123456789012:key/registration",
            "GATEWAY_AUDIT_BUCKET": "log-archive",
            "GATEWAY_AUDIT_SIGNING_KEY_ARN": "arn:aws:kms:eu-west-1:123456789012:key/signing",
            "GATEWAY_AUDIT_MAC_KEY_ARN": "arn:aws:kms:eu-west-1:123456789012:key/mac",
            "GATEWAY_MODELS": json.dumps(MODELS),
            "GATEWAY_EMBEDDING_MODEL": "minilm",
            "GATEWAY_EMBEDDING_DIMENSIONS": "384",
        }
        | changes
    )


def run(*arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.gateway", *arguments],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@contextmanager
def serving(environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.gateway", "serve"],
        env=dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def get(url: str, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Asks until the listener is there."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=10, context=context) as response:  # noqa: S310 - loopback
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError as error:
            if isinstance(getattr(error, "reason", error), ssl.SSLError):
                raise
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"GATEWAY_DATABASE": ""}, "GATEWAY_DATABASE is not set"),
        ({"GATEWAY_ENVIRONMENT": "test"}, "must be one of local, dev, staging, prod"),
        ({"GATEWAY_MODELS": "[]"}, "GATEWAY_EMBEDDING_MODEL must be the id of an embedding model"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_1(changes: dict[str, str], sentence: str) -> None:
    result = run("serve", environ=environment(**changes))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr


def test_a_taken_port_is_one_sentence_and_exit_code_1() -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        listen = f"{HOST}:{taken.getsockname()[1]}"
        result = run("serve", environ=environment(GATEWAY_LISTEN=listen))
    assert result.returncode == 1
    assert f"cannot listen on {listen}" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["migrate"], ["audit", "verify"], ["ingest", "--once"]])
def test_a_part_that_is_missing_is_one_sentence_and_exit_code_1(command: list[str]) -> None:
    result = run(*command, environ=environment())
    assert result.returncode == 1
    assert "Traceback" not in result.stderr + result.stdout


def test_an_unknown_command_is_refused() -> None:
    assert run("destroy", environ=environment()).returncode == 2


def test_serve_is_alive_but_not_ready_without_its_parts_and_ends_in_order() -> None:
    environ = environment()
    url = f"http://{environ['GATEWAY_LISTEN']}"
    with serving(environ) as process:
        assert get(f"{url}/healthz") == (200, b'{"status":"alive"}')
        status, body = get(f"http://{environ['GATEWAY_OPERATIONS_LISTEN']}/readyz")
        assert status == 503
        assert all(state != "ready" for state in json.loads(body)["parts"].values())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    assert all({"ts", "level", "logger", "at"} <= set(line) for line in lines)


def test_beyond_loopback_only_tls_1_3_is_spoken() -> None:
    port = free_port()
    environ = environment(GATEWAY_LISTEN=f"0.0.0.0:{port}")
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    with serving(environ):
        assert get(f"https://{HOST}:{port}/healthz", trusting)[0] == 200
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname = False
        old.verify_mode = ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection((HOST, port)) as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain)
        with socket.create_connection((HOST, port)) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP")
