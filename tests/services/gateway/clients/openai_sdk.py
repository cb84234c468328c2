"""OpenAI's SDK in both its forms behind one pair of calls; it retries as always, only without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

ASKED: dict[str, Any] = {"model": "local", "messages": [{"role": "user", "content": "Leave?"}]}

T = TypeVar("T")


class Impatient(openai.OpenAI):
    def _calculate_retry_timeout(self, *args: Any, **kwargs: Any) -> float:
        return 0.0


class AsyncImpatient(openai.AsyncOpenAI):
    def _calculate_retry_timeout(self, *args: Any, **kwargs: Any) -> float:
        return 0.0


@dataclass(frozen=True)
class Sdk:
    """`kind` is sync or async; every call opens a client and closes it."""

    kind: str
    url: str
    who: str = "alice"

    def chat(self, **body: Any) -> ChatCompletion:
        answer: ChatCompletion = self.call(lambda sdk: sdk.chat.completions.create(**(ASKED | body)))
        return answer

    def chunks(
        self, *, seen: Callable[[ChatCompletionChunk], object] = lambda chunk: chunk, **body: Any
    ) -> list[ChatCompletionChunk]:
        """All chunks of a streamed answer; `seen` is told of each as it arrives."""
        asked = ASKED | {"stream": True} | body
        if self.kind == "sync":
            with self._sync() as sdk, sdk.chat.completions.create(**asked) as stream:
                return [chunk for chunk in stream if seen(chunk) or True]

        async def collected() -> list[ChatCompletionChunk]:
            async with self._async() as sdk, await sdk.chat.completions.create(**asked) as stream:
                return [chunk async for chunk in stream if seen(chunk) or True]

        return asyncio.run(collected())

    def call(self, act: Callable[[Any], Any]) -> Any:
        """What `act` returns for a client; awaited where the client is asynchronous."""
        if self.kind == "sync":
            with self._sync() as sdk:
                return act(sdk)

        async def awaited() -> Any:
            async with self._async() as sdk:
                result: Coroutine[Any, Any, Any] = act(sdk)
                return await result

        return asyncio.run(awaited())

    def _sync(self) -> openai.OpenAI:
        return Impatient(base_url=self.url, api_key=self.who)

    def _async(self) -> openai.AsyncOpenAI:
        return AsyncImpatient(base_url=self.url, api_key=self.who)
