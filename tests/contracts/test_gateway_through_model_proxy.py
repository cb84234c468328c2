"""What the gateway sends passes the model proxy unchanged; what the proxy refuses, the gateway never sends."""

from __future__ import annotations

import json

from services.gateway.adapters.openai_model import OpenAIModel
from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Message, Parameters, TextDelta, Tool, ToolCall
from tests.services.gateway.fakes import offer
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt
from tests.services.model_proxy.conftest import Site, site

__all__ = ["site"]

EVERYTHING = Parameters(
    temperature=0.5,
    top_p=0.9,
    seed=7,
    stop=("a", "b"),
    tool_choice=json.dumps({"type": "function", "function": {"name": "weather"}}),
    parallel_tool_calls=False,
    response_format=json.dumps({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}),
)
WEATHER = Tool("weather", "What it is like outside.", '{"type":"object","properties":{"city":{"type":"string"}}}')
CONVERSATION = (
    Message("user", "Grüße"),
    Message("assistant", "", tool_calls=(ToolCall("1", "weather", '{"city":"Bonn"}'),)),
    Message("tool", "rain", tool_call_id="1"),
)


async def test_everything_that_the_gateway_may_ask_reaches_the_model_server(site: Site) -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "Rain."}, "finish_reason": "stop"}]}
    site.vllm.pieces = (b"data: " + json.dumps(said).encode() + b"\n\n", b"data: [DONE]\n\n")
    site.vllm.go_on.set()
    upstream = Upstream(["127.0.0.1"], site.pair.certificate.decode())
    await upstream.start()
    try:
        model = offer(base_url=f"{site.url}/v1", upstream_model="served")
        admitted = admitted_prompt(*CONVERSATION, stream=True, model=model, parameters=EVERYTHING)
        events = [one async for one in OpenAIModel(upstream).generate(grounded_prompt(admitted, tools=(WEATHER,)))]
    finally:
        await upstream.close()
    assert events[0] == TextDelta("Rain.")
    arrived = site.vllm.arrived[0]
    assert {"messages", "tools", "tool_choice", "response_format", "seed", "stop", "stream_options"} <= set(
        arrived.document
    )
    headers = {name.lower(): value for name, value in arrived.headers.items()}
    assert headers["x-request-id"] == admitted.submission.request_id
