"""What holds for every search space."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_cases import CASES, tokens_of

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space import SPACES, CellGraph, Genotype, Space, prune

every_space = pytest.mark.parametrize("name", sorted(CASES))
every_space_of_cells = pytest.mark.parametrize("name", sorted(set(CASES) - {"convnet"}))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("a\n", max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def outcome(space: Space, value: dict) -> Genotype | str:
    """Returns the genotype, or the message of a user's mistake; other errors pass."""
    try:
        return space.from_json(value)
    except (GenotypeError, SpaceError) as error:
        return str(error)


@every_space
@given(data=st.data())
def test_decode_inverts_encode(name: str, data: st.DataObject) -> None:
    space = CASES[name]
    tokens = data.draw(tokens_of(space))
    genotype = space.decode(tokens)
    assert space.encode(genotype) == tokens
    assert space.decode(space.encode(genotype)) == genotype
    assert hash(space.decode(tokens)) == hash(genotype)


@every_space
def test_samples_lie_in_the_space(name: str) -> None:
    space, rng = CASES[name], np.random.default_rng(0)
    mask = space.mask()
    for _ in range(50):
        tokens = space.encode(space.sample(rng))
        assert mask[np.arange(len(tokens)), list(tokens)].all()
        assert 0 not in tokens


@every_space
def test_sampling_is_uniform_at_every_position(name: str) -> None:
    # A share of n = 2000 draws lies 5 standard deviations off with probability 6e-7; with at
    # most 2 * 5 * 4 * (13 + 6) = 760 (position, token) pairs a false alarm has below 5e-4.
    space, rng, draws = CASES[name], np.random.default_rng(1), 2000
    tokens = np.array([space.encode(space.sample(rng)) for _ in range(draws)])
    for position, options in enumerate(space.choices):
        share = 1 / len(options)
        spread = np.sqrt(draws * share * (1 - share))
        for token in options:
            count = int((tokens[:, position] == token).sum())
            assert abs(count - draws * share) <= 5 * spread


@every_space
def test_sampling_is_fixed_by_the_seed(name: str) -> None:
    space = CASES[name]
    runs = []
    for seed in (7, 7, 8):
        rng = np.random.default_rng(seed)
        runs.append([space.sample(rng) for _ in range(5)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@every_space
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_mutation_changes_one_token_within_the_space(
    name: str, data: st.DataObject, seed: int
) -> None:
    space = CASES[name]
    tokens = data.draw(tokens_of(space))
    mutant = space.encode(space.mutate(space.decode(tokens), np.random.default_rng(seed)))
    changed = [p for p, (old, new) in enumerate(zip(tokens, mutant, strict=True)) if old != new]
    assert len(changed) == 1
    assert mutant[changed[0]] in space.choices[changed[0]]


@every_space
@given(data=st.data())
def test_json_round_trip(name: str, data: st.DataObject) -> None:
    space = CASES[name]
    genotype = space.decode(data.draw(tokens_of(space)))
    value = space.to_json(genotype)
    assert value["space"] == name
    assert space.from_json(json.loads(json.dumps(value))) == genotype


@every_space
def test_json_of_another_space_is_refused_by_name(name: str) -> None:
    other = next(n for n in sorted(SPACES) if n != name)
    value = SPACES[other].to_json(SPACES[other].sample(np.random.default_rng(0)))
    with pytest.raises(SpaceError, match=rf"'{other}'.*'{name}'"):
        CASES[name].from_json(value)


@pytest.mark.slow
@every_space
@given(value=json_values)
def test_any_json_value_is_refused_cleanly(name: str, value: object) -> None:
    with pytest.raises((GenotypeError, SpaceError)) as caught:
        CASES[name].from_json(value)  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@every_space
@settings(max_examples=200)
@given(data=st.data(), junk=json_values)
def test_json_with_one_wrong_part_is_refused_cleanly(
    name: str, data: st.DataObject, junk: object
) -> None:
    space = CASES[name]
    value = space.to_json(space.decode(data.draw(tokens_of(space))))
    part: object = value
    while True:  # walk down a random path and put junk there
        assert isinstance(part, dict | list)
        keys = sorted(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        inner = part[key]
        if not isinstance(inner, dict | list) or data.draw(st.booleans()):
            part[key] = junk
            break
        part = inner
    result = outcome(space, value)
    if isinstance(result, str):
        assert "\n" not in result
    else:  # the junk happened to be valid, such as another input number
        assert space.to_json(result) == value


@every_space
def test_json_fields_must_be_complete_and_known(name: str) -> None:
    space = CASES[name]
    value = space.to_json(space.sample(np.random.default_rng(0)))
    for field in value:
        if field != "space":
            less = {key: entry for key, entry in value.items() if key != field}
            with pytest.raises(GenotypeError, match=rf"Missing: {field}"):
                space.from_json(less)
    with pytest.raises(GenotypeError, match=r"unknown: 'two\\nlines'\.$"):
        space.from_json({**value, "two\nlines": 1})


@every_space
@given(data=st.data())
def test_canonical_is_idempotent_and_shares_the_key(name: str, data: st.DataObject) -> None:
    space = CASES[name]
    genotype = space.decode(data.draw(tokens_of(space)))
    canonical = space.canonical(genotype)
    assert space.canonical(canonical) == canonical
    assert space.key(canonical) == space.key(genotype)
    assert space.decode(space.encode(canonical)) == canonical


@every_space_of_cells
@given(data=st.data())
def test_plan_is_a_pruned_graph_over_known_operations(name: str, data: st.DataObject) -> None:
    space = CASES[name]
    plan = space.plan(space.decode(data.draw(tokens_of(space))))
    for graph in (plan.normal, plan.reduction):
        if graph is None:
            continue
        assert isinstance(graph, CellGraph)
        assert prune(graph) == graph
        for index, edges in enumerate(graph.nodes, start=graph.num_inputs):
            assert all(0 <= edge.source < index for edge in edges)
            assert {edge.op for edge in edges} <= set(space.vocabulary[1:])


@every_space
def test_bad_tokens_are_named_by_position(name: str) -> None:
    space = CASES[name]
    tokens = list(space.encode(space.sample(np.random.default_rng(0))))
    with pytest.raises(GenotypeError, match=f"has {len(tokens)} tokens. Got {len(tokens) - 1}"):
        space.decode(tokens[:-1])
    for position in range(len(tokens)):
        for bad in (0, -1, len(space.vocabulary), True):
            if bad in space.choices[position] and bad is not True:
                continue
            wrong = [*tokens[:position], bad, *tokens[position + 1 :]]
            with pytest.raises(GenotypeError, match=rf"{bad} cannot .* position {position} "):
                space.decode(wrong)
