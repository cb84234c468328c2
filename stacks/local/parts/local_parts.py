"""All parts of the local platform, put together: the list to read first."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from stacks.local.parts import aws, inference, model, oidc, postgresql, valkey
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.part import Part, PartError
from stacks.local.parts.places import Places
from stacks.local.parts.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Options:
    """`model_url`: an OpenAI-compatible server to use instead of the packaged model."""

    model_url: str = ""
    model_threads: int = 1
    embedding_threads: int = 1


def local_parts(places: Places, addresses: Addresses, options: Options) -> tuple[Part, ...]:
    packaged_model = () if options.model_url else (model.server_part(addresses, options.model_threads),)
    return (
        postgresql.part(places, addresses),
        valkey.part(places, addresses),
        oidc.part(places, addresses),
        aws.part(places, addresses),
        *packaged_model,
        model.proxy_part(places, addresses, _checked(options.model_url)),
        inference.part(addresses, options.embedding_threads),
    )


def local_supervisor(
    places: Places | None = None, addresses: Addresses | None = None, options: Options | None = None
) -> Supervisor:
    chosen = places or Places.default()
    return Supervisor(local_parts(chosen, addresses or Addresses.default(), options or Options()), chosen)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise PartError(f"MODEL_URL must be the base URL of an OpenAI-compatible server (got {url!r})")
    return url
