"""IAM policy documents as rules see them: every legal shape, and parts that are not known yet.

Only questions that rules ask; whether AWS would allow a request is another program's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from policy_packs.policy_grammar import Malformed, statements_of
from policy_packs.resource import Resource
from policy_packs.rule import Outcome, Unclear, Violation
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, UNKNOWN, View

PERMISSION_SET: Final = "aws:ssoadmin/permissionSetInlinePolicy:PermissionSetInlinePolicy"
IDENTITY_POLICY_TYPES: Final = (
    "aws:iam/policy:Policy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
    "aws:iam/role:Role",
    PERMISSION_SET,
)
# Stars alone, or an ARN with nothing but stars behind the account.
_EVERY_RESOURCE: Final = r"[*?]+|arn:[^:]*(:[^:]*){3}:[*?]+|arn:[*?]+"
_STARS: Final = r"[*?]*\*[*?]*"


@dataclass(frozen=True, slots=True)
class Statement:
    view: View

    @property
    def path(self) -> str:
        return self.view.path

    def allows(self) -> Truth:
        return self.view.at("Effect").equals("Allow")

    def denies(self) -> Truth:
        return self.view.at("Effect").equals("Deny")

    def covers(self, *actions: str) -> Truth:
        """Whether the statement is about at least one of these actions."""
        action, not_action = self.view.at("Action"), self.view.at("NotAction")
        if not_action.value is not MISSING:
            return any_of(*(negate(not_action.any(_glob(name))) for name in actions))
        return any_of(*(action.any(_glob(name)) for name in actions))

    def covers_every(self, *actions: str) -> Truth:
        return all_of(*(self.covers(name) for name in actions))

    def resources(self) -> tuple[View, ...]:
        """What an Allow leaves out is never what a rule asks for, so it reads as everything; of a Deny that leaves
        something out nothing is certain.
        """
        given = self.view.at("Resource")
        if self.view.at("NotResource").value is not MISSING and self.denies() is Truth.YES:
            return ()
        return given.items() if given.value is not MISSING else (View("*", f"{self.path}.Resource"),)

    def names_everybody(self) -> Truth:
        principal = self.view.at("Principal")
        return any_of(principal.equals("*"), principal.at("AWS").any(lambda one: one.equals("*")))

    def condition(self, key: str, *operators: str) -> View:
        """The values that one of the operators compares the key with; keys ignore case."""
        block = self.view.at("Condition")
        if block.is_unknown:
            return block
        for keys in (_spelled(block, operator) for operator in operators):
            if keys.is_unknown:
                return keys
            found = _spelled(keys, key)
            if found.value is not MISSING:
                return found
        return View(MISSING, f"{self.path}.Condition")

    def has_other_conditions(self, key: str, *beside: str) -> Truth:
        """Whether anything but this key, once, and those beside it decides too: a second condition narrows a Deny and
        leaves a way round it.
        """
        block = self.view.at("Condition")
        if block.is_unknown:
            return Truth.UNKNOWN
        operators = block.value if isinstance(block.value, dict) else {}
        if UNKNOWN in operators.values():
            return Truth.UNKNOWN
        names = [name.lower() for inner in operators.values() if isinstance(inner, dict) for name in inner]
        known = {one.lower() for one in beside}
        return Truth.of([name for name in names if name not in known] != [key.lower()])

    def names_whole_service(self) -> Truth:
        """Every action of a service, or everything but a list."""
        action, not_action = self.view.at("Action"), self.view.at("NotAction")
        return any_of(action.any(lambda one: one.matches(rf"([^:]*:)?{_STARS}")), not_action.is_given())

    def names_every_resource(self) -> Truth:
        return any_of(*(one.matches(_EVERY_RESOURCE) for one in self.resources()))

    def is_conditional(self) -> Truth:
        return self.view.at("Condition").is_given()

    def reaches(self, target: View) -> Truth:
        """Whether all that the target stands for is certainly meant."""
        return any_of(*(_includes(pattern, target) for pattern in self.resources()))


@dataclass(frozen=True, slots=True)
class Document:
    view: View
    statements: tuple[Statement, ...] = ()
    problem: str = ""

    @classmethod
    def read(cls, view: View) -> Document:
        if isinstance(view.value, str):
            return _read_text(view.value, view.path)
        return cls(view) if view.is_unknown or view.value is MISSING else cls._read(view)

    @classmethod
    def _read(cls, view: View) -> Document:
        try:
            listed = View(statements_of(view.value), f"{view.path}.Statement")
        except Malformed as reason:
            return cls(view, (), str(reason))
        return cls(view, tuple(Statement(one) for one in listed.items()))

    def outcomes(self) -> Iterator[Outcome]:
        """What keeps the document from being judged."""
        if self.view.is_unknown:
            yield Unclear(self.view.path)
        if self.problem:
            yield Violation(f"{self.view.path}: {self.problem}")
        for statement in self.statements:
            if statement.view.is_unknown:
                yield Unclear(statement.path)

    def any(self, truths: list[Truth]) -> Truth:
        """Some statement answers yes; an unknown document may."""
        return Truth.UNKNOWN if self.view.is_unknown else any_of(*truths)


@lru_cache(maxsize=4096)  # a dozen rules read the same text; none of them changes what it reads
def _read_text(text: str, path: str) -> Document:
    return Document._read(View(text, path))


# A managed policy under this path is a permissions boundary: it grants nothing, unless somebody attaches it.
BOUNDARY_PATH = "/boundary/"


def identity_documents(resource: Resource) -> tuple[Document, ...]:
    """The permissions a resource of IDENTITY_POLICY_TYPES hands out.

    A role's trust policy is another matter, and so is a boundary; that nobody attaches one is a rule of its own.
    """
    if resource.type == "aws:iam/policy:Policy" and resource.at("path").equals(BOUNDARY_PATH) is Truth.YES:
        return ()
    if resource.type == "aws:iam/role:Role":
        inline = resource.at("inlinePolicies")
        if inline.is_unknown:
            return (Document(inline),)
        return tuple(Document.read(one.at("policy")) for one in inline.items())
    return (Document.read(resource.at("inlinePolicy" if resource.type == PERMISSION_SET else "policy")),)


def _spelled(block: View, wanted: str) -> View:
    """What stands under an operator or a key of a condition; both ignore case."""
    names = block.value if isinstance(block.value, dict) else {}
    found = [View(inner, f"{block.path}.{name}") for name, inner in names.items() if name.lower() == wanted.lower()]
    return found[0] if found else View(MISSING, block.path)


def _includes(pattern: View, target: View) -> Truth:
    """Whether one pattern includes another; a star of the target is no single character."""
    if pattern.is_unknown or target.is_unknown:
        return Truth.YES if pattern.text == "*" else Truth.UNKNOWN
    return Truth.of(fnmatchcase(target.text, pattern.text.replace("[", "[[]").replace("?", "[!*]")))


class _glob:  # noqa: N801 - reads as a function: action.any(_glob("bedrock:InvokeModel"))
    """Whether a pattern of the document covers an action or ARN of ours; actions ignore case."""

    def __init__(self, name: str) -> None:
        self._name = name.lower()

    def __call__(self, pattern: View) -> Truth:
        if pattern.is_unknown:
            return Truth.UNKNOWN
        text = pattern.text.lower()
        if not {"*", "?"} & {*text}:
            return Truth.of(text == self._name)
        return Truth.of(fnmatchcase(self._name, text.replace("[", "[[]")))
