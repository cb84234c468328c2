"""Does an HTTP part serve? One request, a short patience, no exception for the part that is not up yet."""

from __future__ import annotations

import http.client
import ssl

from stacks.local.parts.addresses import HOST

PATIENCE_S = 2.0


def serves(port: int, path: str, *, tls: ssl.SSLContext | None = None) -> bool:
    """True when the path answers 200."""
    connection: http.client.HTTPConnection
    if tls is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    else:
        connection = http.client.HTTPSConnection(HOST, port, timeout=PATIENCE_S, context=tls)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
