"""How well the examples of a rule know it: one mistake at a time is planted in its check, and must be caught.

python -m tests.policy_packs.mutation            the score of every module, and what survived
python -m tests.policy_packs.mutation s3 kms     of these modules only

The mutations are those of our vocabulary (any/all, demand/forbid, yes/no/unknown, negation) and of Python
(comparisons, constants, branches, statements). Messages, names of paths and the examples are left alone: they
decide nothing. A mutant is caught when any promise of any rule of its module breaks.
"""

from __future__ import annotations

import ast
import pickle
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import FrameType, ModuleType
from typing import Final

from policy_packs.rule import AnyRule, Rule, StackRule
from tests.policy_packs.promises import kept_by_all

RULES_FOLDER: Final = Path(__file__).resolve().parents[2] / "policy_packs" / "rules"
MUTANT_TIMEOUT_S: Final = 5.0

_NAMES: Final = {"any_of": "all_of", "all_of": "any_of", "demand": "forbid", "forbid": "demand"}
_ATTRIBUTES: Final = {"any": "every", "every": "any", "YES": "NO", "NO": "YES", "UNKNOWN": "YES"}
_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
# Calls that make a rule, its examples or what it says: no decision stands in them.
_SAYINGS: Final = {"View", "Violation", "NotApplicable", "Unclear"}
# What a check is given to judge.
_SUBJECTS: Final = ("Resource", "Stack", "View", "Statement", "Document", "Truth", "Mapping")


@dataclass(frozen=True)
class Survivor:
    """A planted mistake that no promise caught."""

    module: str
    line: int
    change: str


@dataclass(frozen=True)
class Score:
    module: str
    mutants: int
    survivors: tuple[Survivor, ...]

    @property
    def caught(self) -> int:
        return self.mutants - len(self.survivors)


Mutation = Callable[[], None]


def mutated_trees(tree: ast.Module) -> Iterator[tuple[ast.Module, int, str]]:
    """Every tree with one mistake: tree, line and what was changed."""
    original = pickle.dumps(tree)  # several times as fast as a deep copy
    for number in range(sum(1 for _ in _mutations(tree))):
        twin = pickle.loads(original)  # noqa: S301 - written two lines above
        line, change, mutate = next(islice(_mutations(twin), number, None))
        mutate()
        yield twin, line, change


def _mutations(tree: ast.Module) -> Iterator[tuple[int, str, Mutation]]:
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) or (isinstance(statement, ast.FunctionDef) and _decides(statement)):
            yield from _of_scope(statement)
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            yield from _of_constant(statement.value)


def _decides(function: ast.FunctionDef) -> bool:
    """A function that is given nothing to judge makes examples."""
    annotations = [ast.unparse(one.annotation) for one in function.args.args if one.annotation]
    return any(part in text for part in _SUBJECTS for text in annotations)


def _of_constant(value: ast.expr) -> Iterator[tuple[int, str, Mutation]]:
    """Of module constants only lists of names and numbers decide; of a rule, the types that it is about."""
    if isinstance(value, ast.Tuple | ast.List | ast.Set) and _is_plain(value):
        yield from _of_elements(value.elts)
    elif isinstance(value, ast.Call) and _called(value) == "frozenset" and value.args and _is_plain(value.args[0]):
        yield from _of_elements(getattr(value.args[0], "elts", []))
    elif isinstance(value, ast.Call) and _called(value) == "Rule":
        for keyword in value.keywords:
            if keyword.arg == "resource_types" and isinstance(keyword.value, ast.Tuple):
                yield from _of_elements(keyword.value.elts)
    elif isinstance(value, ast.Constant) and isinstance(value.value, int | float):
        yield from _of_literal(value)


def _is_plain(value: ast.expr) -> bool:
    elements = getattr(value, "elts", [])
    return bool(elements) and all(isinstance(one, ast.Constant | ast.Name | ast.Attribute) for one in elements)


def _of_elements(elements: list[ast.expr]) -> Iterator[tuple[int, str, Mutation]]:
    for index, element in enumerate(elements):
        if len(elements) > 1:
            yield element.lineno, f"{ast.unparse(element)} left out", partial(elements.__delitem__, index)


