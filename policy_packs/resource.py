"""What a rule sees: one resource, or all resources of a stack and how they are joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, wraps
from itertools import product
from typing import Any, TypeVar, cast

from policy_packs.aws_defaults import default_of
from policy_packs.resource_type import canonical_type, listed_type
from policy_packs.view import MISSING, View, plain

_Found = TypeVar("_Found")
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

    def judged(self) -> Iterator[Resource]:
        """This resource as rules name it; a Kubernetes list is judged as what it holds, each under the list's URN."""
        held = listed_type(self.type)
        items = self.props.at("items") if held else View(MISSING)
        if items.value is MISSING:
            kind = canonical_type(self.type)
            yield self if kind == self.type else replace(self, type=kind)
            return
        for index, item in enumerate(items.items()):
            yield replace(self, type=held, name=f"{self.name}[{index}]", props=item, joined={})


@dataclass(frozen=True)
class Related:
    """Resources that certainly belong to another one, and whether more may turn out to."""

    certain: tuple[Resource, ...]
    is_unclear: bool


@dataclass(frozen=True)
class Stack:
    resources: tuple[Resource, ...]

    @classmethod
    def of(cls, resources: Iterable[Resource], settings: Mapping[str, object]) -> Stack:
        """Every resource under the name that rules use, what a list holds one by one."""
        if not settings and isinstance(resources, tuple):
            return _shared(_Same(resources))
        return cls(tuple(one.with_settings(settings) for given in resources for one in given.judged()))

    def of_type(self, *types: str) -> tuple[Resource, ...]:
        wanted = {canonical_type(one) for one in types}
        if len(wanted) == 1:
            return tuple(self.resources[place] for place in self._places[wanted.pop()])
        return tuple(self.resources[place] for place in sorted(p for one in wanted for p in self._places[one]))

    def find(
        self,
        types: Iterable[str],
        urns: Iterable[str] = (),
        names: Iterable[str] = (),
        keys: Iterable[str] = _IDENTITIES,
    ) -> tuple[Resource, ...]:
        """Resources of these types by URN, or by a name that they give themselves under one of the keys."""
        wanted, keys, names = {canonical_type(one) for one in types}, tuple(keys), set(names) - {""}
        places = {place for urn in urns for place in self._places_by_urn.get(urn, ())}
        found = {place for place in places if self.resources[place].type in wanted}
        for kind, key in product(wanted if names else (), keys):
            index = self._index(kind, key)
            found.update(place for name in names for place in index.get(name, ()))
        return tuple(self.resources[place] for place in sorted(found))

    def knows(self, urns: Iterable[str]) -> bool:
        """Whether any of these stands in this stack."""
        return any(urn in self._places_by_urn for urn in urns)

    def users(self, urns: Iterable[str]) -> tuple[Resource, ...]:
        """The resources into whose properties something of these went."""
        found = {place for urn in urns for place in self._places_of_users.get(urn, ())}
        return tuple(self.resources[place] for place in sorted(found))

    def remembered(self, read: Callable[[Stack], _Found]) -> _Found:
        """What this reads from the stack, read once."""
        if read not in self._readings:
            self._readings[read] = read(self)
        return cast(_Found, self._readings[read])

    def _index(self, kind: str, key: str) -> Mapping[str, list[int]]:
        """Where the resources of a type stand, by what they say under this key."""
        if (kind, key) not in self._indexes:
            places = self._places[kind]
            self._indexes[kind, key] = _by_text((self.resources[place].at(key).text, place) for place in places)
        return self._indexes[kind, key]

    @cached_property
    def _indexes(self) -> dict[tuple[str, str], Mapping[str, list[int]]]:
        return {}

    @cached_property
    def _readings(self) -> dict[Callable[[Stack], Any], object]:  # Any: each reading finds something of its own
        return {}

    @cached_property
    def _places_by_urn(self) -> Mapping[str, list[int]]:
        return _by_text((one.urn, place) for place, one in enumerate(self.resources))

    @cached_property
    def _places_of_users(self) -> Mapping[str, list[int]]:
        everyone = enumerate(self.resources)
        return _by_text((urn, place) for place, one in everyone for urns in one.joined.values() for urn in urns)

    @cached_property
    def _places(self) -> Mapping[str, list[int]]:
        """Where the resources of each type stand."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(self.resources):
            places[one.type].append(place)
        return places

    @cached_property
    def _references(self) -> dict[tuple[str, str], _References]:
        return {}

    def related(self, owner: Resource, types: Sequence[str], by: str) -> Related:
        """Joined by dependency, not by id: at preview ids are unknown. Literal names count where they are known."""
        found = [self._referring(one, by) for one in {canonical_type(one) for one in types}]
        names = {owner.at(key).text for key in _IDENTITIES} - {""}
        places = {place for one in found for place in one.to(owner.urn, names)}
        certain = tuple(self.resources[place] for place in sorted(places))
        return Related(certain, any(one.is_unclear for one in found))

    def _referring(self, kind: str, by: str) -> _References:
        """Read once for each type and property: a stack of thousands asks for every owner."""
        if (kind, by) not in self._references:
            places = self._places[kind]
            self._references[kind, by] = _References.read(((place, self.resources[place]) for place in places), by)
        return self._references[kind, by]


def once_per_stack(read: Callable[[Stack], _Found]) -> Callable[[Stack], _Found]:
    """What is read from a whole stack is read once, however many of its resources, and rules, ask for it."""

    @wraps(read)
    def remembered(stack: Stack) -> _Found:
        return stack.remembered(read)

    return remembered


class _Same:
    """The very same resources, not equal ones: to compare thousands of them takes longer than to read them."""

    def __init__(self, resources: tuple[Resource, ...]) -> None:
        self.resources = resources

    def __hash__(self) -> int:
        return id(self.resources)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.resources is self.resources


@lru_cache(maxsize=1)  # the rules of a pack are asked one after the other about one stack
def _shared(same: _Same) -> Stack:
    return Stack(tuple(one for given in same.resources for one in given.judged()))


def _by_text(pairs: Iterable[tuple[str, int]]) -> Mapping[str, list[int]]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for text, place in pairs:
        places[text].append(place)
    return places


@dataclass(frozen=True)
class _References:
    """To whom the resources of one type belong by one property: their places by the owner's URN and by its name."""

    by_urn: Mapping[str, list[int]]
    by_name: Mapping[str, list[int]]
    is_unclear: bool

    @classmethod
    def read(cls, satellites: Iterable[tuple[int, Resource]], by: str) -> _References:
        by_urn: defaultdict[str, list[int]] = defaultdict(list)
        by_name: defaultdict[str, list[int]] = defaultdict(list)
        is_unclear = False
        for place, one in satellites:
            reference, joined = one.at(by), one.joined.get(by, ())
            for urn in joined:
                by_urn[urn].append(place)
            by_name[reference.text].append(place)
            is_unclear |= reference.is_unknown and not joined
        return cls(by_urn, by_name, is_unclear)

    def to(self, urn: str, names: Iterable[str]) -> Iterator[int]:
        yield from self.by_urn.get(urn, ())
        for name in names:
            yield from self.by_name.get(name, ())
