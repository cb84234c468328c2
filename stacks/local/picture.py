"""The two pictures of the README, drawn from what is there: security-group rules and imports.

    python -m stacks.local.picture           prints them
    python -m stacks.local.picture --write   puts them into README.md, between their marks

A test compares README.md with what is drawn here, so neither picture can grow old.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp

from stacks.local import engine

README = Path("README.md")
ROOMS = (
    "stacks.platform",
    "stacks.cluster",
    "stacks.organization",
    "stacks.workloads",
    "stacks.local",
    "components",
    "policy_packs.baseline_security",
    "policy_packs.llm_guardrails",
    "policy_packs.rules",
    "services.gateway.app",
    "services.gateway.pipeline",
    "services.gateway.stages",
    "services.gateway.detectors",
    "services.gateway.adapters",
    "services.gateway.ingestion",
    "services.gateway.exchange",
)
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
GROUP = "aws:ec2/securityGroup:SecurityGroup"


def network_picture(deployment: engine.Deployment) -> str:
    """Who may open a connection to whom in the deployed VPC, and on which port. Nothing else is allowed."""
    names = {group.urn: group.name for group in deployment.of_type(GROUP)}
    arrows = sorted({_arrow(rule, names) for rule in deployment.of_type(INGRESS)})
    return _mermaid("LR", arrows)


def _arrow(rule: engine.Resource, names: dict[str, str]) -> str:
    target = _group(rule, "securityGroupId", names)
    source = _group(rule, "referencedSecurityGroupId", names) or "clients in private networks"
    port = int(rule.inputs.get("fromPort", 0))
    return f"{_node(source)} -->|{port}| {_node(target)}"


def _group(rule: engine.Resource, name: str, names: dict[str, str]) -> str:
    return next((names[urn] for urn in rule.property_dependencies.get(name, ()) if urn in names), "")


def room_picture() -> str:
    """Which room imports which."""
    graph = grimp.build_graph("stacks", "components", "policy_packs", "services", cache_dir=None)
    pairs = {
        (_room(importer), _room(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return _mermaid("LR", sorted(f"{_node(one)} --> {_node(two)}" for one, two in pairs if one and two and one != two))


def _room(module: str) -> str:
    """The most specific room a module lies in; empty for modules between rooms."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default="")


def _node(name: str) -> str:
    return f'{re.sub(r"[^a-z0-9]", "_", name)}["{name}"]'


def _mermaid(direction: str, lines: Iterable[str]) -> str:
    return "\n".join(["```mermaid", f"flowchart {direction}", *(f"  {line}" for line in lines), "```"])


def pictures() -> dict[str, str]:
    """Each picture by the name of its mark in the README."""
    return {"network": network_picture(engine.run(Path(), "prod")), "rooms": room_picture()}


def with_pictures(text: str, drawn: dict[str, str]) -> str:
    """`text` with each picture between its marks; a missing mark is an error."""
    for name, picture in drawn.items():
        pattern = re.compile(rf"(<!-- picture: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no mark '<!-- picture: {name} -->' … '<!-- end -->'")
        text = pattern.sub(lambda found, drawn=picture: f"{found[1]}{drawn}\n{found[2]}", text)  # type: ignore[misc]
    return text


def main() -> None:
    drawn = pictures()
    if "--write" in sys.argv:
        README.write_text(with_pictures(README.read_text(encoding="utf-8"), drawn), encoding="utf-8")
    else:
        print("\n\n".join(drawn.values()))


if __name__ == "__main__":
    main()
