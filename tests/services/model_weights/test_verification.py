"""A signed bundle is accepted; any other is refused, by file and reason."""

from __future__ import annotations

import hashlib
import json
import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.model_weights.bundle import read
from services.model_weights.content import TEMPLATE_CHARS_MAX
from services.model_weights.manifest import File, Manifest, ManifestError, parse
from services.model_weights.names import MANIFEST, OWN, SIGNATURE
from tests.services.model_weights.bundles import MODEL, REVISION, TEMPLATE, Bundle, IntakeKey, bundle, safetensors

SHARD = "model-00001-of-00002.safetensors"


def test_b_13_signed_bundle_is_accepted(weights: Bundle) -> None:
    manifest = weights.signed()
    verdict = weights.verdict(digest=manifest.sha256())
    assert verdict.problems == ()
    assert verdict.manifest == manifest
    listed = {file.path for file in manifest.files}
    assert listed == {str(path.relative_to(weights.folder)) for path in weights.folder.rglob("*.*")} - OWN


def test_b_13_changed_byte_is_refused(weights: Bundle) -> None:
    weights.signed()
    content = bytearray((weights.folder / SHARD).read_bytes())
    content[-1] ^= 1
    weights.write(SHARD, bytes(content))
    assert weights.problems() == [f"{SHARD} was changed: its size or SHA-256 is not the manifest's"]


def test_b_13_missing_file_is_refused(weights: Bundle) -> None:
    weights.signed()
    (weights.folder / "merges.txt").unlink()
    assert weights.problems() == ["merges.txt is missing"]


def test_b_13_shard_that_the_index_names_must_be_here(weights: Bundle) -> None:
    (weights.folder / SHARD).unlink()
    assert [str(one) for one in read(weights.folder).problems] == [
        f"model.safetensors.index.json names '{SHARD}', which is not here"
    ]


