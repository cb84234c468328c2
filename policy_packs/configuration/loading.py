"""Settings of the packs by environment and data class, from files in the format of `--policy-pack-config`.

`environment/<name>/<pack>.json` holds what differs between environments: regions, registries, accounts, retention.
`data_class/<name>/<pack>.json` holds what a class of data demands wherever it is; where both say something, it wins.
A file that names a rule or a setting that does not exist, or a value of another type, is refused as a whole: what
is misspelt must not leave a default in its place.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from policy_packs.exemption import SCHEMA as EXEMPTIONS
from policy_packs.packs import PACKS
from policy_packs.remediation import REMEDIES
from policy_packs.rule import AnyRule, Rule
from policy_packs.serving import remedy_name

FOLDER: Final = Path(__file__).resolve().parent
ON_UNKNOWN: Final = ("report", "deny")
_TYPES: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}

Settings: TypeAlias = dict[str, dict[str, object]]  # rule → setting → value


class ConfigurationError(ValueError):
    """A setting nobody can mean: it names the place and what is allowed there."""


def environments() -> tuple[str, ...]:
    return _names("environment")


def data_classes() -> tuple[str, ...]:
    return _names("data_class")


def settings_for(environment: str, data_class: str) -> dict[str, Settings]:
    """What each pack is configured with where data of a class lies in an environment: {pack: {rule: settings}}."""
    _require("environment", environment, environments())
    _require("data class", data_class, data_classes())
    folders = (FOLDER / "environment" / environment, FOLDER / "data_class" / data_class)
    return {pack: merged(read(folder / f"{pack}.json", rules) for folder in folders) for pack, rules in PACKS.items()}


def for_first_preview(settings: Mapping[str, Settings]) -> dict[str, Settings]:
    """The same for a stack of which nothing exists: no id is known yet, so whoever denies what is unknown waits."""
    return {pack: {rule: _waiting(own) for rule, own in rules.items()} for pack, rules in settings.items()}


def _waiting(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: "report" if name == "on_unknown" else value for name, value in settings.items()}


def merged(layers: Iterable[Settings]) -> Settings:
    """Setting by setting, the later layer wins."""
    found: Settings = {}
    for layer in layers:
        for rule, settings in layer.items():
            found[rule] = {**found.get(rule, {}), **settings}
    return found


def read(file: Path, rules: Iterable[AnyRule]) -> Settings:
    """The settings of one file, each checked; no file is no setting."""
    if not file.exists():
        return {}
    place = "/".join(file.parts[-3:])
    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_without_twins)
    except ValueError as error:
        raise ConfigurationError(f"{place}: is not JSON with every name once ({error})") from None
    return checked(content, rules, place)


def checked(content: object, rules: Iterable[AnyRule], place: str) -> Settings:
    """The content itself, if every policy, setting and value in it is one that exists."""
    known = {accepted.name: accepted for rule in rules for accepted in _accepted(rule)}
    for name, settings in _mapping(content, place).items():
        if name not in known:
            raise ConfigurationError(f"{place}: {name!r} is no rule of this pack{_near(name, known)}")
        for setting, value in _mapping(settings, f"{place}: {name}").items():
            _check(known[name], setting, value, f"{place}: {name}.{setting}")
    return {name: dict(settings) for name, settings in _mapping(content, place).items()}


@dataclass(frozen=True)
class _Accepted:
    """What may be said of one policy. A rule is never switched off: an exemption says what, why and until when."""

    name: str
    settings: Mapping[str, object]
    levels: tuple[str, ...]
    judges: bool = True

    def names(self) -> tuple[str, ...]:
        """Every setting, Pulumi's own among them."""
        return (*self.settings, "enforcementLevel", *(("on_unknown", "exemptions") if self.judges else ()))


def _accepted(rule: AnyRule) -> Iterator[_Accepted]:
    remedy = REMEDIES.get(rule.name)
    is_remedied = isinstance(rule, Rule) and remedy is not None
    yield _Accepted(rule.name, rule.settings, ("mandatory", "remediate") if is_remedied else ("mandatory",))
    if remedy is not None and not is_remedied:
        yield _Accepted(remedy_name(rule.name), remedy.settings, ("disabled", "remediate"), judges=False)


def _check(policy: _Accepted, setting: str, value: object, place: str) -> None:
    if setting not in policy.names():
        allowed = ", ".join(sorted(policy.names()))
        raise ConfigurationError(f"{place}: is no setting of this rule (allowed: {allowed})")
    if setting in policy.settings:
        _check_type(policy.settings[setting], value, place)
    elif setting == "exemptions":
        _refuse_unless(_are_exemptions(value), place, "must be a list of objects with the texts urn, reason and ends")
    else:
        allowed_values = policy.levels if setting == "enforcementLevel" else ON_UNKNOWN
        is_one = isinstance(value, str) and value in allowed_values
        _refuse_unless(is_one, place, f"must be one of {', '.join(allowed_values)}")


def _check_type(default: object, value: object, place: str) -> None:
    if isinstance(default, list | tuple):
        kind = type(default[0]) if default else str
        is_list = isinstance(value, list) and all(_is_of(kind, one) for one in value)
        _refuse_unless(is_list, place, f"must be a list, each element {_TYPES[kind]}")
    else:
        _refuse_unless(_is_of(type(default), value), place, f"must be {_TYPES[type(default)]}")


def _is_of(kind: type, value: object) -> bool:
    """A whole number is a number; true and false are none."""
    if kind is float and not isinstance(value, bool):
        return isinstance(value, int | float)
    return type(value) is kind


def _are_exemptions(value: object) -> bool:
    items: Any = EXEMPTIONS["items"]
    fields = set(items["required"])
    return isinstance(value, list) and all(
        isinstance(one, Mapping) and set(one) == fields and all(isinstance(text, str) for text in one.values())
        for one in value
    )


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{place}: must be an object")
    return value


def _refuse_unless(allowed: bool, place: str, sentence: str) -> None:
    if not allowed:
        raise ConfigurationError(f"{place}: {sentence}")


def _require(kind: str, name: str, allowed: tuple[str, ...]) -> None:
    if name not in allowed:
        raise ConfigurationError(f"{kind}: must be one of {', '.join(allowed)} (got {name!r})")


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known))
    return f" (near: {', '.join(close)})" if close else ""


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"twice: {', '.join(twins)}")
    return dict(pairs)


def _names(kind: str) -> tuple[str, ...]:
    return tuple(sorted(one.name for one in (FOLDER / kind).iterdir() if one.is_dir() and one.name.isidentifier()))
