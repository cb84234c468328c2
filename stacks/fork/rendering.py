"""Rendering: the files of a fork, each a pure function of the answers and of what the environments offer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

from stacks.environment import EnvironmentName
from stacks.fork.placing import Placed
from stacks.fork.wish import Wish

TEMPLATES = Path(__file__).parent / "template"
ONCE = {
    "Pulumi.yaml": "Pulumi.yaml.template",
    "__main__.py": "main.py.template",
    "__init__.py": "init.py.template",
    "README.md": "README.md.template",
    "answer.toml": "answer.toml.template",
    "policy-config.json": "policy-config.json.template",
}


def render(wish: Wish, placed: tuple[Placed, ...], templates: Path = TEMPLATES) -> Mapping[Path, str]:
    """Path in the repository → text."""
    folder, answers = Path("stacks/workloads") / wish.module, _answers(wish)
    files = {folder / name: _filled(templates / template, answers) for name, template in ONCE.items()}
    for one in placed:
        values = answers | _placing(wish, one)
        files[folder / f"Pulumi.{one.environment.name.value}.yaml"] = _filled(templates / "stack.yaml.template", values)
    files[Path("tests/workloads") / f"test_{wish.module}.py"] = _filled(templates / "tests.py.template", answers)
    return files


def _filled(template: Path, values: Mapping[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(values)


def _answers(wish: Wish) -> dict[str, str]:
    return {
        "name": wish.name,
        "module": wish.module,
        "title": wish.name.replace("-", " ").capitalize(),
        "owner": wish.owner,
        "wished_class": wish.data_class.value,
        "tenants": ", ".join(wish.tenants),
    }


def _placing(wish: Wish, one: Placed) -> dict[str, str]:
    environment = one.environment
    local = environment.name is EnvironmentName.LOCAL
    provider = f"secretsprovider: awskms://alias/pulumi-{environment.name.value}?region={environment.region}\n"
    return {
        "secrets_provider": "" if local else provider,
        "environment": environment.name.value,
        "region": environment.region,
        "account_id": environment.account_id,
        "deployer_role": one.deployer_role,
        "break_glass_role": environment.break_glass_role,
        "deletion_protection": str(environment.deletion_protection).lower(),
        "data_class": one.data_class.value,
        "boundary": one.boundary.value,
        "key_tier": one.key_tier.value,
        "models": ", ".join(one.models),
        "stands_in": "" if one.data_class is wish.data_class else f" # stands in for {wish.data_class.value}",
    }
