"""The examples of the rules know their rules: a check changed by one operator is caught, nine times in ten."""

from __future__ import annotations

import ast

import pytest

from tests.policy_packs.mutation import modules, mutated_trees, score

CAUGHT_SHARE_MIN = 0.9
MODULE_TIMEOUT_S = 600  # a hundred mutants, each asked every promise of its module


@pytest.mark.timeout(MODULE_TIMEOUT_S)
@pytest.mark.parametrize("module", modules())
def test_a_check_changed_by_one_operator_is_caught(module: str) -> None:
    found = score(module)
    survivors = [f"{one.module}.py:{one.line} {one.change}" for one in found.survivors]
    assert found.mutants > 0
    assert found.caught / found.mutants >= CAUGHT_SHARE_MIN, "\n".join(survivors)


CHECK = """
def _rotates(key: Resource):
    '''A sentence.'''
    if key.at("usage").equals("ENCRYPT", "SIGN") is Truth.NO:
        yield NotApplicable("no sentence is changed")
    yield from demand(any_of(negate(one), two), "nor this", key)
"""


def test_the_mutations_are_those_of_our_vocabulary_and_of_python() -> None:
    changes = [change for _, _, change in mutated_trees(ast.parse(CHECK))]

    assert sorted(changes) == [
        "'ENCRYPT' left out",
        "'ENCRYPT' → another text",
        "'SIGN' left out",
        "'SIGN' → another text",
        "'usage' → another text",
        "Is → IsNot",
        "NO → YES",
        "any_of → all_of",
        "condition turned round",
        "demand → forbid",
        "finding left out",
        "negate left out",
        "negate(one) left out",
        "two left out",
    ]


def test_every_mutant_differs_from_the_original_and_from_the_others() -> None:
    original = ast.unparse(ast.parse(CHECK))
    mutants = [ast.unparse(ast.fix_missing_locations(tree)) for tree, _, _ in mutated_trees(ast.parse(CHECK))]

    assert original not in mutants
    assert len(set(mutants)) == len(mutants)


def test_a_function_that_only_makes_examples_is_left_alone() -> None:
    assert list(mutated_trees(ast.parse("def example(name: str):\n    return any_of(name, 'x')"))) == []
