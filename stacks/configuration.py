"""Typed configuration: frozen, complete, extra keys forbidden; a refusal names the field and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails


class ConfigurationError(Exception):
    """A configured value is unknown, misspelt, missing or looser than allowed. Raised before any resource exists."""


class Section(BaseModel):
    """A part of the configuration. Frozen; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True)


Configured = TypeVar("Configured", bound=Section)


def load(kind: type[Configured], values: Mapping[str, object], where: str) -> Configured:
    """Reads `values` as `kind`, or raises one ConfigurationError that lists every wrong field."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        sentences = [_sentence(kind, detail) for detail in error.errors()]
        raise ConfigurationError(f"{where}: " + "; ".join(sentences)) from None


def text_like(pattern: str, allowed: str) -> Callable[[str], str]:
    """A validator of whole strings whose refusal says in words what is allowed."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"must be {allowed} (got {value!r})")
        return value

    return check


AccountId = Annotated[str, AfterValidator(text_like(r"\d{12}", "an AWS account id: 12 digits"))]
ImageDigest = Annotated[
    str, AfterValidator(text_like(r"sha256:[0-9a-f]{64}", "an image digest: sha256: and 64 hexadecimal digits, no tag"))
]
Name = Annotated[str, AfterValidator(text_like(r"[a-z][a-z0-9-]{0,40}", "a lower-case name of letters, digits and -"))]
Price = Annotated[
    str, AfterValidator(text_like(r"\d{1,6}(\.\d{1,6})?", 'US dollars as a decimal number in quotes, such as "0.06"'))
]


def _sentence(kind: type[BaseModel], detail: ErrorDetails) -> str:
    field = ".".join(str(part) for part in detail["loc"]) or "configuration"
    if detail["type"] == "extra_forbidden":
        return f"{field}: unknown field (allowed: {', '.join(_fields(kind, detail['loc'][:-1]))})"
    if detail["type"] == "missing":
        return f"{field}: required, not set"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if "got" in message else f"{field}: {message} (got {detail['input']!r})"


def _fields(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields allowed at `path`; steps that are not fields (list indexes, tags of a union) choose nothing."""
    candidates: list[type[BaseModel]] = [kind]
    for step in path:
        inner = [model for candidate in candidates for model in _models_of(candidate, step)]
        candidates = inner or candidates
    return sorted({name for candidate in candidates for name in candidate.model_fields})


def _models_of(kind: type[BaseModel], step: int | str) -> list[type[BaseModel]]:
    field = kind.model_fields.get(str(step))
    return _models_in(field.annotation) if field else []


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # Any: a type expression has no common type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
