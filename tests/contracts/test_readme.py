"""README.md says what is true: its pictures are drawn from the code, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stacks.local.picture import pictures, with_pictures

README = Path("README.md").read_text(encoding="utf-8")
MAKEFILE = Path("Makefile").read_text(encoding="utf-8")


def test_the_pictures_match_the_deployed_graph_and_the_import_graph() -> None:
    assert with_pictures(README, pictures()) == README, "run: python -m stacks.local.picture --write"


def test_a_picture_without_its_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="picture: network"):
        with_pictures("a page without marks", {"network": "drawn"})


def test_every_make_command_of_the_readme_is_a_target() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert named
    assert named <= targets


def test_every_room_of_the_map_exists() -> None:
    rooms = re.findall(r"^\| `([a-z_/]+/)` \|", README, re.MULTILINE)
    assert len(rooms) >= 8
    assert [room for room in rooms if not Path(room).is_dir()] == []
