"""Which vLLM we run, and below which version nobody may go: the image lock and the floor of known holes.

Each row of FLOOR is a hole and the first release without it, from vLLM's own advisories
(https://github.com/vllm-project/vllm/security/advisories). A test fails when the pinned version is older than a
fix. Images are copied into our registry by digest; the digest stands in the stack's configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

# The release whose image the configured digests were built from.
VLLM_VERSION = "0.33.0"
# Older releases lack --shutdown-timeout, the sequence limit or fixes below.
VLLM_VERSION_MIN = "0.30.0"


@dataclass(frozen=True, slots=True)
class Hole:
    """A known vulnerability and the first version without it."""

    cve: str
    fixed_in: str
    what: str


FLOOR: tuple[Hole, ...] = (
    Hole("CVE-2025-62164", "0.11.1", "prompt embeddings deserialise tensors"),
    Hole("CVE-2025-66448", "0.11.1", "auto_map fetches and runs code of another repository"),
    Hole("CVE-2026-22778", "0.14.1", "code execution through video and JPEG 2000 decoders"),
    Hole("CVE-2026-22807", "0.14.0", "auto_map runs code even without --trust-remote-code"),
    Hole("CVE-2026-24779", "0.14.1", "requests to internal addresses through media URLs"),
    Hole("CVE-2026-27893", "0.18.0", "trust_remote_code hard-coded for some models"),
    Hole("CVE-2026-41523", "0.22.0", "code execution where assertions are switched off"),
    Hole("CVE-2026-54234", "0.24.0", "speculative decoding stops the server"),
    Hole("CVE-2026-94622", "0.30.0", "kv_transfer_params of a caller stop the server"),
    Hole("CVE-2026-94626", "0.30.0", "kv_transfer_params of a caller stop the server"),
)

# Without a released fix that we know of: what stands in its way instead.
WITHOUT_FIX = {
    "CVE-2026-34756": "memory is exhausted without a login: only our proxy reaches the server, with bounded requests",
    "CVE-2026-94627": "Mooncake transfer: no transfer is configured, and the proxy drops kv_transfer_params",
}


def release(version: str) -> tuple[int, ...]:
    """0.30.0 → (0, 30, 0), so that versions compare as numbers."""
    return tuple(int(part) for part in version.split("."))


def open_holes(version: str) -> list[Hole]:
    """The holes that `version` still has."""
    return [hole for hole in FLOOR if release(version) < release(hole.fixed_in)]
