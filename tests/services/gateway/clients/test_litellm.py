"""The contract with LiteLLM's client, which runs in an environment of its own made from a lock file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.gateway.clients.site import Site
from tests.services.gateway.clients.upstreams import USAGE, VECTOR, Call

pytestmark = pytest.mark.timeout(600)  # the environment is made when it is first asked for

HERE = Path(__file__).parent
CLIENT = HERE / "litellm_client.py"
ROOT = HERE.parents[3]
OSLO = Call("weather", ('{"ci', 'ty":"Oslo"}'))

Ask = Callable[[str], Any]


def _uv() -> str:
    own = ROOT / ".tools/uv/bin/uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        pytest.skip("uv is not here: LiteLLM's client needs an environment of its own")
    return found


@pytest.fixture(scope="module")
def client(running: Site) -> Iterator[subprocess.Popen[str]]:
    """LiteLLM's client, waiting for the names of acts."""
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    uv = [_uv(), "--quiet"]
    made = subprocess.run([*uv, "sync", "--frozen", "--script", str(CLIENT)], env=variables, check=False)
    if made.returncode:
        pytest.skip("the registry is out of reach: LiteLLM's environment cannot be made")
    command = [*uv, "run", "--frozen", "--offline", "--script", str(CLIENT), running.url]
    with subprocess.Popen(command, env=variables, stdin=-1, stdout=-1, text=True) as process:
        yield process
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe


@pytest.fixture
def ask(client: subprocess.Popen[str], site: Site) -> Ask:
    def answered(act: str) -> Any:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(f"{act}\n")
        client.stdin.flush()
        return json.loads(client.stdout.readline())

    return answered


@pytest.mark.parametrize("act", ["whole", "whole of Bedrock"])
def test_a_whole_answer(act: str, ask: Ask) -> None:
    assert ask(act) == {"text": "There are thirty days.", "reason": "stop", "usage": list(USAGE)}


@pytest.mark.parametrize("act", ["several", "several of Bedrock"])
def test_several_answers(act: str, ask: Ask, site: Site) -> None:
    site.script.by_choice = (["One."], ["Two."])
    assert ask(act) == {"texts": ["One.", "Two."], "usage": [2 * USAGE[0], 2 * USAGE[1]]}


@pytest.mark.parametrize("act", ["streamed", "streamed of Bedrock"])
def test_a_streamed_answer(act: str, ask: Ask, site: Site) -> None:
    site.script.deltas = [f"word{n} " for n in range(80)]
    answer = ask(act)
    assert (answer["text"], answer["reason"]) == (site.script.text, "stop")
    assert answer["n"] > 3


@pytest.mark.parametrize("act", ["called", "called in a stream", "called of Bedrock"])
def test_a_tool_call(act: str, ask: Ask, site: Site) -> None:
    site.script.deltas, site.script.calls, site.script.reason = (), (OSLO,), "tool_calls"
    assert ask(act) == {"calls": [["weather", {"city": "Oslo"}]], "reason": "tool_calls"}


@pytest.mark.parametrize("backend", ["", " of Bedrock"])
def test_a_response_whole_and_streamed(backend: str, ask: Ask, site: Site) -> None:
    assert ask(f"response{backend}") == {"text": site.script.text, "status": "completed", "usage": list(USAGE)}
    site.script.deltas = [f"word{n} " for n in range(80)]
    streamed = ask(f"streamed response{backend}")
    assert (streamed["text"], streamed["last"]) == (site.script.text, "response.completed")
    assert streamed["n"] > 3
    assert {record.body["endpoint"] for record in site.world.audit.records if "endpoint" in record.body} == {
        "responses"
    }


@pytest.mark.parametrize("backend", ["", " of Bedrock"])
def test_a_tool_call_of_a_response(backend: str, ask: Ask, site: Site) -> None:
    site.script.deltas, site.script.calls, site.script.reason = (), (OSLO,), "tool_calls"
    assert ask(f"called in a response{backend}") == [["weather", {"city": "Oslo"}]]


def test_failures_of_a_response_are_the_exceptions_it_knows(ask: Ask, site: Site) -> None:
    assert ask("a response for a stranger") == "AuthenticationError"
    assert ask("a response from memory") == "BadRequestError"
    assert ask("a response with a search") == "BadRequestError"
    assert site.script.bodies == []


def test_embeddings(ask: Ask) -> None:
    assert ask("embedded") == [VECTOR, VECTOR]


def test_failures_are_the_exceptions_it_knows(ask: Ask, site: Site) -> None:
    assert ask("a stranger") == "AuthenticationError"
    assert ask("a system message") == "BadRequestError"
    assert ask("an unknown model") == "NotFoundError"
    assert site.script.bodies == []


def test_a_rate_limit_is_one(ask: Ask, site: Site) -> None:
    site.world.limits.requests_left = 0
    assert ask("over the rate limit") == "RateLimitError"


def test_a_failing_backend_is_a_servers_fault_and_asked_once(ask: Ask, site: Site) -> None:
    site.script.statuses = [500] * 9
    assert ask("a backend that fails") in ("BadGatewayError", "InternalServerError", "APIError")
    assert len(site.script.bodies) == 1
