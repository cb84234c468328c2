"""A small model as an intake receives it, made at run time, and a key that signs like the one in KMS."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from services.model_weights.bundle import read
from services.model_weights.manifest import Manifest
from services.model_weights.names import MANIFEST, SIGNATURE
from services.model_weights.signature import PublicKey
from services.model_weights.verification import Expected, Verdict, verify

MODEL = "team/model"
REVISION = "0123456789abcdef0123456789abcdef01234567"
TEMPLATE = "{% for message in messages %}<|{{ message['role'] }}|>{{ message.content | trim }}{% endfor %}"


def safetensors(tensors: Mapping[str, object] | None = None, data: bytes = bytes(range(16))) -> bytes:
    entries = tensors or {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
    }
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


@dataclass(frozen=True)
class IntakeKey:
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.private.public_key())

    def sign(self, text: bytes) -> bytes:
        return base64.b64encode(self.private.sign(text, ec.ECDSA(hashes.SHA384()))) + b"\n"


@dataclass(frozen=True)
class Bundle:
    folder: Path
    key: IntakeKey

    def signed(self, model: str = MODEL, revision: str = REVISION) -> Manifest:
        found = read(self.folder)
        assert found.problems == ()
        manifest = Manifest(model, revision, found.files)
        (self.folder / MANIFEST).write_bytes(manifest.canonical())
        (self.folder / SIGNATURE).write_bytes(self.key.sign(manifest.signed_text()))
        return manifest

    def verdict(self, model: str = MODEL, revision: str = REVISION, digest: str = "") -> Verdict:
        return verify(self.folder, Expected(model, revision, digest), self.key.public)

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.verdict().problems]

    def write(self, path: str, content: bytes | str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target


def bundle(folder: Path, key: IntakeKey) -> Bundle:
    made = Bundle(folder, key)
    made.write("config.json", json.dumps({"architectures": ["LlamaForCausalLM"], "vocab_size": 4}))
    made.write("tokenizer_config.json", json.dumps({"chat_template": TEMPLATE}))
    made.write("chat_template.jinja", TEMPLATE)
    made.write("tokenizer.model", b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    made.write("merges.txt", "#version: 0.2\nĠ t\n")
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for shard in shards:
        made.write(shard, safetensors())
    made.write("model.safetensors.index.json", json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}))
    made.write("onnx/readme.txt", "not used\n")
    return made
