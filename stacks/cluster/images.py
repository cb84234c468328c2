"""Images of our own registry, each by digest: the names follow from the environment, the digests are configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stacks.names import Names


@dataclass(frozen=True, slots=True)
class Registry:
    names: Names
    digests: Mapping[str, str]

    @property
    def host(self) -> str:
        return f"{self.names.account_id}.dkr.ecr.{self.names.region}.amazonaws.com"

    def image(self, repository: str) -> str:
        return self.at(repository, self.digests[repository])

    def at(self, repository: str, digest: str) -> str:
        return f"{self.host}/{self.names.named(repository)}@{digest}"

    def chart(self, name: str) -> str:
        """Charts lie beside the images, in repositories of the platform too."""
        return f"oci://{self.host}/{self.names.named(f'charts/{name}')}"
