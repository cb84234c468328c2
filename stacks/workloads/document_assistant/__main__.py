"""Document assistant: identity, key, documents and registration of one AI workload."""

from __future__ import annotations

from pathlib import Path

from stacks.workloads.deployment import deploy

deploy(Path(__file__).parent)
