# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["litellm==1.106.2", "mcp"]  # which it needs for any call with tools
# ///
"""What LiteLLM's client makes of the gateway at argv[1], as JSON. Runs in an environment of its own.

LiteLLM holds the OpenAI SDK back by a major version, so it cannot share ours; the lock file beside this one
pins everything by hash (`uv lock --upgrade --script` renews it).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_OFFLINE_MODE": "true", "LITELLM_LOG": "ERROR"}


def _loopback_only(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1":
        raise ConnectionRefusedError(f"not on this machine: {arguments[1][0]}")


sys.addaudithook(_loopback_only)

import litellm  # noqa: E402 - it reads its settings, and would fetch prices, as it is imported

URL = sys.argv[1]
ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Leave?"}],
    "api_base": URL,
    "api_key": "alice",
    "num_retries": 0,
    "max_retries": 0,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


def whole(model: str) -> Any:
    answer = litellm.completion(model=f"openai/{model}", **ASKED)
    usage = [answer.usage.prompt_tokens, answer.usage.completion_tokens]
    return {"text": answer.choices[0].message.content, "reason": answer.choices[0].finish_reason, "usage": usage}


def several(model: str) -> Any:
    answer = litellm.completion(model=f"openai/{model}", n=2, **ASKED)
    usage = [answer.usage.prompt_tokens, answer.usage.completion_tokens]
    return {"texts": [choice.message.content for choice in answer.choices], "usage": usage}


def streamed(model: str) -> Any:
    stream = litellm.completion(model=f"openai/{model}", stream=True, stream_options={"include_usage": True}, **ASKED)
    chunks = list(stream)
    built = litellm.stream_chunk_builder(chunks)
    return {"text": built.choices[0].message.content, "reason": built.choices[0].finish_reason, "n": len(chunks)}


def called(model: str, *, stream: bool) -> Any:
    answer = litellm.completion(model=f"openai/{model}", tools=TOOLS, stream=stream, **ASKED)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    calls = answer.choices[0].message.tool_calls
    return {
        "calls": [[call.function.name, json.loads(call.function.arguments)] for call in calls],
        "reason": answer.choices[0].finish_reason,
    }


def embedded() -> Any:
    answer = litellm.embedding(
        model="openai/minilm", input=["one", "two"], api_base=URL, api_key="alice", encoding_format="float"
    )
    return [entry["embedding"] for entry in answer.data]


RESPONSE: dict[str, Any] = {"input": "Leave?", "api_base": URL, "api_key": "alice", "num_retries": 0, "max_retries": 0}


def response(model: str) -> Any:
    answer = litellm.responses(model=f"openai/{model}", **RESPONSE)
    (message,) = answer.output
    usage = [answer.usage.input_tokens, answer.usage.output_tokens]
    return {"text": message.content[0].text, "status": answer.status, "usage": usage}


def streamed_response(model: str) -> Any:
    events = list(litellm.responses(model=f"openai/{model}", stream=True, **RESPONSE))
    texts = [event.delta for event in events if event.type.value == "response.output_text.delta"]
    return {"text": "".join(texts), "n": len(texts), "last": events[-1].type.value}


def called_response(model: str) -> Any:
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]
    answer = litellm.responses(model=f"openai/{model}", tools=tools, **RESPONSE)
    return [[item.name, json.loads(item.arguments)] for item in answer.output if item.type == "function_call"]


def failed_response(**changes: Any) -> Any:
    try:
        litellm.responses(**({"model": "openai/local"} | RESPONSE | changes))
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return type(error).__name__
    return None


def failure(**changes: Any) -> Any:
    try:
        litellm.completion(**({"model": "openai/local"} | ASKED | changes))
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return type(error).__name__
    return None


ACTS: dict[str, Callable[[], Any]] = {
    "whole": lambda: whole("local"),
    "whole of Bedrock": lambda: whole("nova"),
    "several": lambda: several("local"),
    "several of Bedrock": lambda: several("nova"),
    "streamed": lambda: streamed("local"),
    "streamed of Bedrock": lambda: streamed("nova"),
    "called": lambda: called("local", stream=False),
    "called in a stream": lambda: called("local", stream=True),
    "called of Bedrock": lambda: called("nova", stream=False),
    "embedded": embedded,
    "response": lambda: response("local"),
    "response of Bedrock": lambda: response("nova"),
    "streamed response": lambda: streamed_response("local"),
    "streamed response of Bedrock": lambda: streamed_response("nova"),
    "called in a response": lambda: called_response("local"),
    "called in a response of Bedrock": lambda: called_response("nova"),
    "a response from memory": lambda: failed_response(previous_response_id="resp_1"),
    "a response with a search": lambda: failed_response(tools=[{"type": "web_search"}]),
    "a response for a stranger": lambda: failed_response(api_key="mallory"),
    "a stranger": lambda: failure(api_key="mallory"),
    "a system message": lambda: failure(messages=[{"role": "system", "content": "x"}]),
    "an unknown model": lambda: failure(model="openai/gpt-9"),
    "over the rate limit": failure,
    "a backend that fails": failure,
}

answers, sys.stdout = sys.stdout, sys.stderr  # LiteLLM prints hints
for line in sys.stdin:
    print(json.dumps(ACTS[line.strip()]()), file=answers, flush=True)
