"""What a rule sees: one resource, or all resources of a stack and how they are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from policy_packs.aws_defaults import default_of
from policy_packs.view import MISSING, View, plain

_IDENTITIES = ("id", "arn", "name", "bucket", "guardrailArn")  # outputs by which AWS resources refer to each other


@dataclass(frozen=True)
class Resource:
    """`joined` holds, for each property, the URNs of the resources its value came from: known even at preview."""

    type: str
    name: str
    urn: str
    props: View
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def example(
        cls, type_: str, props: Mapping[str, object] | None = None, /, name: str = "example", **joined: str
    ) -> Resource:
        """A resource for a rule's own examples; `bucket="archive"` joins that property to the resource so named."""
        urns = {key: (f"urn:example::{target}",) for key, target in joined.items()}
        return cls(type_, name, f"urn:example::{name}", View(plain(props or {})), urns)

    def at(self, path: str, absent: object = MISSING) -> View:
        """The property, or AWS's documented default where it is left out; `absent` is for what has none."""
        documented = default_of(self.type, path)
        return self.props.at(path, absent if documented is MISSING else documented)

    def with_settings(self, settings: Mapping[str, object]) -> Resource:
        return replace(self, settings=settings)


@dataclass(frozen=True)
class Related:
    """Resources that certainly belong to another one, and whether more may turn out to."""

    certain: tuple[Resource, ...]
    is_unclear: bool


@dataclass(frozen=True)
class Stack:
    resources: tuple[Resource, ...]

    def of_type(self, *types: str) -> tuple[Resource, ...]:
        return tuple(one for one in self.resources if one.type in types)

    def related(self, owner: Resource, types: Sequence[str], by: str) -> Related:
        """Joined by dependency, not by id: at preview ids are unknown. Literal names count where they are known."""
        candidates = self.of_type(*types)
        certain = tuple(one for one in candidates if _belongs(one, owner, by))
        unclear = any(one.at(by).is_unknown and not one.joined.get(by) for one in candidates if one not in certain)
        return Related(certain, unclear)


def _belongs(satellite: Resource, owner: Resource, by: str) -> bool:
    if owner.urn in satellite.joined.get(by, ()):
        return True
    reference = satellite.at(by).text
    return bool(reference) and reference in {owner.at(key).text for key in _IDENTITIES}
