"""What AWS says of its own actions: names, and which resources each one is about, from cfn-lint's data."""

from __future__ import annotations

import functools
import json
import re
from importlib import resources
from typing import Any

Services = dict[str, dict[str, dict[str, Any]]]  # Any: as the file has it


@functools.cache
def services() -> Services:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/ as cfn-lint reduces it."""
    path = resources.files("cfnlint.data") / "AdditionalSpecs" / "Policies.json"
    read: Services = json.loads(path.read_text(encoding="utf-8"))
    return read


@functools.cache
def actions(pattern: str) -> tuple[str, ...]:
    """Every action that `pattern` names, as service:action in small letters; empty when there is none."""
    if pattern == "*":
        return ("*",)
    service, _, name = pattern.lower().partition(":")
    known = services().get(service, {"Actions": {}})["Actions"]
    wanted = re.compile(re.escape(name).replace(r"\*", ".*").replace(r"\?", "."))
    return tuple(f"{service}:{one}" for one in known if wanted.fullmatch(one))


@functools.cache
def arn_formats(action: str) -> tuple[re.Pattern[str], ...]:
    """The ARNs that an action can be about; none for an action that is allowed on everything only."""
    service, _, name = action.partition(":")
    described = services()[service]
    kinds = described["Actions"][name].get("Resources", [])
    formats = [text for kind in kinds for text in described["Resources"].get(kind.lower(), {}).get("ARNFormats", [])]
    return tuple(_compiled(text) for text in formats)


def _compiled(text: str) -> re.Pattern[str]:
    """`arn:${Partition}:s3:::.*`: a placeholder stands for a name, and a name of ours may hold a wildcard."""
    filled = re.sub(r"\$\{Account\}", r"(\\d{12}|\\*)", text)
    filled = re.sub(r"\$\{[^}]+\}", r"[\\w.*+=,@-]+", filled)
    return re.compile(filled)


def is_about(action: str, arn: str) -> bool:
    """Whether the action can be about that resource at all."""
    return arn == "*" or any(form.fullmatch(arn) for form in arn_formats(action))
