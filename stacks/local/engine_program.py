"""Runs a program on the SDK's real path: what Pulumi's Python language host does, in this process.

The language host itself is not in the SDK's wheel. Every run gets its own thread, event loop and
empty context, so that nothing of one run reaches the next. `transport="grpc"` puts real servers on
loopback between the program and the engine, as a cross-check of the in-process form.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import importlib
import linecache
import logging
import os
import runpy
import sys
import threading
import traceback
import warnings
from collections.abc import Coroutine, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

import grpc
from pulumi.runtime import config as pulumi_config
from pulumi.runtime import settings as pulumi_settings
from pulumi.runtime import stack as pulumi_stack
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2_grpc

from stacks.local.engine_graph import EngineError
from stacks.local.engine_project import ORGANIZATION, Project

Transport = Literal["in process", "grpc"]

# Where in the program the task that is now running was started; invokes carry no position of their own.
CALL_SITE: contextvars.ContextVar[str] = contextvars.ContextVar("call_site", default="")

LIBRARIES = (str(Path(os.__file__).parent), str(Path(grpc.__file__).parents[1]), str(Path(__file__).parent))
_ONE_RUN_AT_A_TIME = threading.Lock()  # a run changes folder, path and environment of the whole process


class Engine(Protocol):
    """The engine's service for logs."""

    def Log(self, request: Any, context: Any = None) -> Any: ...  # noqa: N802 - the protocol's name


def run_program(project: Project, monitor: Any, engine: Engine, *, preview: bool, transport: Transport) -> None:
    """Runs the program to its end; raises what it raised."""
    failure: list[BaseException] = []

    def main() -> None:
        try:
            with _served(monitor, engine, transport) as (monitor_end, engine_end):
                _run_on_new_loop(project, monitor_end, engine_end, preview=preview)
        except BaseException as error:  # noqa: BLE001 carried to the caller's thread
            failure.append(error)

    with _ONE_RUN_AT_A_TIME, _surroundings(project):
        thread = threading.Thread(target=contextvars.Context().run, args=(main,), name="pulumi-program")
        thread.start()
        thread.join()
    if failure:
        raise failure[0]


@contextmanager
def collected_afterwards() -> Iterator[None]:
    """Around a run: it makes hundreds of thousands of objects, nearly all to stay.

    To look through them for cycles, again and again while they grow in number, was two fifths of a run's time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def abandoned_coroutines() -> Iterator[None]:
    """Around a run: the SDK never awaits what a failed program left half done, and that is no news."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
        yield
        gc.collect(0)


def _run_on_new_loop(project: Project, monitor: Any, engine: Any, *, preview: bool) -> None:
    pulumi_settings.ROOT.set(None)
    pulumi_settings.configure(
        pulumi_settings.Settings(
            project=project.name,
            stack=project.stack,
            monitor=monitor,
            engine=engine,
            dry_run=preview,
            organization=ORGANIZATION,
            root_directory=str(project.root),
        )
    )
    pulumi_config.set_all_config(project.config, [])
    loop = asyncio.new_event_loop()
    factory: Any = _task_with_call_site
    loop.set_task_factory(factory)
    loop.set_exception_handler(lambda _loop, context: logging.getLogger(__name__).debug("%s", context))
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(pulumi_stack.run_in_stack(lambda: _run_to_rest(project.program)))
    finally:
        _drain(loop)


async def _run_to_rest(program: Path) -> None:
    """Runs the program and waits until its outputs are known or one fails; the SDK then does as it always does.

    The SDK's own wait looks at every outstanding output whenever one is known, which is quadratic in their number.
    """
    _run_path(program)
    while outstanding := [task for task in pulumi_settings.SETTINGS.outputs if not task.done()]:
        done, _ = await asyncio.wait(outstanding, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.cancelled() or task.exception() for task in done):
            return


def _run_path(program: Path) -> None:
    # The folder itself: runpy puts it first on sys.path and runs its __main__.py. The absolute path
    # matters: without it resources carry no source position.
    runpy.run_path(str(program), run_name="__main__")


def _drain(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what a failed program left behind, so that nothing reports itself later."""
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()


def _task_with_call_site(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    context = options.pop("context", None) or contextvars.copy_context()
    site = program_line(sys._getframe(1))
    if site:
        context.run(CALL_SITE.set, site)
    return asyncio.Task(coroutine, loop=loop, context=context, **options)


def program_line(frame: FrameType | None) -> str:
    """`file:line` of the nearest caller that is neither a library nor the engine."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not _of_a_library(name):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@functools.cache
def _of_a_library(file: str) -> bool:
    """Asked for every frame above every task."""
    return file.startswith(("<", *LIBRARIES))


def failure_line(error: BaseException, program: Path) -> str:
    """`file:line` of the last line of our own code that an exception went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    ours = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    return f"{ours[-1].filename}:{ours[-1].lineno}" if ours else f"{program / '__main__.py'}:1"


@contextmanager
def _surroundings(project: Project) -> Iterator[None]:
    """Working folder, module table, path and environment as the CLI sets them; restored afterwards."""
    if not (project.program / "__main__.py").is_file():
        raise EngineError(f"{project.program / '__main__.py'}:0: the program has no __main__.py")
    folder, path, modules = os.getcwd(), list(sys.path), set(sys.modules)
    strict = os.environ.get("PULUMI_ERROR_OUTPUT_STRING")
    os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"
    asyncio_log = logging.getLogger("asyncio")
    level = asyncio_log.level
    asyncio_log.setLevel(logging.CRITICAL)  # the language host does so too: a failed run leaves futures behind
    os.chdir(project.program)
    linecache.checkcache()
    importlib.invalidate_caches()
    try:
        with warnings.catch_warnings():
            # Importing the SDK warns of classes that it keeps for older programs; using one is logged.
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
            yield
    finally:
        os.chdir(folder)
        sys.path[:] = path
        asyncio_log.setLevel(level)
        _forget_program_modules(project.program, modules)
        if strict is None:
            del os.environ["PULUMI_ERROR_OUTPUT_STRING"]
        else:
            os.environ["PULUMI_ERROR_OUTPUT_STRING"] = strict


def _forget_program_modules(program: Path, known: set[str]) -> None:
    """Modules that sit beside `__main__.py` belong to one run; another program may use the same names."""
    for name in set(sys.modules) - known:
        stem = program / name.replace(".", "/")
        file = getattr(sys.modules[name], "__file__", None)
        if file in (f"{stem}.py", f"{stem}/__init__.py"):
            del sys.modules[name]


@contextmanager
def _served(monitor: Any, engine: Any, transport: Transport) -> Iterator[tuple[Any, Any]]:
    """The two services as plain objects, or as addresses of a real server on loopback."""
    if transport == "in process":
        yield monitor, engine
        return
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address, address
    finally:
        server.stop(grace=1).wait()
