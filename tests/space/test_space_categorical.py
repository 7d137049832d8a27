import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax import XferSampler
from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space.categorical import Assignment, CategoricalSpace

SPACE = CategoricalSpace("mine", {"a": ("x", "y"), "b": (1, 2.5, None), "c": (True,)})


def test_every_combination_is_one_sequence_and_one_json_object() -> None:
    rows = SPACE.all_tokens(100)
    assert rows is not None
    assert len(rows) == 2 * 3 * 1
    genotypes = [SPACE.decode(row.tolist()) for row in rows]
    assert [SPACE.encode(g) for g in genotypes] == [tuple(row) for row in rows.tolist()]
    texts = [json.dumps(SPACE.to_json(g)) for g in genotypes]
    assert [SPACE.from_json(json.loads(text)) for text in texts] == genotypes
    assert len({SPACE.key(g) for g in genotypes}) == len(genotypes)
    assert [SPACE.genotype(SPACE.named(g)) for g in genotypes] == genotypes


def test_tokens_say_parameter_and_value() -> None:
    tokens = SPACE.encode(Assignment(("y", None, True)))
    assert [SPACE.vocabulary[t] for t in tokens] == ["a='y'", "b=None", "c=True"]


def test_a_mutant_differs_in_one_value() -> None:
    rng, start = np.random.default_rng(0), Assignment(("x", 1, True))
    for _ in range(20):
        mutant = SPACE.mutate(start, rng)
        assert sum(x != y for x, y in zip(mutant.values, start.values, strict=True)) == 1


@pytest.mark.parametrize(
    "values",
    [
        ("x", 1),
        ("z", 1, True),
        ("x", True, True),  # a boolean is no number
        ("x", 1.0, True),
    ],
)
def test_a_wrong_value_is_refused(values: tuple) -> None:
    with pytest.raises(GenotypeError):
        SPACE.canonical(Assignment(values))


@pytest.mark.parametrize(
    "value",
    [
        {"space": "mine", "values": {"a": "x", "b": 1}},
        {"space": "mine", "values": {"a": "x", "b": 1, "c": True, "d": 1}},
        {"space": "mine", "values": {"a": "x", "b": [1], "c": True}},
        {"space": "mine", "values": ["x", 1, True]},
        {"space": "mine"},
        [],
    ],
)
def test_a_wrong_json_object_is_refused(value: object) -> None:
    with pytest.raises(GenotypeError):
        SPACE.from_json(value)


def test_another_spaces_genotype_is_refused() -> None:
    with pytest.raises(SpaceError, match="of space 'other'"):
        SPACE.from_json({"space": "other", "values": {}})


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"a": ("x",)},
        {"a": ("x", "y"), "b": ()},
        {"a": (1, True)},
        {"a": (float("nan"), 1.0)},
        {"a": ((1,), (2,))},
        {"a": "xy"},
    ],
)
def test_parameters_that_are_no_space_are_refused(parameters: dict) -> None:
    with pytest.raises(SpaceError, match="Space 'bad'"):
        CategoricalSpace("bad", parameters)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"x", "y"}, "are a set, which has no order"),
        (frozenset((1, 2)), "are a set, which has no order"),
        ({"x": 1, "y": 2}, "a dict in it is no value"),
        ((x for x in "xy"), "are a list. Got <generator"),
        (3, "are a list. Got 3"),
        (b"xy", "are a list. Got b'xy'"),
        (np.array([[1, 2]]), "are a list. Got array"),
        (np.array([1.0, np.nan]), "finite numbers"),
        ([np.array([1, 2]), 3], "different texts"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_without_an_order_and_of_other_kinds_are_refused(values: Any, words: str) -> None:
    with pytest.raises(SpaceError, match="Space 'bad': the values of 'a'") as refused:
        CategoricalSpace("bad", {"a": values, "b": (1, 2)})
    assert words in str(refused.value)
    with pytest.raises(SpaceError, match="search_space: the values of 'a'"):
        XferSampler(search_space={"a": values})


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2, 3]),
        [np.int64(1), np.int32(2), np.uint8(3)],
        range(1, 4),
        jnp.array([1, 2, 3]),
        (jnp.int32(1), 2, np.array(3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arrays_and_their_scalars_are_plain_numbers(values: Any) -> None:
    space = CategoricalSpace("numbers", {"a": values})
    assert space.parameters["a"] == (1, 2, 3)
    assert all(type(value) is int for value in space.parameters["a"])
    json.dumps(space.to_json(Assignment((2,))))


def test_there_is_no_network() -> None:
    with pytest.raises(SpaceError, match="--objective"):
        SPACE.plan(Assignment(("x", 1, True)))
