"""Nothing is installed that the lock does not name by hash, and the lock names the index that everybody knows."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]
FILES = "https://files.pythonhosted.org/"


def unlocked(lock: dict[str, Any]) -> list[str]:
    """Packages with a file that has no hash, or that comes from elsewhere. Without a file nothing can be installed."""
    return [package["name"] for package in lock["package"] if not _is_locked(package)]


def _is_locked(package: dict[str, Any]) -> bool:
    if {"editable", "virtual"} & package["source"].keys():
        return True  # ourselves
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    return all(one["hash"].startswith("sha256:") and one["url"].startswith(FILES) for one in files)


def test_every_package_is_locked_by_hash_from_the_index_everybody_knows() -> None:
    assert unlocked(tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))) == []


def test_a_package_without_a_hash_or_from_elsewhere_is_noticed() -> None:
    source = {"registry": "https://pypi.org/simple"}
    good = {"hash": "sha256:0", "url": f"{FILES}a.whl"}
    bad = [{"hash": "md5:0", "url": f"{FILES}a.whl"}, {"hash": "sha256:0", "url": "https://elsewhere.example/a.whl"}]
    packages = [{"name": str(n), "source": source, "wheels": [one]} for n, one in enumerate([good, *bad])]
    assert unlocked({"package": packages}) == ["1", "2"]


def test_the_image_installs_what_is_locked() -> None:
    dockerfile = (ROOT / "services/gateway/Dockerfile").read_text(encoding="utf-8")
    assert "uv sync --locked" in dockerfile
    assert "pip install" not in dockerfile
