"""The command line: `model-weights intake-check | sign | fetch | verify | public-key`.

Exit code 0 when everything holds; 1 with one line for every file and reason when not; nothing in between.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from services.model_weights.bundle import Problem, read
from services.model_weights.fetch import FetchError, Source, fetch
from services.model_weights.manifest import Manifest, ManifestError
from services.model_weights.names import MANIFEST, SIGNATURE
from services.model_weights.signature import KmsKey, PublicKey, SignatureError
from services.model_weights.verification import Expected, verify

_SOURCE = {
    "bucket": "the models bucket",
    "prefix": "where the bundle lies in it",
    "manifest-version": "version id of the manifest",
    "manifest-sha256": "accept this manifest only",
    "region": "of the bucket",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; the process ends with its exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
    except (FetchError, ManifestError, SignatureError) as error:
        code = _failed(str(error))
    except (BotoCoreError, ClientError) as error:
        code = _failed(f"AWS: {_kind(error)}")
    except OSError as error:
        code = _failed(f"{error.filename}: {os.strerror(error.errno or 0)}")
    raise SystemExit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model-weights", description="Intake and verification of model weights.")
    commands = parser.add_subparsers(required=True, metavar="command")
    checking = commands.add_parser("intake-check", help="may these files enter at all? (before signing)")
    checking.set_defaults(run=_intake_check)
    signing = commands.add_parser("sign", help="check, list and sign the files of a folder")
    signing.set_defaults(run=_sign)
    fetching = commands.add_parser("fetch", help="bring a bundle from the models bucket into an empty folder")
    fetching.set_defaults(run=_fetch)
    fetching.add_argument("--bundle", type=Path, required=True, help="empty folder")
    for name, what in _SOURCE.items():
        fetching.add_argument(f"--{name}", required=True, help=what)
    verifying = commands.add_parser("verify", help="is this folder what was signed? (before every start)")
    verifying.set_defaults(run=_verify)
    verifying.add_argument(
        "--public-key", type=Path, required=True, help="PEM file; not from the bucket of the weights"
    )
    verifying.add_argument("--manifest-sha256", default="", help="accept this manifest only")
    publishing = commands.add_parser("public-key", help="print the public half of the intake key as PEM")
    publishing.set_defaults(run=_public_key)
    for command in (checking, signing, verifying):
        command.add_argument("--bundle", type=Path, required=True, help="folder of the model's files")
        command.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")
    for command in (signing, verifying):
        command.add_argument("--model", required=True, help="organization/name")
        command.add_argument("--revision", required=True, help="commit of the model's repository")
    for command in (signing, publishing):
        command.add_argument("--key-arn", required=True, help="intake key in KMS (ECC_NIST_P384, SIGN_VERIFY)")
        command.add_argument("--region", required=True)
    return parser


def _intake_check(options: argparse.Namespace) -> int:
    found = read(options.bundle)
    size = sum(file.bytes for file in found.files)
    return _told(options, found.problems, f"may enter: {len(found.files)} files, {size} bytes")


def _sign(options: argparse.Namespace) -> int:
    found = read(options.bundle)
    if found.problems:
        return _told(options, found.problems, "")
    manifest = Manifest(options.model, options.revision, found.files)
    key = KmsKey(options.key_arn, options.region)
    signature = key.sign(manifest.signed_text())
    key.public().require(manifest.signed_text(), signature)  # never hand out what would be refused
    (options.bundle / MANIFEST).write_bytes(manifest.canonical())
    (options.bundle / SIGNATURE).write_bytes(signature)
    return _told(options, (), f"signed: manifest sha256 {manifest.sha256()}", manifest)


def _fetch(options: argparse.Namespace) -> int:
    given = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name in _SOURCE}
    try:
        manifest = fetch(Source(**given), options.bundle)
    except (BotoCoreError, ClientError, Boto3Error) as error:
        return _failed(f"S3: {type(error).__name__}")
    print(f"fetched: {len(manifest.files)} files, {sum(file.bytes for file in manifest.files)} bytes")
    return 0


def _verify(options: argparse.Namespace) -> int:
    key = PublicKey.from_pem(options.public_key.read_bytes())
    verdict = verify(options.bundle, Expected(options.model, options.revision, options.manifest_sha256), key)
    if verdict.manifest is None:
        return _told(options, verdict.problems, "")
    return _told(options, verdict.problems, f"verified: manifest sha256 {verdict.manifest.sha256()}", verdict.manifest)


def _public_key(options: argparse.Namespace) -> int:
    sys.stdout.write(KmsKey(options.key_arn, options.region).public().pem().decode("ascii"))
    return 0


def _told(options: argparse.Namespace, problems: Sequence[Problem], well: str, manifest: Manifest | None = None) -> int:
    if options.as_json:
        refused = [{"path": problem.path, "reason": problem.reason} for problem in problems]
        digest = manifest.sha256() if manifest is not None else None
        print(json.dumps({"accepted": not problems, "refused": refused, "manifest_sha256": digest}, indent=2))
    else:
        lines = [f"REFUSED {problem}" for problem in problems] or [well]
        print("\n".join(lines))
    return 1 if problems else 0


def _kind(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else type(error).__name__


def _failed(sentence: str) -> int:
    print(f"model-weights: {sentence}", file=sys.stderr)
    return 1
