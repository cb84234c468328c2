"""A bundle comes from the bucket whole, under the manifest that was named, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from services.model_weights import command
from services.model_weights.fetch import FetchError, Source, fetch
from services.model_weights.manifest import ManifestError
from services.model_weights.names import MANIFEST
from tests.services.model_weights.bundles import Bundle

REGION, BUCKET, PREFIX = "us-east-1", "models", "team-model/0123456789ab"


@pytest.fixture
def stored(weights: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """The signed bundle in a versioned bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        manifest = weights.signed()
        for file in sorted(path for path in weights.folder.rglob("*") if path.is_file()):
            s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{file.relative_to(weights.folder)}", Body=file.read_bytes())
        version = s3.head_object(Bucket=BUCKET, Key=f"{PREFIX}/{MANIFEST}")["VersionId"]
        yield Source(BUCKET, PREFIX, version, manifest.sha256(), REGION)


def put(path: str, content: bytes) -> None:
    boto3.client("s3", region_name=REGION).put_object(Bucket=BUCKET, Key=f"{PREFIX}/{path}", Body=content)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder


def test_b_13_what_is_fetched_is_what_was_signed(stored: Source, empty: Path, weights: Bundle, tmp_path: Path) -> None:
    manifest = fetch(stored, empty)
    key = tmp_path / "key.pem"
    key.write_bytes(weights.key.public.pem())

    arrived = {str(path.relative_to(empty)): path.read_bytes() for path in empty.rglob("*") if path.is_file()}
    sent = {str(path.relative_to(weights.folder)): path for path in weights.folder.rglob("*") if path.is_file()}
    assert arrived == {name: path.read_bytes() for name, path in sent.items()}
    expected = [f"--model={manifest.model}", f"--revision={manifest.revision}"]
    with pytest.raises(SystemExit) as verified:
        command.main(["verify", f"--bundle={empty}", f"--public-key={key}", *expected])
    assert verified.value.code == 0


def test_b_13_a_manifest_with_another_digest_is_refused(stored: Source, empty: Path) -> None:
    with pytest.raises(ManifestError, match="manifest sha256 must be"):
        fetch(replace(stored, manifest_sha256=hashlib.sha256(b"other").hexdigest()), empty)
    assert list(empty.iterdir()) == []


def test_b_13_a_newer_manifest_changes_nothing_for_a_deployment_that_names_the_old_one(
    stored: Source, empty: Path
) -> None:
    put(MANIFEST, b"{}")

    assert fetch(stored, empty).sha256() == stored.manifest_sha256


def test_a_file_of_another_size_is_not_even_fetched(stored: Source, empty: Path) -> None:
    put("config.json", b"x" * 100_000)

    with pytest.raises(FetchError, match=r"config\.json must have \d+ bytes \(got 100000\)"):
        fetch(stored, empty)


def test_a_folder_with_something_in_it_is_refused(stored: Source, empty: Path) -> None:
    (empty / "model.py").write_text("import os", encoding="utf-8")

    with pytest.raises(FetchError, match="must be empty"):
        fetch(stored, empty)


def test_the_command_says_what_came_and_fails_without_a_trace(
    stored: Source, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fetch", f"--bundle={empty}", f"--bucket={BUCKET}", f"--region={REGION}"]
    arguments += [f"--manifest-version={stored.manifest_version}", f"--manifest-sha256={stored.manifest_sha256}"]

    with pytest.raises(SystemExit) as lost:
        command.main([*arguments, "--prefix=elsewhere"])
    with pytest.raises(SystemExit) as fetched:
        command.main([*arguments, f"--prefix={PREFIX}"])

    told = capsys.readouterr()
    assert (lost.value.code, fetched.value.code) == (1, 0)
    assert told.err.startswith("model-weights: S3: ")
    assert told.out.startswith("fetched: ")
