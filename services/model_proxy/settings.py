"""Settings of the model proxy: from the environment only, complete and safe, or no start.

The model server speaks plain HTTP without a minimum TLS version, so it is reached on loopback (same pod) or
over https. There is no switch that turns a protection off.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

N_MOST = 64  # what VLLM_MAX_N_SEQUENCES is set to: more would only be refused later
BODY_BYTES_MOST = 64 << 20
DRAIN_S_MOST = 3_600
DRAIN_S_DEFAULT = 120


class SettingsError(Exception):
    """A setting is missing or unsafe. The message names the variable and what is allowed."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    upstream: str  # base URL of the model server, without a path
    listen: Address
    health_listen: Address
    certificate: Path
    private_key: Path
    api_key_file: Path
    n_max: int  # sequences that one request may ask for
    body_bytes_max: int
    drain_s: int  # how long answers under way may take after SIGTERM

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        read = _Reader(environ)
        return cls(
            upstream=read.upstream("MODEL_PROXY_UPSTREAM"),
            listen=read.address("MODEL_PROXY_LISTEN"),
            health_listen=read.address("MODEL_PROXY_HEALTH_LISTEN"),
            certificate=read.file("MODEL_PROXY_CERTIFICATE"),
            private_key=read.file("MODEL_PROXY_PRIVATE_KEY"),
            api_key_file=read.file("MODEL_PROXY_API_KEY_FILE"),
            n_max=read.integer("MODEL_PROXY_N_MAX", 1, N_MOST),
            body_bytes_max=read.integer("MODEL_PROXY_BODY_BYTES_MAX", 1_024, BODY_BYTES_MOST),
            drain_s=read.integer("MODEL_PROXY_DRAIN_S", 1, DRAIN_S_MOST, DRAIN_S_DEFAULT),
        )


class _Reader:
    """Reads variables one by one; each method says what it allows."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str:
        value = self._environ.get(name, "").strip()
        if not value:
            raise SettingsError(f"{name} is not set")
        return value

    def integer(self, name: str, least: int, most: int, default: int | None = None) -> int:
        if default is not None and name not in self._environ:
            return default
        value = self.text(name)
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise SettingsError(f"{name} must be a whole number from {least} to {most} (got {value!r})")
        return int(value)

    def address(self, name: str) -> Address:
        value = self.text(name)
        host, _, port = value.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise SettingsError(f"{name} must be host:port (got {value!r})")
        return Address(host.strip("[]"), int(port))

    def file(self, name: str) -> Path:
        path = Path(self.text(name))
        if not path.is_file():
            raise SettingsError(f"{name} must name a file that exists (got {str(path)!r})")
        return path

    def upstream(self, name: str) -> str:
        url = self.text(name)
        parts = urlsplit(url)
        extra = parts.username or parts.query or parts.fragment or parts.path not in ("", "/")
        if not parts.hostname or extra or parts.scheme not in ("http", "https"):
            raise SettingsError(f"{name} must be http(s)://host:port without a path (got {url!r})")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise SettingsError(f"{name} must use https (http is accepted to loopback only, got {url!r})")
        return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
