"""How long this machine's disk takes to flush one write: an answer waits for two, its intent's and its outcome's."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import quantiles

from bench.figures import Figure

PLACE = Path("build")
WRITES = 500
PAUSE_S = 0.004
BYTES = 8_192  # a page of PostgreSQL's log
FILE_BYTES = 16 * 1024 * 1024  # a segment of it, written before


def flush() -> Figure:
    """Median and 99th percentile of writing a page and flushing it."""
    path = PLACE / "flush.bench"
    took_ms = []
    with path.open("wb+", buffering=0) as file:
        file.write(bytes(FILE_BYTES))
        os.fsync(file)
        for number in range(WRITES):
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(BYTES), number * BYTES)
            os.fsync(file)
            took_ms.append((time.perf_counter() - began) * 1000)
    path.unlink()
    percent = quantiles(took_ms, n=100)
    note = "8 KiB written and flushed; an answer waits for two such flushes, of nginx's for none"
    return Figure("flush of this disk", f"p50 {percent[49]:.2f}, p99 {percent[98]:.2f} ms", note=note)
