"""Where a local run writes: everything below one root, so that removing the root removes all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_ROOT = REPOSITORY / "build" / "local"


@dataclass(frozen=True, slots=True)
class Places:
    root: Path

    @classmethod
    def default(cls) -> Places:
        return cls(DEFAULT_ROOT)

    def data(self, part: str) -> Path:
        return self.root / "data" / part

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def record(self, part: str) -> Path:
        """The pid file of a part: its process identity and how to end it."""
        return self.run / f"{part}.pid"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def ca_bundle(self) -> Path:
        """What AWS_CA_BUNDLE names: the certificate authority of this run."""
        return self.run / "ca.pem"

    @property
    def users(self) -> Path:
        """Names and passwords of the people of this run, readable by their owner only."""
        return self.run / "users.json"

    @property
    def model_requests(self) -> Path:
        """Every request body that reached the chat model, one JSON document a line."""
        return self.logs / "model-requests.jsonl"

    def make(self) -> None:
        for folder in (self.root, self.root / "data", self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True)
