"""From intake to start on the command line, signed by moto's KMS and verified without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from moto.server import ThreadedMotoServer

from services.model_weights.command import main
from services.model_weights.names import MANIFEST, SIGNATURE
from services.model_weights.signature import PublicKey, SignatureError
from tests.services.model_weights.bundles import MODEL, REVISION, Bundle

REGION = "eu-west-1"
IDENTITY = ("--model", MODEL, "--revision", REVISION)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


@pytest.fixture
def kms_key(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in (
        ("AWS_ENDPOINT_URL", moto),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ):
        monkeypatch.setenv(name, value)
    kms = boto3.client("kms", region_name=REGION)
    return kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_b_13_bundle_is_signed_by_kms_and_verified_offline(
    weights: Bundle, kms_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = ("--bundle", weights.folder)
    assert run("intake-check", *bundle) == 0
    assert capsys.readouterr().out.startswith("may enter: 9 files")
    assert run("public-key", "--key-arn", kms_key, "--region", REGION) == 0
    public_key = tmp_path / "intake.pem"
    public_key.write_text(capsys.readouterr().out)
    assert run("sign", *bundle, *IDENTITY, "--key-arn", kms_key, "--region", REGION, "--json") == 0
    digest = json.loads(capsys.readouterr().out)["manifest_sha256"]

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # the verifier asks nobody
    verifying = ("verify", *bundle, *IDENTITY, "--public-key", public_key)
    assert run(*verifying, "--manifest-sha256", digest) == 0
    assert digest in capsys.readouterr().out
    assert run(*verifying, "--manifest-sha256", "0" * 64) == 1
    assert "REFUSED model-manifest.json is refused: sha256 must be" in capsys.readouterr().out
    weights.write("modeling.py", "import os")
    assert run(*verifying, "--json") == 1
    refused = json.loads(capsys.readouterr().out)
    assert refused["accepted"] is False
    assert refused["refused"] == [{"path": "modeling.py", "reason": "is code"}]


def test_b_13_bundle_that_may_not_enter_is_not_signed(
    weights: Bundle, kms_key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.write("pytorch_model.bin", b"\x80\x04")
    signing = ("sign", "--bundle", weights.folder, *IDENTITY, "--key-arn", kms_key, "--region", REGION)
    assert run("intake-check", "--bundle", weights.folder) == 1
    assert run(*signing) == 1
    assert capsys.readouterr().out.count("REFUSED pytorch_model.bin is a pickle") == 2
    assert not (weights.folder / MANIFEST).exists()
    assert not (weights.folder / SIGNATURE).exists()


def test_kms_that_does_not_sign_is_said_in_one_sentence(
    weights: Bundle, kms_key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = kms_key.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    assert run("sign", "--bundle", weights.folder, *IDENTITY, "--key-arn", unknown, "--region", REGION) == 1
    assert capsys.readouterr().err.startswith("model-weights: AWS: NotFound")
    assert not (weights.folder / MANIFEST).exists()


def test_folder_that_is_not_there_and_key_that_is_none_are_said(
    weights: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("intake-check", "--bundle", tmp_path / "nowhere") == 1
    assert "No such file" in capsys.readouterr().err
    key = tmp_path / "key.pem"
    key.write_text("nothing")
    assert run("verify", "--bundle", weights.folder, *IDENTITY, "--public-key", key) == 1
    assert "must be a PEM file" in capsys.readouterr().err


def test_key_of_another_kind_is_refused() -> None:
    for key in (
        ed25519.Ed25519PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
    ):
        with pytest.raises(SignatureError, match="P-384"):
            PublicKey(key)