def _of_scope(scope: ast.FunctionDef | ast.ClassDef) -> Iterator[tuple[int, str, Mutation]]:
    for part in scope.body:
        if isinstance(part, ast.FunctionDef):
            yield from _of_scope(part)
        elif isinstance(scope, ast.FunctionDef) and not _names_a_message(part):
            for node in _deciding(part):
                yield from _of_node(node)
            yield from _of_statements(part)


def _names_a_message(part: ast.stmt) -> bool:
    return isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name) and part.targets[0].id == "message"


def _deciding(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes in which something is decided: neither text that people read nor type annotations."""
    yield node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_saying(node, name, child) and not _is_message(child):
                yield from _deciding(child)


def _is_message(node: ast.AST) -> bool:
    return isinstance(node, ast.stmt) and _names_a_message(node)


def _is_saying(parent: ast.AST, field_name: str, child: ast.AST) -> bool:
    if field_name == "annotation" or isinstance(child, ast.JoinedStr):
        return True
    if isinstance(parent, ast.Expr) and isinstance(child, ast.Constant):
        return True  # a docstring
    if isinstance(child, ast.keyword) and child.arg == "message":
        return True
    if not isinstance(parent, ast.Call) or field_name not in ("args", "keywords"):
        return False
    return _called(parent) in _SAYINGS or (_called(parent) in ("demand", "forbid") and child in parent.args[1:])


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _of_node(node: ast.AST) -> Iterator[tuple[int, str, Mutation]]:
    match node:
        case ast.Call():
            yield from _of_call(node)
        case ast.Attribute(attr=name) if name in ("YES", "NO", "UNKNOWN"):
            yield node.lineno, f"{name} → {_ATTRIBUTES[name]}", lambda: setattr(node, "attr", _ATTRIBUTES[name])
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            turned = _COMPARISONS[type(operator)]
            yield (
                node.lineno,
                f"{type(operator).__name__} → {turned.__name__}",
                lambda: setattr(node, "ops", [turned()]),
            )
        case ast.BoolOp(op=operator):
            turned_bool = ast.Or if isinstance(operator, ast.And) else ast.And
            yield node.lineno, f"→ {turned_bool.__name__}", lambda: setattr(node, "op", turned_bool())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node.lineno, "not left out", lambda: _become(node, operand)
        case ast.IfExp(test=test) | ast.If(test=test) | ast.comprehension(ifs=[test]):
            yield from _of_condition(node, test)
        case ast.Constant():
            yield from _of_literal(node)


def _of_condition(node: ast.AST, test: ast.expr) -> Iterator[tuple[int, str, Mutation]]:
    turned = ast.UnaryOp(ast.Not(), test)
    if isinstance(node, ast.comprehension):
        yield test.lineno, "filter turned round", lambda: setattr(node, "ifs", [turned])
    else:
        yield test.lineno, "condition turned round", lambda: setattr(node, "test", turned)


def _of_call(call: ast.Call) -> Iterator[tuple[int, str, Mutation]]:
    name = _called(call)
    if isinstance(call.func, ast.Name) and name in _NAMES:
        function = call.func
        yield call.lineno, f"{name} → {_NAMES[name]}", lambda: setattr(function, "id", _NAMES[name])
    if isinstance(call.func, ast.Attribute) and name in _ATTRIBUTES:
        attribute = call.func
        yield call.lineno, f".{name} → .{_ATTRIBUTES[name]}", lambda: setattr(attribute, "attr", _ATTRIBUTES[name])
    if name == "negate" and len(call.args) == 1:
        yield call.lineno, "negate left out", lambda: _become(call, call.args[0])
    if name in ("any_of", "all_of", "equals") and len(call.args) > 1:
        yield from _of_elements(call.args)


def _become(node: ast.AST, other: ast.AST) -> None:
    """The node turns into another one in place, whoever holds it."""
    node.__class__, node.__dict__ = other.__class__, dict(other.__dict__)


def _of_literal(node: ast.Constant) -> Iterator[tuple[int, str, Mutation]]:
    value = node.value
    if isinstance(value, bool):
        yield node.lineno, f"{value} → {not value}", lambda: setattr(node, "value", not value)
    elif isinstance(value, int | float):
        yield node.lineno, f"{value} → {value + 1}", lambda: setattr(node, "value", value + 1)
    elif isinstance(value, str) and value:
        yield node.lineno, f"{value!r} → another text", lambda: setattr(node, "value", f"{value}-mutated")


def _of_statements(part: ast.stmt) -> Iterator[tuple[int, str, Mutation]]:
    """Statements that yield a finding, each left out in turn; that a rule has no subject, which also has a name where
    several rules say it, is no finding.
    """
    for node in ast.walk(part):
        if isinstance(node, ast.Expr) and _finds(node.value):
            yield node.lineno, "finding left out", partial(setattr, node, "value", _nothing())


def _finds(value: ast.expr) -> bool:
    if not isinstance(value, ast.Yield | ast.YieldFrom) or isinstance(value.value, ast.Name | None):
        return False
    return "NotApplicable" not in ast.unparse(value)


def _nothing() -> ast.expr:
    return ast.YieldFrom(ast.Tuple([], ast.Load()))


def score(module: str) -> Score:
    """Of one module of rules."""
    tree = ast.parse((RULES_FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    found = [(line, change, _is_caught(mutant, module)) for mutant, line, change in mutated_trees(tree)]
    survivors = tuple(Survivor(module, line, change) for line, change, is_caught in found if not is_caught)
    return Score(module, len(found), survivors)


def _is_caught(tree: ast.Module, module: str) -> bool:
    """A mutant that cannot even be built, or never ends, is caught too."""
    try:
        with _within(MUTANT_TIMEOUT_S), _in_place_of(f"policy_packs.rules.{module}") as twin:
            exec(compile(ast.fix_missing_locations(tree), f"{module}.py", "exec"), twin.__dict__)  # noqa: S102 - the program under test
            return not kept_by_all(rules_of(twin) or _rules_above(module))
    except Exception:  # noqa: BLE001 - whatever it is, a test would have shown it
        return True


@contextmanager
def _in_place_of(name: str) -> Iterator[ModuleType]:
    """A module that others import instead of the one of this name."""
    original, twin = import_module(name), ModuleType(name)
    sys.modules[name] = twin
    try:
        yield twin
    finally:
        sys.modules[name] = original


def rules_of(module: ModuleType) -> list[AnyRule]:
    return [value for value in vars(module).values() if isinstance(value, Rule | StackRule)]


def _rules_above(module: str) -> list[AnyRule]:
    """The rules of the modules that import a module which has none of its own, made anew."""
    return [rule for name in modules() if _imports(name, module) for rule in rules_of(_made_anew(name))]


def _imports(name: str, module: str) -> bool:
    text = (RULES_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return f"rules.{module} import" in text or re.search(rf"rules import [^#]*\b{module}\b", text) is not None


def _made_anew(name: str) -> ModuleType:
    """Only this module, from its source: what it imports stays."""
    file, made = RULES_FOLDER / f"{name}.py", ModuleType(f"policy_packs.rules.{name}")
    with _in_place_of(made.__name__) as twin:
        exec(compile(file.read_text(encoding="utf-8"), file.name, "exec"), twin.__dict__)  # noqa: S102 - a module of ours
        return twin


@contextmanager
def _within(timeout_s: float) -> Iterator[None]:
    """A mutated loop may never end; only its own time counts, not that of others on a busy machine."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not judged within {timeout_s} s")

    previous = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def modules() -> list[str]:
    return sorted(file.stem for file in RULES_FOLDER.glob("*.py") if not file.stem.startswith("_"))


def main(names: Sequence[str]) -> int:
    scores = []
    for name in names or modules():
        scores.append(found := score(name))
        print(f"{name:<28} {found.caught:>5} of {found.mutants:>5} caught", flush=True)
        for one in found.survivors:
            print(f"    policy_packs/rules/{one.module}.py:{one.line}  {one.change}")
    caught, mutants = sum(one.caught for one in scores), sum(one.mutants for one in scores)
    print(f"{'all':<28} {caught:>5} of {mutants:>5} caught: {caught / max(mutants, 1):.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
