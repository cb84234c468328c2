"""Where every local process listens: the one place that spells a port."""

from __future__ import annotations

from dataclasses import dataclass, fields

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Ports on the loopback interface. Tests shift all of them at once and so meet no running platform."""

    gateway: int = 8800
    postgresql: int = 8801
    valkey: int = 8802
    oidc: int = 8803
    aws: int = 8804
    model: int = 8805
    inference: int = 8806
    model_server: int = 8807
    container_credentials: int = 8808

    @classmethod
    def default(cls) -> Addresses:
        return cls()

    def shifted(self, offset: int) -> Addresses:
        return Addresses(**{one.name: getattr(self, one.name) + offset for one in fields(self)})

    @property
    def operations(self) -> int:
        """Where the gateway puts its operations port when nobody says otherwise."""
        return self.gateway + 1010

    @property
    def issuer(self) -> str:
        return f"http://{HOST}:{self.oidc}"

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/token"

    @property
    def aws_url(self) -> str:
        return f"https://{HOST}:{self.aws}"

    @property
    def model_url(self) -> str:
        """OpenAI-compatible base URL of the chat model, through the proxy that logs what reaches it."""
        return f"http://{HOST}:{self.model}/v1"

    @property
    def model_server_url(self) -> str:
        return f"http://{HOST}:{self.model_server}/v1"

    @property
    def embeddings_url(self) -> str:
        return f"http://{HOST}:{self.inference}/v1"

    @property
    def bedrock_runtime_url(self) -> str:
        return f"http://{HOST}:{self.inference}"
