"""Runs llama.cpp's OpenAI-compatible server with one small model, in vLLM's place."""

from __future__ import annotations

import signal
import sys

import xllamacpp

from stacks.local.parts.addresses import HOST
from stacks.local.parts.model import MODEL_ID

PROMPT_CACHE_MIB = 64  # the default of 8 GiB is made for another kind of machine


def parameters(weights: str, port: int, threads: int, context_tokens: int, slots: int) -> xllamacpp.CommonParams:
    chosen = xllamacpp.CommonParams()
    chosen.model.path = weights
    chosen.model_alias = {MODEL_ID}
    chosen.hostnames = [HOST]
    chosen.port = port
    chosen.n_ctx = context_tokens
    chosen.n_parallel = slots
    chosen.kv_unified = True
    chosen.cpuparams.n_threads = threads
    chosen.cpuparams_batch.n_threads = threads
    chosen.cache_ram_mib = PROMPT_CACHE_MIB
    chosen.sampling.temp = 0.0  # where the caller does not say otherwise: same question, same answer
    chosen.ui = False
    chosen.endpoint_slots = False  # would show the prompts of others
    chosen.offline = True
    return chosen


def main(weights: str, port: str, threads: str, context_tokens: str, slots: str) -> None:
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # before llama.cpp makes its threads, which inherit it
    server = xllamacpp.Server(parameters(weights, int(port), int(threads), int(context_tokens), int(slots)))
    print(f"serving at {server.listening_address}")
    signal.sigwait(ending)


if __name__ == "__main__":
    main(*sys.argv[1:])
