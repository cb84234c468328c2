"""The literal list of what each program deploys: a rename shows in review, because it replaces a resource.

`python -m tests.contracts.test_programs_graph` writes the lists anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.programs import AROUND, PROGRAMS, captured
from tests.stacks.configurations import ENVIRONMENTS, REPOSITORY

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
LISTS = Path(__file__).parent / "graphs"
# What the platform makes for each fork follows from the fork, and is no rename: it is not listed.
FORKS = [folder.parent.name.replace("_", "-") for folder in (REPOSITORY / "stacks" / "workloads").glob("*/.fork")]


def _listed(program: str) -> str:
    """One line a resource: type, name, and the environments that have it where not all do."""
    found: dict[tuple[str, str], list[str]] = {}
    stacks = (program,) if program in AROUND else ENVIRONMENTS
    for stack in stacks:
        for resource in captured(program, stack).resources:
            if not resource.type.startswith("pulumi:pulumi:") and not any(fork in resource.name for fork in FORKS):
                found.setdefault((resource.type, resource.name), []).append(stack)
    lines = []
    for (kind, name), having in sorted(found.items()):
        some = "" if len(having) == len(stacks) else f"  [{', '.join(having)}]"
        lines.append(f"{kind} {name}{some}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("program", [*PROGRAMS, *AROUND])
def test_a_program_deploys_exactly_what_is_listed(program: str) -> None:
    assert _listed(program) == (LISTS / f"{program}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_preview_shows_what_is_deployed(program: str, stack: str) -> None:
    previewed = [(one.type, one.name) for one in captured(program, stack, preview=True).resources]

    assert sorted(previewed) == sorted((one.type, one.name) for one in captured(program, stack).resources)


if __name__ == "__main__":
    LISTS.mkdir(exist_ok=True)
    for program in (*PROGRAMS, *AROUND):
        (LISTS / f"{program}.txt").write_text(_listed(program), encoding="utf-8")
