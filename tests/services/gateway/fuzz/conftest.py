"""One gateway for a whole file of fuzzers: thousands of requests, one process, and it must outlive them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.gateway.clients.site import Site, running_site
from tests.services.gateway.fuzz.wire import Wire


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture(scope="module")
def wire(site: Site) -> Iterator[Wire]:
    wire = Wire(site)
    yield wire
    wire.close()
