"""No request leaves the machine: whatever the endpoint, only loopback addresses are sent to."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from botocore.httpsession import URLLib3Session


class LeavesTheMachine(Exception):
    """A request or an endpoint names a host that is not this machine."""


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(url: str) -> str:
    if not is_loopback(url):
        raise LeavesTheMachine(f"{url} is not on this machine; the local provider talks to loopback addresses only")
    return url


def refuse_leaving(request: Any, **_event: Any) -> None:
    """A botocore `before-send` handler: it sees every request, also those that follow a redirect."""
    if not is_loopback(request.url):
        raise LeavesTheMachine(f"{request.method} {_without_query(request.url)} would leave the machine")


def guard_process() -> None:
    """Holds every AWS client of this process to the same, whoever makes it. Calling it again changes nothing."""
    if getattr(URLLib3Session.send, "guarded", False):
        return
    original = URLLib3Session.send

    def send(self: URLLib3Session, request: Any) -> Any:
        refuse_leaving(request)
        return original(self, request)

    send.guarded = True  # type: ignore[attr-defined]  # a mark on a function, read above
    URLLib3Session.send = send  # type: ignore[method-assign]  # botocore offers no hook for the whole process


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()
