"""Chromium without a window, spoken to in its own protocol over a WebSocket: one page, and what went wrong in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

START_S = 60
BINARY = "chromium-headless-shell"


@dataclass
class Browser:
    """`problems` are errors and refusals that the browser would show in its console."""

    socket: aiohttp.ClientWebSocketResponse
    problems: list[str] = field(default_factory=list)
    _number: int = 0
    _loaded: set[str] = field(default_factory=set)

    async def open(self, url: str, *, width: int, scheme: str) -> None:
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            await self.call(f"{domain}.enable")
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)
        await self.call("Page.setLifecycleEventsEnabled", enabled=True)
        loader = (await self.call("Page.navigate", url=url))["loaderId"]
        while loader not in self._loaded:  # the empty page that was there before may be loaded only now
            self._take(await self.socket.receive_json(timeout=START_S))

    async def value(self, expression: str) -> object:
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        value: object = answer["result"].get("value")
        return value

    async def call(self, method: str, **parameters: object) -> Any:
        self._number += 1
        await self.socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self.socket.receive_json(timeout=START_S)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Page.lifecycleEvent" and message["params"]["name"] == "load":
            self._loaded.add(message["params"]["loaderId"])
        if message.get("method") == "Log.entryAdded":
            entry = message["params"]["entry"]
            if "favicon.ico" not in entry.get("url", ""):
                self.problems.append(entry["text"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]["exceptionDetails"]))


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser with a profile of its own, gone after the block."""
    binary = shutil.which(BINARY)
    assert binary is not None
    with tempfile.TemporaryDirectory(prefix="llm-pipelines-browser-", ignore_cleanup_errors=True) as folder:
        options = ["--remote-debugging-port=0", f"--user-data-dir={folder}", "--disable-gpu", "--no-first-run"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # refused to root; the page is our own
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            binary, *options, "about:blank", stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(await _page(http, Path(folder))) as socket:
                yield Browser(socket)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a script may have started it, and it has children
            await process.wait()


async def _page(http: aiohttp.ClientSession, folder: Path) -> str:
    """The address of the first page, once the browser has said where it listens."""
    port = folder / "DevToolsActivePort"
    async with asyncio.timeout(START_S):
        while not port.exists() or not port.read_text().count("\n"):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
        while True:
            async with http.get(f"http://127.0.0.1:{port.read_text().splitlines()[0]}/json/list") as response:
                pages = [one["webSocketDebuggerUrl"] for one in await response.json() if one["type"] == "page"]
            if pages:
                address: str = pages[0]
                return address
            await asyncio.sleep(0.05)
