"""An OIDC provider on loopback that a test can take down, and that signs whatever a test wants signed."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from services.gateway.settings import OUTAGE_S_MAX, ClaimPaths, Subject

AUDIENCE = "llm-gateway"


@dataclass
class Issuer:
    """Keys by key id. `fetches` counts how often the keys were asked for."""

    url: str = ""
    audience: str = AUDIENCE
    algorithms: tuple[str, ...] = ("RS256",)
    claims: ClaimPaths = field(default_factory=ClaimPaths)
    subjects: tuple[Subject, ...] = ()
    outage_s_max: int = OUTAGE_S_MAX
    keys: dict[str, rsa.RSAPrivateKey] = field(
        default_factory=lambda: {"first": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
    )
    fetches: int = 0
    asked: int = 0  # how often the metadata were asked for, in vain too
    down: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    published: dict[str, Any] | None = None  # in place of the keys

    @property
    def issuer(self) -> str:
        return self.url

    def token(self, *, key_id: str = "first", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token, but for what the test changes; a claim set to None is left out."""
        now = int(time.time())
        body: dict[str, Any] = {
            "iss": self.url,
            "sub": "alice",
            "aud": AUDIENCE,
            "exp": now + 600,
            "iat": now,
            "tenant": "acme",
            "roles": ["analyst"],
            "workload": "document-assistant",
        }
        body = {name: value for name, value in (body | claims).items() if value is not None}
        return jwt.encode(body, self.keys[key_id], algorithm="RS256", headers={"kid": key_id, **(header or {})})

    async def _configuration(self, request: web.Request) -> web.Response:
        self.asked += 1
        self._require_up()
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.metadata})

    async def _published(self, request: web.Request) -> web.Response:
        self._require_up()
        self.fetches += 1
        keys = []
        for key_id, key in self.keys.items():
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
            keys.append({**public, "kid": key_id, "use": "sig", "alg": "RS256"})
        return web.json_response(self.published or {"keys": keys})

    def _require_up(self) -> None:
        if self.down:
            raise web.HTTPServiceUnavailable


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer._configuration)
    app.router.add_get("/keys", issuer._published)
    async with running(app) as url:
        issuer.url = url
        yield issuer


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    """The base URL of an aiohttp application on loopback while the block runs."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert runner.addresses
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
