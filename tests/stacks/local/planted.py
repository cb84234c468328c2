"""Small programs, written where a test wants them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

PROJECT = """\
name: planted
runtime: python
config:
  pulumi:disable-default-providers: {value: ["*"]}
"""

HEAD = """\
import json
import pulumi
import pulumi_aws as aws
provider = aws.Provider("aws", region="eu-west-1")
mine = pulumi.ResourceOptions(provider=provider)
"""

# The first line of a planted body in its `__main__.py`.
FIRST_LINE = HEAD.count("\n") + 1


@dataclass(frozen=True)
class Mistake:
    """A mistake that mocks let pass, what the engine says of it, and the same program without it."""

    name: str
    bad: str
    good: str
    says: str


def plant(folder: Path, body: str, *, project: str = PROJECT, head: str = HEAD) -> Path:
    """Writes a program and returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Pulumi.yaml").write_text(project)
    (folder / "__main__.py").write_text(head + dedent(body).lstrip("\n"))
    return folder
