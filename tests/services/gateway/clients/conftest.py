"""One gateway for a file of contract tests, as new for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.gateway.clients.openai_sdk import Sdk
from tests.services.gateway.clients.site import Site, running_site


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.reset()
    return running


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, site: Site) -> Sdk:
    return Sdk(request.param, site.url)
