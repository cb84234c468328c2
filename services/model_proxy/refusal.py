"""What a caller is told when a request is not sent on, in OpenAI's shape."""

from __future__ import annotations

import msgspec
from aiohttp import web

OWN_HEADERS = {"Cache-Control": "no-store", "Server": "model-proxy"}


class Refused(Exception):
    """`reason` is a label in figures; `public` is for the caller."""

    def __init__(self, status: int, reason: str, public: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.public = public


def response(refused: Refused) -> web.Response:
    kind = "api_error" if refused.status >= 500 else "invalid_request_error"
    error = {"message": refused.public, "type": kind, "param": None, "code": refused.reason}
    body = msgspec.json.encode({"error": error})
    return web.Response(status=refused.status, body=body, content_type="application/json", headers=OWN_HEADERS)
