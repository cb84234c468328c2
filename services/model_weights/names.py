"""Which files a bundle may hold, by name. A name that is not on the list is refused, whatever it holds.

Code and pickles run when they are loaded: vLLM ran code from a model's `auto_map` even with remote code switched
off (CVE-2025-66448, CVE-2026-22807), so the switch is not relied on; no code gets as far as that.
"""

from __future__ import annotations

import re

MANIFEST = "model-manifest.json"
SIGNATURE = "model-manifest.sig"
OWN = frozenset({MANIFEST, SIGNATURE})  # at the root of a bundle, and of our making

ALLOWED = "*.safetensors, *.json, tokenizer.model, *.txt, *.jinja"
PATH_CHARS_MAX = 200
PARTS_MAX = 3

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SUFFIXES = (".safetensors", ".json", ".txt", ".jinja")
_NEVER = {
    ".py": "is code",
    ".so": "is code",
    ".sh": "is code",
    ".bin": "is a pickle: it runs code when it is loaded",
    ".pt": "is a pickle: it runs code when it is loaded",
    ".pth": "is a pickle: it runs code when it is loaded",
    ".pkl": "is a pickle: it runs code when it is loaded",
    ".pickle": "is a pickle: it runs code when it is loaded",
    ".ckpt": "is a pickle: it runs code when it is loaded",
    ".joblib": "is a pickle: it runs code when it is loaded",
    ".npy": "may hold a pickle",
    ".npz": "may hold a pickle",
    ".h5": "may hold code (Keras layers)",
    ".keras": "may hold code (Keras layers)",
    ".gguf": "is not a safetensors file: its parser is C++ that has had memory errors",
}


def objection(path: str) -> str | None:
    """Why a file of this path may not be in a bundle; None when it may."""
    parts = path.split("/")
    if len(path) > PATH_CHARS_MAX or len(parts) > PARTS_MAX:
        return f"has a path of more than {PATH_CHARS_MAX} characters or {PARTS_MAX} parts"
    if not all(_PART.fullmatch(part) for part in parts):
        return "has a path that is not plain: parts of A-Z a-z 0-9 . _ - that begin with a letter or digit"
    suffix = "." + parts[-1].rpartition(".")[2].lower()
    if suffix in _NEVER:
        return _NEVER[suffix]
    if parts[-1] == "tokenizer.model" or parts[-1].endswith(_SUFFIXES):
        return None
    return f"is not one of {ALLOWED}"
