"""Both packs over what another program's Pulumi left behind: an exported state, or a preview written as JSON.

Resource rules see inputs and stack rules outputs, as `pulumi policy analyze` gives them, but without a CLI.
A secret that the file holds encrypted is unknown, and what cannot be judged does not pass; exported with
`--show-secrets` it is judged. No value is ever shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pulumi.runtime import rpc

from policy_packs.configuration.loading import Settings
from policy_packs.rule import StackRule
from stacks.local import engine, schema
from stacks.local.engine_packs import opened
from stacks.local.engine_project import Project
from stacks.local.engine_values import leaves
from stacks.local.policy_runs import RULES, Mode, Run, Target, applied_rules, judged_run, packs

Json = Any  # a plain JSON value: states enter here

_SIGNATURE: Final = rpc._special_sig_key
_SECRET: Final = rpc._special_secret_sig
_HIDDEN: Final = "[secret]"  # how Pulumi shows a secret that it does not show
_SHORTEST_HIDDEN_CHARS: Final = 4  # a shorter secret is found in any sentence
_URN: Final = re.compile(r"urn:pulumi:{0}+::{0}+::{1}+::{1}+".format(r"[^:\x00-\x1f\x7f]", r"[^\x00-\x1f\x7f]"))
_GONE: Final = ("delete", "delete-replaced", "discard", "discard-replaced", "remove-pending-replace")
_MISSING: Final = object()


class StateError(Exception):
    """The document cannot be judged: a sentence about its form, never with a value of it."""


@dataclass(frozen=True)
class State:
    """The resources that exist, or will; `secrets` are texts that no message may repeat.

    `only_read` are URNs of resources that somebody else manages: as in `pulumi up`, only stack rules see them.
    """

    project: str
    stack: str
    mode: Mode
    resources: tuple[engine.Resource, ...]
    secrets: frozenset[str]
    only_read: frozenset[str]

    @property
    def managed(self) -> tuple[engine.Resource, ...]:
        return tuple(one for one in self.resources if one.urn not in self.only_read)


def judge_state(file: Path, *, over_grpc: bool, settings: Mapping[str, Settings] | None = None) -> Run:
    """Judges one document. Whatever goes wrong is told without what the document says."""
    target = Target(file, "?", settings=settings or {})
    try:
        state = read_state(file)
    except StateError as error:
        return Run(target, Mode.KNOWN, error=str(error))
    return _judged(replace(target, stack=state.stack), state, over_grpc=over_grpc)


def _judged(target: Target, state: State, *, over_grpc: bool) -> Run:
    try:
        run = judged_run(target, state.mode, _asked(state, target, over_grpc=over_grpc))
        return _without_secrets(replace(run, applied=_applied(state, target.settings)), state.secrets)
    except engine.EngineError as error:
        return Run(target, state.mode, error=_concealed(str(error), state.secrets))
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing was judged; its text may hold a value
        return Run(target, state.mode, error=f"the packs could not be asked: {type(error).__name__}")


def _applied(state: State, settings: Mapping[str, Settings]) -> frozenset[str]:
    of_stack = (name for name in applied_rules(state.resources, settings) if isinstance(RULES[name], StackRule))
    return frozenset((*applied_rules(state.managed, settings), *of_stack))


def _asked(state: State, target: Target, *, over_grpc: bool) -> engine.Deployment:
    """Every pack about every resource, then about the stack."""
    nowhere = Path()
    project = Project(state.project, nowhere, nowhere, state.stack, {})
    is_preview = state.mode is Mode.PREVIEW
    by_urn = {one.urn: one for one in state.resources}
    with opened(
        packs(target.settings, state.mode, over_grpc=over_grpc), project, preview=is_preview, stop_at_mandatory=False
    ) as judge:
        for one in state.managed:
            judge.judge_resource(one, one.inputs, by_urn.get(one.provider.rpartition("::")[0]))
        stood_for = {one.urn: one.inputs for one in state.resources if is_preview or not one.outputs}
        judge.judge_stack([_with_id(one, is_preview=is_preview) for one in state.resources], stood_for)
    findings = tuple(judge.findings)
    return engine.Deployment(state.project, state.stack, is_preview, state.resources, {}, findings, ())


def _with_id(resource: engine.Resource, *, is_preview: bool) -> engine.Resource:
    if not resource.custom:
        return resource
    identifier = resource.id or (engine.UNKNOWN if is_preview else "")
    # What exists has all its outputs; in a preview those that the installed SDK knows of are unknown, not absent.
    has_unknown_outputs = is_preview and schema.resource_class(resource.type) is not None
    return replace(resource, custom=has_unknown_outputs, outputs={"id": identifier, **resource.outputs})


def _without_secrets(run: Run, secrets: frozenset[str]) -> Run:
    def concealed(kind: str) -> Any:
        return tuple(replace(one, message=_concealed(one.message, secrets)) for one in getattr(run, kind))

    return replace(run, **{kind: concealed(kind) for kind in ("violations", "waiting", "exempted")})


def _concealed(message: str, secrets: frozenset[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        message = message.replace(secret, _HIDDEN)
    return message


# --- reading


def read_state(file: Path) -> State:
    """Reads `pulumi stack export` or `pulumi preview --json`; StateError says what is wrong with it."""
    document = _Node(_document(file), "")
    deployment = document.optional("deployment")
    mode = Mode.PREVIEW if deployment is None else Mode.KNOWN
    found = list(_previewed(document) if deployment is None else _exported(deployment))
    secrets: set[str] = set()
    resources = tuple({one.urn: one for one in (_resource(node, secrets) for node in found)}.values())
    if not resources:
        raise StateError("the document holds no resource: there is nothing to judge")
    stack, project = resources[0].urn.removeprefix("urn:pulumi:").split("::")[:2]
    only_read = frozenset(node.text("urn") for node in found if node.flag("external"))
    return State(project, stack, mode, resources, frozenset(secrets), only_read)


def _document(file: Path) -> Json:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StateError(f"the file cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise StateError(f"the file is not JSON: line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise StateError(f"the file is not JSON that can be read: {type(error).__name__}") from None


@dataclass(frozen=True)
class _Node:
    """An object of the document and where it stands, so that an error can name the place."""

    value: Json
    path: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            raise StateError(f"{self.path or 'the document'} must be an object")

    def _at(self, key: str, kind: type, name: str, default: Json = _MISSING) -> Json:
        value = self.value.get(key)
        if value is None and default is not _MISSING:
            return default
        if value is None:
            raise StateError(f"{self._below(key)} is missing")
        if not isinstance(value, kind):
            raise StateError(f"{self._below(key)} must be {name}")
        return value

    def _below(self, key: str) -> str:
        return f"{self.path}.{key}".lstrip(".")

    def text(self, key: str, default: Json = _MISSING) -> str:
        return str(self._at(key, str, "a text", default))

    def flag(self, key: str) -> bool:
        return bool(self._at(key, bool, "true or false", False))

    def optional(self, key: str) -> _Node | None:
        return None if self.value.get(key) is None else _Node(self.value[key], self._below(key))

    def objects(self, key: str, default: Json = _MISSING) -> Iterator[_Node]:
        for index, one in enumerate(self._at(key, list, "a list", default)):
            yield _Node(one, f"{self._below(key)}[{index}]")

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._at(key, list, "a list", ())
        if not all(isinstance(one, str) for one in found):
            raise StateError(f"{self._below(key)} must hold texts only")
        return tuple(found)

    def properties(self, key: str, secrets: set[str]) -> dict[str, Json]:
        opened_value = _opened(self.value.get(key) or {}, self._below(key), secrets)
        return dict(_Node(opened_value, self._below(key)).value)


def _exported(deployment: _Node) -> Iterator[_Node]:
    """What is marked as deleted, or waits for its replacement, does not count as deployed."""
    for node in deployment.objects("resources", ()):
        if not node.flag("delete") and not node.flag("pendingReplacement"):
            yield node


def _previewed(document: _Node) -> Iterator[_Node]:
    if document.value.get("steps") is None:
        raise StateError("neither `deployment` (pulumi stack export) nor `steps` (pulumi preview --json) is there")
    steps = list(document.objects("steps"))
    _require_complete(document, steps)
    for step in steps:
        state = step.optional("newState")
        if state is not None and step.text("op") not in _GONE:
            yield state


def _require_complete(document: _Node, steps: list[_Node]) -> None:
    """A preview that failed, or that left out what stays, shows no whole stack."""
    if any(one.text("severity", "") == "error" for one in document.objects("diagnostics", ())):
        raise StateError("the preview ended with an error: it does not show the whole stack")
    summary = document.optional("changeSummary")
    unchanged = summary.value.get("same", 0) if summary else 0
    shown = sum(step.text("op") == "same" for step in steps)
    if isinstance(unchanged, int) and unchanged > shown:
        raise StateError("unchanged resources are left out: preview again with --show-sames")


def _resource(node: _Node, secrets: set[str]) -> engine.Resource:
    urn = node.text("urn")
    if not _URN.fullmatch(urn):
        raise StateError(f"{node.path}.urn must be a Pulumi URN")
    joined = node.optional("propertyDependencies")
    return engine.Resource(
        urn=urn,
        type=node.text("type"),
        name=urn.rpartition("::")[2],
        custom=node.flag("custom"),
        inputs=node.properties("inputs", secrets),
        outputs=node.properties("outputs", secrets),
        parent=node.text("parent", ""),
        provider=node.text("provider", ""),
        dependencies=node.texts("dependencies"),
        property_dependencies={key: joined.texts(key) for key in joined.value} if joined else {},
        protect=node.flag("protect"),
        retain_on_delete=node.flag("retainOnDelete"),
        source=_source(node.text("sourcePosition", "")),
        modelled=False,
        id=node.text("id", ""),
        ignore_changes=node.texts("ignoreChanges"),
        aliases=node.texts("aliases"),
    )


def _source(position: str) -> str:
    """`project:///app/index.ts#12,3` as `app/index.ts:12`."""
    found = re.fullmatch(r"project:///([^#\x00-\x1f\x7f]+)#(\d+)(,\d+)?", position)
    return f"{found[1]}:{found[2]}" if found else ""


def _opened(value: Json, path: str, secrets: set[str]) -> Json:
    """Secrets opened where the file holds them in clear; unknown where it does not."""
    if isinstance(value, Mapping):
        if value.get(_SIGNATURE) == _SECRET:
            return _secret(value, path, secrets)
        return {key: _opened(one, path, secrets) for key, one in value.items()}
    if isinstance(value, list):
        return [_opened(one, path, secrets) for one in value]
    return engine.UNKNOWN if value == _HIDDEN else value


def _secret(value: Mapping[str, Json], path: str, secrets: set[str]) -> Json:
    if "plaintext" not in value:
        return engine.UNKNOWN
    try:
        clear = json.loads(value["plaintext"])
    except (TypeError, ValueError, RecursionError):
        raise StateError(f"{path} holds a secret whose plaintext is not JSON") from None
    texts = (leaf for _, leaf in leaves(clear) if isinstance(leaf, str))
    secrets.update(text for text in texts if len(text) >= _SHORTEST_HIDDEN_CHARS)
    return _opened(clear, path, secrets)
