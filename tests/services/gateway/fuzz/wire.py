"""Bytes to a running gateway and bytes back, and what must hold of every answer to anything at all."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from tests.services.gateway.clients.site import Site

TIMEOUT_S = 30
IDLE_MAX_S = 1  # the gateway closes connections that idle, and may do so as we write


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection that is kept while the gateway keeps it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        address = urlsplit(site.url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
        self._used_at = monotonic()

    def post(self, path: str, body: bytes) -> Answer:
        """Everything as new, then this body."""
        self.site.reset()
        return self.again(path, body)

    def again(self, path: str, body: bytes) -> Answer:
        if monotonic() - self._used_at > IDLE_MAX_S:
            self._connection.close()
        headers = {"authorization": "Bearer alice", "content-type": "application/json"}
        try:
            self._connection.request("POST", path, body, headers)
            response = self._connection.getresponse()
            return Answer(response.status, response.read(), response.headers["content-type"])
        except BaseException:
            self._connection.close()
            raise
        finally:
            self._used_at = monotonic()

    def close(self) -> None:
        self._connection.close()


def require_openais_shape(answer: Answer) -> None:
    """An error is one object with four known fields and nothing else."""
    assert answer.content_type == "application/json", answer
    (error,) = answer.json.values()
    assert list(answer.json) == ["error"], answer
    assert set(error) == {"message", "type", "param", "code"}, answer
    assert isinstance(error["message"], str), answer
    assert error["message"], answer


def require_events(answer: Answer) -> list[dict[str, Any]]:
    """The chunks of a stream that ends properly: with the end mark, or with an error and without it."""
    chunks = [frame.removeprefix(b"data: ") for frame in _frames(answer)]
    done = chunks[-1] == b"[DONE]"
    events: list[dict[str, Any]] = [json.loads(chunk) for chunk in chunks[: -1 if done else None]]
    assert ["error" in event for event in events] == [False] * (len(events) - 1) + [not done], answer
    return events


def require_named_events(answer: Answer) -> list[dict[str, Any]]:
    """The events of a response: named by their type, numbered, and with one end."""
    pairs = [frame.split(b"\ndata: ") for frame in _frames(answer)]
    events: list[dict[str, Any]] = [json.loads(data) for _, data in pairs]
    assert [name.removeprefix(b"event: ").decode() for name, _ in pairs] == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    ends = [event["type"].removeprefix("response.") in ("completed", "incomplete", "failed") for event in events]
    assert ends == [False] * (len(events) - 1) + [True], answer
    return events


def _frames(answer: Answer) -> list[bytes]:
    *frames, rest = answer.body.split(b"\n\n")
    assert rest == b"", answer
    return [frame for frame in frames if not frame.startswith(b":")]
