"""The operations port: readiness that tells the truth, figures that name nobody, and no way in for a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from services.gateway.edge import application
from services.gateway.exchange import Unavailable
from services.gateway.metrics import Metrics
from services.gateway.operations_server import operations
from services.gateway.readiness import Check, Readiness
from services.gateway.settings import Address, Settings, SettingsError, beside, is_private
from tests.services.gateway.fakes import World
from tests.services.gateway.serving import serving
from tests.services.gateway.test_command import environment


@dataclass
class Site:
    """The two ports of a gateway whose parts are up or down as the test says."""

    public: str
    url: str
    http: aiohttp.ClientSession
    readiness: Readiness
    parts: dict[str, bool] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(f"{self.url}{path}", headers=headers) as response:
            return response.status, await response.text()

    async def ask(self, text: str, model: str = "local") -> int:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": "Bearer alice"}
        async with self.http.post(f"{self.public}/v1/chat/completions", json=body, headers=headers) as response:
            await response.read()
            return response.status


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    parts = {"database": True, "limits": True}

    def check(name: str) -> Check:
        async def asked() -> None:
            if not parts[name]:
                raise Unavailable(name, "postgresql://secret")

        return asked

    metrics = Metrics()
    readiness = Readiness({name: check(name) for name in parts})
    async with (
        serving(application(World().ports(), metrics)) as public,
        serving(operations(readiness, metrics)) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Site(public, url, http, readiness, parts)


async def test_readiness_tells_the_truth_and_no_more(site: Site) -> None:
    async with site.http.get(f"{site.url}/readyz") as response:
        assert (response.status, (await response.json())["status"]) == (200, "ready")
    site.parts["limits"] = False
    async with site.http.get(f"{site.url}/readyz") as response:
        assert response.status == 503
        assert (await response.json())["parts"] == {"database": "ready", "limits": "not ready: limits"}


async def test_who_drains_is_not_ready_but_alive(site: Site) -> None:
    site.readiness.draining = True
    status, text = await site.get("/readyz")
    assert (status, '"status":"draining"' in text) == (503, True)
    assert (await site.get("/healthz"))[0] == 200


async def test_figures_name_nobody(site: Site) -> None:
    assert await site.ask("Leave?") == 200
    assert await site.ask("Leave?", model="gpt-9") == 404
    _, text = await site.get("/metrics")
    assert 'gateway_responses_total{endpoint="chat.completions",status="200"} 1.0' in text
    assert 'gateway_responses_total{endpoint="chat.completions",status="404"} 1.0' in text
    assert 'gateway_tokens_total{direction="output",model="local"} 7.0' in text
    for word in ("alice", "acme", "gpt-9", "Leave"):
        assert word not in text


@pytest.mark.parametrize("path", ["/readyz", "/metrics", "/", "/style.css"])
async def test_nothing_for_operators_is_at_the_callers_port(site: Site, path: str) -> None:
    async with site.http.get(f"{site.public}{path}") as response:
        assert response.status == 404
    async with site.http.get(f"{site.public}/healthz") as response:
        assert response.status == 200  # the load balancer asks there


async def test_nothing_for_callers_is_at_the_operations_port(site: Site) -> None:
    for path in ("/v1/models", "/v1/chat/completions"):
        assert (await site.get(path))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_changed(site: Site, method: str) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        async with site.http.request(method, f"{site.url}{path}") as response:
            assert response.status == 405


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "a:b:c"])
async def test_a_name_that_could_be_rebound_is_refused(site: Site, host: str) -> None:
    status, text = await site.get("/metrics", host=host)
    assert status in (400, 421)
    assert "gateway_" not in text


@pytest.mark.parametrize("host", ["127.0.0.1:9453", "localhost", "[::1]:9453", "10.1.2.3:9453"])
async def test_an_address_is_answered(site: Site, host: str) -> None:
    assert (await site.get("/metrics", host=host))[0] == 200


async def test_every_answer_tells_a_browser_to_do_nothing_with_it(site: Site) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/nowhere"):
        async with site.http.get(f"{site.url}{path}") as response:
            headers: Any = response.headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"


# --- where it listens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "10.0.0.1", "172.31.255.255", "192.168.1.1", "fd00::1"]
)
def test_loopback_and_private_addresses_are_accepted(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104 - judged, not bound
        "::",
        "8.8.8.8",
        "172.32.0.1",
        "169.254.169.254",
        "gateway.example",
        "2001:db8::1",
    ],
)
def test_any_other_address_is_refused(host: str) -> None:
    assert not is_private(host)


def test_a_public_address_is_no_setting() -> None:
    with pytest.raises(SettingsError, match="GATEWAY_OPERATIONS_LISTEN must be a loopback address"):
        Settings.from_environment(environment(GATEWAY_OPERATIONS_LISTEN="0.0.0.0:9453"))


def test_without_the_setting_it_is_on_loopback_beside_the_other_port() -> None:
    environ = environment(GATEWAY_LISTEN="0.0.0.0:8443", GATEWAY_OPERATIONS_LISTEN="")
    assert Settings.from_environment(environ).operations_listen == Address("127.0.0.1", 9453)
    assert beside(Address("0.0.0.0", 65000)) == Address("127.0.0.1", 63990)  # noqa: S104 - a setting, not a socket