EXTRA: dict[str, tuple[str, bytes, str]] = {
    "a text that is not in the manifest": ("notes.txt", b"a", "is not in the manifest"),
    "code": ("modeling_custom.py", b"import os", "is code"),
    "code in a folder": ("onnx/__init__.py", b"", "path that is not plain"),
    "a shared library": ("kernel.so", b"\x7fELF", "is code"),
    "a pickle of PyTorch": ("pytorch_model.bin", pickle.dumps(1), "is a pickle"),
    "a checkpoint": ("model.pt", pickle.dumps(1), "is a pickle"),
    "an optimiser's state": ("optimizer.pth", pickle.dumps(1), "is a pickle"),
    "a plain pickle": ("data.pkl", pickle.dumps(1), "is a pickle"),
    "a pickle with capital letters": ("MODEL.BIN", pickle.dumps(1), "is a pickle"),
    "a pickle under the name of weights": ("more.safetensors", pickle.dumps(list(range(99))), "no safetensors file"),
    "a pickle under the name of JSON": ("more.json", pickle.dumps(1), "is not JSON"),
    "a pickle under the name of a tokenizer": ("onnx/tokenizer.model", pickle.dumps(1), "neither a SentencePiece"),
    "an old pickle, which is text": ("onnx/tokenizer.model", b"cos\nsystem\n(S'id'\ntR.", "neither a SentencePiece"),
    "a pickle under the name of text": ("more.txt", pickle.dumps(1), "is not text"),
    "a GGUF file": ("model.gguf", b"GGUF", "is not a safetensors file"),
    "a picture": ("logo.png", b"\x89PNG", "is not one of"),
    "no suffix": ("LICENSE", b"a", "is not one of"),
    "a hidden file": (".gitattributes", b"a", "path that is not plain"),
    "a download cache": (".cache/huggingface/a.json", b"{}", "path that is not plain"),
    "a name with a line break": ("a\nb.txt", b"a", "path that is not plain"),
    "a name that is not text": (os.fsdecode(b"\xff.txt"), b"a", "path that is not plain"),
    "a deep folder": ("a/b/c/d.txt", b"a", "path of more than"),
    "a second manifest further inside": (f"onnx/{MANIFEST}", b"{}", "is not in the manifest"),
    "code by name": ("more.json", b'{"a": [{"auto_map": {"AutoModel": "m.M"}}]}', "holds auto_map"),
    "code by an escaped name": ("more.json", b'{"\\u0061uto_map": {}}', "holds auto_map"),
    "code by a doubled name": ("more.json", b'{"a": {"auto_map": {}}, "a": {}}', "holds auto_map"),
    "a doubled name": ("more.json", b'{"a": 1, "a": 2}', "names something twice"),
    "remote code": ("more.json", b'{"trust_remote_code": true}', "holds trust_remote_code"),
    "pipelines of code": ("more.json", b'{"custom_pipelines": {}}', "holds custom_pipelines"),
    "deep JSON": ("more.json", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "no JSON": ("more.json", b"{", "is not JSON"),
    "a large template": ("more.jinja", b"a" * (TEMPLATE_CHARS_MAX + 1), "chat template of more than"),
    "a huge template": ("more.jinja", b"a" * (TEMPLATE_CHARS_MAX * 4 + 1), "has more than"),
    "a large template in JSON": (
        "more.json",
        json.dumps({"chat_template": [{"name": "a", "template": "a" * (TEMPLATE_CHARS_MAX + 1)}]}).encode(),
        "chat template of more than",
    ),
    "a template that leaves its sandbox": ("more.jinja", b"{{ ''.__class__ }}", "reaches for attributes of Python"),
    "a template in JSON that does": (
        "more.json",
        json.dumps({"chat_template": "{{ x['__init__'] }}"}).encode(),
        "reaches for attributes of Python",
    ),
}


@pytest.mark.parametrize("what", sorted(EXTRA))
def test_b_13_file_that_may_not_be_there_is_refused(weights: Bundle, what: str) -> None:
    path, content, reason = EXTRA[what]
    weights.signed()
    weights.write(path, content)
    named = path if "/" not in path or not path.startswith((".", "a/")) else path.split("/a.json")[0].rpartition("/")[0]
    problems = weights.verdict().problems
    assert len(problems) == 1, problems
    assert reason in problems[0].reason
    assert problems[0].path.split("/")[0] == named.split("/")[0]


@pytest.mark.parametrize("what", sorted(what for what in EXTRA if EXTRA[what][2] != "is not in the manifest"))
def test_b_13_what_may_not_be_there_cannot_be_signed_either(weights: Bundle, what: str) -> None:
    path, content, reason = EXTRA[what]
    weights.write(path, content)
    problems = read(weights.folder).problems
    assert len(problems) == 1
    assert reason in problems[0].reason


def test_b_13_auto_map_that_was_signed_is_refused_all_the_same(weights: Bundle) -> None:
    """A signature says who, not what: the rules are judged anew before every start."""
    manifest = weights.signed()
    content = b'{"auto_map":{"AutoModel":"m.M"}}'
    weights.write("config.json", content)
    file = File("config.json", len(content), hashlib.sha256(content).hexdigest())
    files = tuple(sorted([file, *(one for one in manifest.files if one.path != "config.json")]))
    forged = Manifest(MODEL, REVISION, files)
    weights.write(MANIFEST, forged.canonical())
    weights.write(SIGNATURE, weights.key.sign(forged.signed_text()))
    assert weights.problems() == ["config.json holds auto_map: it would have code loaded"]


@pytest.mark.parametrize("target", ["/etc/passwd", "merges.txt", "../secret.json", "nowhere"])
def test_b_13_symbolic_link_is_refused_and_not_followed(weights: Bundle, target: str) -> None:
    weights.signed()
    (weights.folder.parent / "secret.json").write_text("{}")
    (weights.folder / "link.json").symlink_to(target)
    (weights.folder / "folder").symlink_to("/etc")
    assert weights.problems() == ["folder is a symbolic link", "link.json is a symbolic link"]


def test_b_13_listed_file_that_became_a_link_to_its_own_content_is_refused(weights: Bundle) -> None:
    weights.signed()
    moved = weights.folder.parent / "elsewhere.safetensors"
    (weights.folder / SHARD).rename(moved)
    (weights.folder / SHARD).symlink_to(moved)
    assert f"{SHARD} is a symbolic link" in weights.problems()


def test_b_13_pipe_is_refused_without_waiting_for_it(weights: Bundle) -> None:
    weights.signed()
    os.mkfifo(weights.folder / "pipe.json")
    assert weights.problems() == ["pipe.json is not a regular file"]


def test_b_13_wrong_revision_model_or_digest_is_refused(weights: Bundle) -> None:
    manifest = weights.signed()
    other = REVISION[::-1]
    for verdict, says in (
        (weights.verdict(revision=other), f"revision must be {other}"),
        (weights.verdict(model="team/other"), "model must be team/other"),
        (weights.verdict(digest="0" * 64), f"sha256 must be {'0' * 64} (got {manifest.sha256()})"),
    ):
        assert [problem.path for problem in verdict.problems] == [MANIFEST]
        assert says in verdict.problems[0].reason


def test_b_13_older_manifest_that_was_rightly_signed_is_refused(weights: Bundle) -> None:
    weights.signed(revision=REVISION[::-1])
    assert "revision must be" in weights.problems()[0]


def test_b_13_bundle_without_signature_or_with_another_keys_is_refused(weights: Bundle) -> None:
    assert weights.problems() == [f"{MANIFEST} is refused: {MANIFEST} is not here"]
    manifest = weights.signed()
    weights.write(SIGNATURE, IntakeKey().sign(manifest.signed_text()))
    assert weights.problems() == [f"{MANIFEST} is refused: the manifest is not signed by the intake key"]
    weights.write(SIGNATURE, weights.key.sign(manifest.canonical()))  # right key, other text
    assert weights.problems() == [f"{MANIFEST} is refused: the manifest is not signed by the intake key"]
    (weights.folder / SIGNATURE).unlink()
    assert weights.problems() == [f"{MANIFEST} is refused: {SIGNATURE} is not here"]


def test_manifest_has_one_form(weights: Bundle) -> None:
    manifest = weights.signed()
    content = manifest.canonical()
    assert parse(content) == manifest
    for other in (content + b"\n", b" " + content, json.dumps(json.loads(content)).encode(), b"[]", b"{}", b"\xff"):
        with pytest.raises(ManifestError):
            parse(other)


@pytest.mark.parametrize("path", ["../a.json", "/a.json", "a/../b.json", "a//b.json", "./a.json", "a.py", MANIFEST, ""])
def test_manifest_cannot_list_what_no_bundle_holds(path: str) -> None:
    manifest = Manifest(MODEL, REVISION, (File(path, 1, "0" * 64),))
    with pytest.raises(ManifestError):
        parse(manifest.canonical())


@pytest.mark.parametrize("revision", ["main", "v1", "", "0" * 39, "G" * 40])
def test_revision_that_can_move_is_refused(revision: str) -> None:
    with pytest.raises(ManifestError, match="commit of 40 or 64"):
        Manifest(MODEL, revision, (File("a.json", 1, "0" * 64),))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """One for all flips: each puts back what it changed."""
    weights = bundle(tmp_path_factory.mktemp("model"), IntakeKey())
    weights.signed()
    return weights


@settings(deadline=None, max_examples=100)
@given(number=st.integers(0, 1 << 10), at=st.integers(0, 1 << 16), flip=st.integers(1, 255))
def test_b_13_any_flipped_byte_of_any_file_is_refused(signed: Bundle, number: int, at: int, flip: int) -> None:
    paths = sorted(path for path in signed.folder.rglob("*.*") if path.is_file())
    path = paths[number % len(paths)]
    before = path.read_bytes()
    changed = bytearray(before)
    changed[at % len(before)] ^= flip
    path.write_bytes(changed)
    try:
        assert signed.verdict().problems != ()
    finally:
        path.write_bytes(before)
    assert signed.verdict().problems == ()


def test_template_of_ordinary_length_may_enter(weights: Bundle) -> None:
    weights.write("more.jinja", TEMPLATE + "{{ bos_token }}" + "{# __ #}" + "<|__|>")
    weights.write("more.safetensors", safetensors())
    assert read(weights.folder).problems == ()
