"""The AWS API for provider tests: moto's server in a thread, emptied before every test."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from stacks.local.provider.aws_calls import Endpoint
from stacks.local.provider.provider import MotoProvider


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def forget(server: str) -> Callable[[], None]:
    """Empties the AWS API, as a restart of the emulator does."""
    request = urllib.request.Request(f"{server}/moto-api/reset", method="POST")  # noqa: S310 - a loopback address
    return lambda: urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - a loopback address


@pytest.fixture
def endpoint(server: str, forget: Callable[[], None]) -> Endpoint:
    forget()
    return Endpoint(server)


@pytest.fixture
def provider(endpoint: Endpoint) -> MotoProvider:
    return MotoProvider(endpoint)


@pytest.fixture
def client(endpoint: Endpoint) -> Callable[[str], Any]:
    """Clients of our own: what they read is what really is there."""
    session: Any = boto3.session.Session("reader", "reader", region_name="eu-west-1")
    return lambda service: session.client(service, endpoint_url=endpoint.url)
