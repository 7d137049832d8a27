import dataclasses
import itertools
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_cases import tokens_of

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space import PUBLISHED, ConvNet, get_space, read_genotype, read_space_name
from xfernas_jax.space.convnet import VALUES

SPACE = get_space("convnet")
VGG_LIKE: ConvNet = PUBLISHED["vgg_like"][1]
VALUE = SPACE.to_json(VGG_LIKE)


@given(row=tokens_of(SPACE), other=tokens_of(SPACE), kept=st.integers(0, 2**12 - 1))
def test_keys_are_equal_where_plans_are(row: Any, other: Any, kept: int) -> None:
    mixed = [b if kept >> i & 1 else a for i, (a, b) in enumerate(zip(row, other, strict=True))]
    first, second = SPACE.decode(row), SPACE.decode(mixed)
    equal = SPACE.plan(first) == SPACE.plan(second)
    assert (SPACE.key(first) == SPACE.key(second)) == equal


def test_no_two_choices_of_stages_width_and_growth_are_the_same_widths() -> None:
    # So together with the test above, no choice that stays in a canonical form is idle.
    choices = itertools.product(VALUES["stages"], VALUES["width"], VALUES["growth"])
    widths = []
    for stages, width, growth in choices:
        value = {**VALUE, "stages": stages, "width": width, "growth": growth}
        widths.append(SPACE.plan(SPACE.from_json(value)).widths)
    assert len(set(widths)) == len(widths)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"depths": [2, 2, 2, 4]}, True),  # there are three stages
        ({"depths": [2, 2, 3, 1]}, False),
        ({"kernel": 5}, False),
        ({"stages": 4}, False),
        ({"head": "grid"}, False),
    ],
)
def test_what_is_not_there_does_not_count(change: dict[str, Any], is_same: bool) -> None:
    changed = SPACE.from_json({**VALUE, **change})
    assert (SPACE.key(changed) == SPACE.key(VGG_LIKE)) == is_same


def test_a_cell_has_a_kernel_of_its_own() -> None:
    cells = [SPACE.from_json({**VALUE, "block": "cell", "kernel": k}) for k in (3, 5)]
    assert SPACE.plan(cells[0]) == SPACE.plan(cells[1])


def test_widths_are_multiples_of_4_and_bounded() -> None:
    for row in SPACE.sample_tokens(np.random.default_rng(0), 300):
        widths = SPACE.plan(SPACE.decode(row.tolist())).widths
        assert all(width % 4 == 0 and 8 <= width <= 256 for width in widths)
        assert list(widths) == sorted(widths)
    grown = {**VALUE, "width": 12, "growth": 1.5}
    assert SPACE.plan(SPACE.from_json(grown)).widths == (12, 20, 28)  # of 12, 18 and 27


def test_wider_changes_the_width_alone_and_ends_at_the_widest() -> None:
    network, widths = PUBLISHED["vgg_tiny"][1], []
    while network is not None:
        widths.append(network.width)
        assert dataclasses.replace(network, width=8) == PUBLISHED["vgg_tiny"][1]
        network = SPACE.wider(network)
    assert tuple(widths) == VALUES["width"]
    assert get_space("nasbench201").wider(PUBLISHED["nasbench201_best"][1]) is None


def test_mutation_gives_another_network() -> None:
    rng = np.random.default_rng(0)
    genotype = SPACE.from_json({**VALUE, "stages": 2, "block": "cell"})
    for _ in range(100):  # 3 of 12 positions are idle: all miss them with probability 1e-13
        assert SPACE.key(SPACE.mutate(genotype, rng)) != SPACE.key(genotype)


def test_json_is_readable_and_takes_a_whole_growth() -> None:
    assert json.loads(json.dumps(VALUE)) == {
        "space": "convnet",
        "stem": "conv_3x3",
        "stages": 3,
        "width": 32,
        "growth": 2.0,
        "depths": [2, 2, 2, 1],
        "block": "plain",
        "kernel": 3,
        "downsample": "max_pool",
        "head": "mean",
    }
    whole = SPACE.from_json({**VALUE, "growth": 2})
    assert type(whole.growth) is float
    assert whole == VGG_LIKE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 33}, "width of a convnet is one of 8, 12, .* Got 33"),
        ({"width": 32.0}, r"width .* Got 32\.0"),
        ({"growth": True}, "growth .* Got True"),
        ({"stages": "3"}, "stages .* Got '3'"),
        ({"block": ["plain"]}, r"block .* Got \['plain'\]"),
        ({"depths": [2, 2, 2]}, "depths .* list of 4 integers"),
        ({"depths": [2, 2, 2, 5]}, "depth of a convnet is one of 1, 2, 3, 4. Got 5"),
        ({"depths": [2, 2, 2, True]}, "depths .* list of 4 integers"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_may_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        SPACE.from_json({**VALUE, **change})


def test_a_network_is_described_in_words() -> None:
    assert SPACE.describe(VGG_LIKE) == (
        "3 stages of 2, 2, 2 plain 3x3 convolutions, 32-64-128 wide, max pooling, global mean"
    )


@settings(max_examples=25)
@given(first=tokens_of(SPACE), second=tokens_of(SPACE))
def test_descriptions_tell_networks_apart(first: Any, second: Any) -> None:
    # One position is exchanged, so that each of them must be told.
    for i in range(len(first)):
        a, b = SPACE.decode(first), SPACE.decode([*first[:i], second[i], *first[i + 1 :]])
        assert (SPACE.describe(a) == SPACE.describe(b)) == (SPACE.key(a) == SPACE.key(b))


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_network_is_read_by_its_name(name: str) -> None:
    space_name, genotype = PUBLISHED[name]
    assert read_space_name(f"published:{name}") == space_name
    assert read_genotype(f"published:{name}", get_space(space_name)) == genotype
    get_space(space_name).encode(genotype)


@pytest.mark.parametrize("read", [read_space_name, lambda path: read_genotype(path, SPACE)])
def test_a_wrong_published_name_gets_near_ones(read: Any) -> None:
    with pytest.raises(GenotypeError, match=r"'resnet9'. Did you mean resnet8.*Known: naonet, "):
        read("published:resnet9")


def test_a_published_network_of_another_space_is_refused_by_name() -> None:
    with pytest.raises(SpaceError, match=r"published:naonet is of space 'nao11', but .*'convnet'"):
        read_genotype("published:naonet", SPACE)


def test_a_file_may_be_called_like_a_published_network(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "published:resnet8"
    file.write_text(json.dumps(VALUE))
    assert read_genotype(file, SPACE) == VGG_LIKE


def test_equal_networks_have_equal_canonical_tokens() -> None:
    rng = np.random.default_rng(4)
    genotypes = [SPACE.sample(rng) for _ in range(300)]
    tokens = np.array([SPACE.encode(genotype) for genotype in genotypes], np.int32)
    expected = [SPACE.encode(SPACE.canonical(genotype)) for genotype in genotypes]
    assert SPACE.canonical_tokens(tokens).tolist() == [list(row) for row in expected]
    assert (tokens != np.array(expected)).any()
    drawn = SPACE.sample_tokens(rng, 300)
    assert (SPACE.canonical_tokens(drawn) == drawn).all()
