"""Settings are complete and safe, or there is no start."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.model_proxy.command import main
from services.model_proxy.settings import DRAIN_S_DEFAULT, Settings, SettingsError


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The command takes the root logger over; it is given back."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    for name in ("tls.crt", "tls.key", "api-key"):
        (tmp_path / name).write_text("x")
    return {
        "MODEL_PROXY_UPSTREAM": "http://127.0.0.1:8000",
        "MODEL_PROXY_LISTEN": "0.0.0.0:8443",
        "MODEL_PROXY_HEALTH_LISTEN": "[::]:8444",
        "MODEL_PROXY_CERTIFICATE": str(tmp_path / "tls.crt"),
        "MODEL_PROXY_PRIVATE_KEY": str(tmp_path / "tls.key"),
        "MODEL_PROXY_API_KEY_FILE": str(tmp_path / "api-key"),
        "MODEL_PROXY_N_MAX": "4",
        "MODEL_PROXY_BODY_BYTES_MAX": "8388608",
    }


def test_settings_are_read(environ: dict[str, str]) -> None:
    settings = Settings.from_environment(environ)
    assert (settings.upstream, settings.listen.port, settings.health_listen.host) == (
        "http://127.0.0.1:8000",
        8443,
        "::",
    )
    assert settings.drain_s == DRAIN_S_DEFAULT
    assert Settings.from_environment({**environ, "MODEL_PROXY_DRAIN_S": "30"}).drain_s == 30


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MODEL_PROXY_UPSTREAM", "http://10.0.0.1:8000", "must use https"),
        ("MODEL_PROXY_UPSTREAM", "http://127.0.0.1.example.com", "must use https"),
        ("MODEL_PROXY_UPSTREAM", "http://127.0.0.1:8000/v1", "without a path"),
        ("MODEL_PROXY_UPSTREAM", "http://user@127.0.0.1", "without a path"),
        ("MODEL_PROXY_UPSTREAM", "unix:///run/vllm", "without a path"),
        ("MODEL_PROXY_LISTEN", "8443", "must be host:port"),
        ("MODEL_PROXY_HEALTH_LISTEN", "0.0.0.0:0", "must be host:port"),
        ("MODEL_PROXY_CERTIFICATE", "/nowhere/tls.crt", "a file that exists"),
        ("MODEL_PROXY_PRIVATE_KEY", "", "is not set"),
        ("MODEL_PROXY_API_KEY_FILE", "", "is not set"),
        ("MODEL_PROXY_N_MAX", "0", "from 1 to 64"),
        ("MODEL_PROXY_N_MAX", "16384", "from 1 to 64"),
        ("MODEL_PROXY_BODY_BYTES_MAX", "lots", "whole number"),
        ("MODEL_PROXY_DRAIN_S", "", "is not set"),
    ],
)
def test_wrong_setting_is_named_with_what_is_allowed(environ: dict[str, str], name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} .*{says}"):
        Settings.from_environment({**environ, name: value})


def test_command_without_settings_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MODEL_PROXY_UPSTREAM", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["serve"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "model-proxy: MODEL_PROXY_UPSTREAM is not set\n"


def test_command_says_why_a_certificate_does_not_load(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["serve"])
    assert ended.value.code == 1
    assert "certificate and key do not load" in capsys.readouterr().err
