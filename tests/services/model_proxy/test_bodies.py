"""A body is read into known fields and written anew: what is not known does not arrive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.model_proxy.allowed_requests import (
    BATCH_MAX,
    SCHEMA_DEPTH_MAX,
    BodyRefused,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    cleaned,
)
from tests.services.model_proxy.conftest import Site

N_MAX = 4
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
COMPLETION: dict[str, Any] = {"model": "m", "prompt": "Hi"}
EMBEDDING: dict[str, Any] = {"model": "m", "input": "Hi"}
KINDS = ((CHAT, ChatRequest), (COMPLETION, CompletionRequest), (EMBEDDING, EmbeddingRequest))

# What vLLM 0.33 reads beside OpenAI's fields, as its protocol modules name them.
OF_VLLM: dict[str, Any] = {
    "add_generation_prompt": True,
    "add_special_tokens": True,
    "allowed_token_ids": [1],
    "bad_words": ["a"],
    "cache_salt": "a",
    "chat_template": "{{ 7 * 7 }}",
    "chat_template_kwargs": {"a": 1},
    "continue_final_message": True,
    "documents": [{"text": "a"}],
    "echo": True,
    "extra_body": {"kv_transfer_params": {}},
    "guided_grammar": "a",
    "guided_json": {},
    "guided_regex": "(a+)+",
    "ignore_eos": True,
    "include_stop_str_in_output": True,
    "logits_processors": ["os.system"],
    "media_io_kwargs": {},
    "mm_processor_kwargs": {"num_crops": 1 << 30},
    "priority": -1,
    "prompt_embeds": "AAAA",
    "prompt_logprobs": 20,
    "return_token_ids": True,
    "request_id": "a",
    "skip_special_tokens": False,
    "structured_outputs": {"regex": "(a+)+"},
    "truncate_prompt_tokens": 1,
    "use_beam_search": True,
    "vllm_xargs": {"kv_transfer_params": "a"},
}

WHOLE_CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Grüße \U0001f600"}], "name": "a"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "42", "tool_call_id": "1"},
    ],
    "n": 2,
    "max_tokens": 16,
    "max_completion_tokens": 16,
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "stop": ["a", "b"],
    "presence_penalty": 0.1,
    "frequency_penalty": -0.1,
    "logit_bias": {"12": -100.0},
    "logprobs": True,
    "top_logprobs": 3,
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "user": "u",
}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def test_every_allowed_field_arrives_as_it_was_sent() -> None:
    assert json.loads(cleaned(encoded(WHOLE_CHAT), ChatRequest, N_MAX)) == WHOLE_CHAT
    for prompt in ("a", ["a", "b"], [1, 2, 3], [[1], [2]]):
        assert (
            json.loads(cleaned(encoded({"model": "m", "prompt": prompt}), CompletionRequest, N_MAX))["prompt"] == prompt
        )
        assert json.loads(cleaned(encoded({"model": "m", "input": prompt}), EmbeddingRequest, N_MAX))["input"] == prompt


async def test_b_12_kv_transfer_params_are_stripped(site: Site) -> None:
    hostile = {"do_remote_prefill": True, "remote_host": "169.254.169.254", "remote_block_ids": [0] * 1_000}
    for path, body in (("chat/completions", CHAT), ("completions", COMPLETION), ("embeddings", EMBEDDING)):
        for value in (hostile, None, "x", [hostile]):
            sent = {**body, "kv_transfer_params": value}
            async with site.caller.post(f"{site.url}/v1/{path}", json=sent) as answer:
                assert answer.status == 200
            assert site.vllm.arrived[-1].document == body
    assert all(b"kv_transfer" not in one.body for one in site.vllm.arrived)


async def test_b_12_kv_transfer_params_further_inside_or_in_other_letters_do_not_arrive(site: Site) -> None:
    message = {"role": "user", "content": "Hi", "kv_transfer_params": {}}
    inside = [
        {**CHAT, "messages": [message]},
        {**CHAT, "stream_options": {"kv_transfer_params": {}}},
        {**CHAT, "vllm_xargs": {"kv_transfer_params": "{}"}},
        {**CHAT, "KV_transfer_params": {}},
        {**CHAT, "kv_transfer_params ": {}},
    ]
    for body in inside:
        async with site.caller.post(f"{site.url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 400
    escaped = b'{"kv\\u005ftransfer_params":{"a":1},' + encoded(CHAT)[1:]
    doubled = b'{"kv_transfer_params":{"a":1},"kv_transfer_params":{"b":1},' + encoded(CHAT)[1:]
    for raw in (escaped, doubled):
        headers = {"Content-Type": "application/json"}
        async with site.caller.post(f"{site.url}/v1/chat/completions", data=raw, headers=headers) as answer:
            assert answer.status == 200
    assert [one.document for one in site.vllm.arrived] == [CHAT, CHAT]


async def test_b_12_more_sequences_than_the_limit_are_refused(site: Site) -> None:
    for path, body in (("chat/completions", CHAT), ("completions", COMPLETION)):
        async with site.caller.post(f"{site.url}/v1/{path}", json={**body, "n": N_MAX}) as answer:
            assert answer.status == 200
        for n in (N_MAX + 1, 16_384, 1 << 40, 0, -1, 1.5, "2", True):
            async with site.caller.post(f"{site.url}/v1/{path}", json={**body, "n": n}) as answer:
                assert answer.status == 400, n
                assert (await answer.json())["error"]["code"] == "invalid_body"
    assert [one.document["n"] for one in site.vllm.arrived] == [N_MAX, N_MAX]


@pytest.mark.parametrize("prompt", [["a"] * 3, [[1]] * 3])
def test_many_prompts_count_as_sequences(prompt: list[object]) -> None:
    cleaned(encoded({"model": "m", "prompt": prompt, "n": 1}), CompletionRequest, N_MAX)
    with pytest.raises(BodyRefused, match="prompts times n must be at most 4"):
        cleaned(encoded({"model": "m", "prompt": prompt, "n": 2}), CompletionRequest, N_MAX)


@pytest.mark.parametrize("name", sorted(OF_VLLM))
def test_parameters_of_the_model_servers_own_are_refused_by_name(name: str) -> None:
    for body, kind in KINDS:
        with pytest.raises(BodyRefused, match=f"unknown field `{name}`"):
            cleaned(encoded({**body, name: OF_VLLM[name]}), kind, N_MAX)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}},
        {"type": "image_url", "image_url": {"url": "data:image/jp2;base64,AAAA"}},
        {"type": "video_url", "video_url": {"url": "file:///etc/passwd"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "text", "text": "a", "image_url": {"url": "http://a/"}},
    ],
)
def test_media_never_reach_a_decoder(part: dict[str, object]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    with pytest.raises(BodyRefused):
        cleaned(encoded(body), ChatRequest, N_MAX)


@pytest.mark.parametrize(
    "form",
    [
        {"type": "structural_tag", "structures": [], "triggers": []},
        {"type": "regex", "regex": "(a+)+"},
        {"type": "grammar", "grammar": "root ::= root"},
    ],
)
def test_grammars_of_the_caller_are_refused(form: dict[str, object]) -> None:
    with pytest.raises(BodyRefused):
        cleaned(encoded({**CHAT, "response_format": form}), ChatRequest, N_MAX)


def test_schema_has_a_depth() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {"properties": nested(depth - 1)} if depth > 1 else {}

    def asking(depth: int) -> bytes:
        return encoded(
            {**CHAT, "tools": [{"type": "function", "function": {"name": "f", "parameters": nested(depth)}}]}
        )

    cleaned(asking(SCHEMA_DEPTH_MAX), ChatRequest, N_MAX)
    with pytest.raises(BodyRefused, match="nested"):
        cleaned(asking(SCHEMA_DEPTH_MAX + 1), ChatRequest, N_MAX)


def test_deep_nesting_is_refused_not_a_crash() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for body in (deep, b'{"model":' + deep + b"}", b'{"model":"m","messages":' + deep + b"}"):
        with pytest.raises(BodyRefused):
            cleaned(body, ChatRequest, N_MAX)
    with pytest.raises(BodyRefused):
        cleaned(
            encoded(CHAT)[:-1]
            + b',"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"a":'
            + deep
            + b"}}}}",
            ChatRequest,
            N_MAX,
        )


def test_batch_of_embeddings_has_a_size() -> None:
    cleaned(encoded({"model": "m", "input": ["a"] * BATCH_MAX}), EmbeddingRequest, N_MAX)
    with pytest.raises(BodyRefused, match="up to 2048 texts"):
        cleaned(encoded({"model": "m", "input": ["a"] * (BATCH_MAX + 1)}), EmbeddingRequest, N_MAX)


@pytest.mark.parametrize("texts", [[], ["a", 1], ["a", [1]], [1, [1]]])
def test_list_of_texts_is_of_one_kind(texts: list[object]) -> None:
    for kind, name in ((CompletionRequest, "prompt"), (EmbeddingRequest, "input")):
        with pytest.raises(BodyRefused):
            cleaned(encoded({"model": "m", name: texts}), kind, N_MAX)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"model":"m","messages":[]}',
        b'{"model":1}',
        b'{"temperature":NaN}',
        b'"\\ud800"',
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    for kind in (ChatRequest, CompletionRequest, EmbeddingRequest):
        with pytest.raises(BodyRefused):
            cleaned(body, kind, N_MAX)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*WHOLE_CHAT, *OF_VLLM, "kv_transfer_params"]) | st.text(), JSON, max_size=4))
def test_b_12_whatever_is_asked_only_known_fields_arrive(changes: dict[str, object]) -> None:
    try:
        arrived = json.loads(cleaned(json.dumps({**CHAT, **changes}).encode(), ChatRequest, N_MAX))
    except BodyRefused:
        return
    assert set(arrived) <= set(WHOLE_CHAT)
    n = arrived.get("n")
    assert n is None or 1 <= n <= N_MAX


async def test_body_has_a_size_declared_or_not(site: Site) -> None:
    large = encoded({**CHAT, "user": "a" * site.settings.body_bytes_max})

    async def in_pieces() -> Any:
        for at in range(0, len(large), 4_096):
            yield large[at : at + 4_096]

    for data in (large, in_pieces()):
        headers = {"Content-Type": "application/json"}
        async with site.caller.post(f"{site.url}/v1/chat/completions", data=data, headers=headers) as answer:
            assert answer.status == 413
    assert site.vllm.arrived == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=a"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
)
async def test_only_plain_json_is_read(site: Site, headers: dict[str, str]) -> None:
    async with site.caller.post(f"{site.url}/v1/chat/completions", data=encoded(CHAT), headers=headers) as answer:
        assert answer.status in (400, 415)
    assert site.vllm.arrived == []


async def test_get_has_no_body(site: Site) -> None:
    async with site.caller.get(f"{site.url}/v1/models", json=CHAT) as answer:
        assert answer.status == 400
    assert site.vllm.arrived == []
