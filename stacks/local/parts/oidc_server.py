"""Runs nanoidp with one change: the claim `workload` comes from the user store, never from the caller.

nanoidp puts custom attributes into a nested claim and lets the caller of the token endpoint add top-level
claims of their own (`extra`). Identity decides what a caller may do here, so the caller's additions are
dropped and the attributes are lifted in their place.
"""

from __future__ import annotations

import sys
from typing import Any

from nanoidp.app import run_app
from nanoidp.config import User
from nanoidp.services.token import TokenService
from werkzeug.serving import WSGIRequestHandler

from stacks.local.parts import loopback_only
from stacks.local.parts.addresses import HOST


def lift_attributes() -> None:
    original = TokenService.create_token

    def create_token(self: TokenService, user: User, *arguments: Any, **named: Any) -> dict[str, Any]:
        return original(self, user, *arguments, **{**named, "extra_claims": dict(user.attributes)})  # type: ignore[no-any-return] # nanoidp is untyped

    TokenService.create_token = create_token


def main(folder: str, port: str) -> None:
    loopback_only.install()  # some grants let a caller name a document to fetch
    lift_attributes()
    WSGIRequestHandler.disable_nagle_algorithm = True  # head and body are written apart
    run_app(host=HOST, port=int(port), config_dir=folder, strict_config=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
