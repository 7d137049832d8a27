import pickle
from typing import Any

import numpy as np
import pytest

from xfernas_jax import AskTell, CategoricalSpace, bundled_histories, get_space
from xfernas_jax.errors import FlagError, GenotypeError, HistoryError
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.ask_tell import checked_seed, histories_of
from xfernas_jax.search.registry import SearchConfig
from xfernas_jax.space.categorical import Assignment

SPACE = CategoricalSpace("four", {f"p{i}": ("a", "b", "c", "d") for i in range(4)})
SMALL = CategoricalSpace("small", {"x": (1, 2, 3), "y": ("a", "b", "c")})
QUICK = SearchConfig(
    predictor=PredictorConfig(
        num_members=1, source_steps=100, num_unlabelled=512, num_starts=3, ascent_steps=2
    ),
    num_initial=4,
    population_size=5,
)


def score(genotype: Any) -> float:
    return -float(sum("abcd".index(value) for value in genotype.values))


def source() -> tuple[list, list[float]]:
    rng = np.random.default_rng(0)
    genotypes = [SPACE.sample(rng) for _ in range(40)]
    return genotypes, [10 * score(g) + 3 for g in genotypes]


def run(search: AskTell, counts: tuple[int, ...]) -> list[tuple[Any, float]]:
    told = []
    for count in counts:
        for genotype in search.ask(count):
            told.append((genotype, score(genotype)))
            search.tell(*told[-1])
    return told


@pytest.mark.parametrize("optimizer", ["random", "evolution", "xfer_nao"])
def test_telling_again_goes_on_as_if_unbroken(optimizer: str) -> None:
    def new() -> AskTell:
        return AskTell(SPACE, optimizer, [source()], seed=3, config=QUICK)

    whole = run(new(), (4, 3, 1, 1, 1, 1))
    half = whole[:8]
    resumed = new()
    for genotype, value in half:
        resumed.tell(genotype, value)
    assert half + run(resumed, (1, 1, 1)) == whole
    assert len({g for g, _ in whole}) == len(whole) == 11


def test_what_is_asked_is_not_asked_again_before_it_is_told() -> None:
    search = AskTell(SMALL, "random")
    asked = [genotype for _ in range(4) for genotype in search.ask(3)]
    assert len(asked) == len(set(asked)) == 9
    assert search.ask() == []


def test_seeds_decide() -> None:
    runs = [run(AskTell(SPACE, "random", seed=seed), (5,)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_source_tells_what_to_ask_first() -> None:
    # A random one is among the 15 of 256 at distance 2 or less with a probability below 6 %.
    (first,) = AskTell(SPACE, sources=[source()], config=QUICK).ask()
    assert score(first) >= -2


@pytest.mark.slow
def test_recorded_studies_are_sources_of_their_own_space_alone() -> None:
    found = histories_of(get_space("convnet"), list(bundled_histories()))
    assert sorted(len(history.scores) for history in found) == [60, 60, *[150] * 6]
    assert len({history.numbers for history in found}) == 8
    assert histories_of(SPACE, [*bundled_histories(), source()])[0].name == "source 8"


def test_a_failure_is_not_asked_again() -> None:
    search = AskTell(SMALL, "random")
    for genotype in search.ask(5):
        search.tell(genotype, None)
    assert len(search.ask(9)) == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused(value: float) -> None:
    search = AskTell(SPACE, "random")
    with pytest.raises(HistoryError, match="None for what failed"):
        search.tell(search.ask()[0], value)


def test_what_is_not_of_the_space_is_refused() -> None:
    with pytest.raises(GenotypeError):
        AskTell(SPACE, "random").tell(Assignment(("a", "b", "c", "e")), 1.0)
    genotypes, scores = source()
    with pytest.raises(HistoryError, match="Source 0 has 40 genotypes and 39 scores"):
        AskTell(SPACE, sources=[(genotypes, scores[1:])])


@pytest.mark.parametrize("optimizer", ["random", "evolution"])
def test_a_pickled_search_goes_on_as_itself(optimizer: str) -> None:
    search = AskTell(SPACE, optimizer, seed=3)
    for number, genotype in enumerate(search.ask(4)):
        if number < 3:
            search.tell(genotype, float(number))
    other = pickle.loads(pickle.dumps(search))
    assert other.ask(3) == search.ask(3)


@pytest.mark.parametrize("seed", [None, -1, 1.5, "1"])
def test_a_seed_is_a_whole_number_from_0(seed: Any) -> None:
    with pytest.raises(FlagError, match="A seed is a whole number from 0"):
        checked_seed(seed)


def test_a_seed_of_numpys_is_one() -> None:
    ours, numpys = (AskTell(SPACE, "random", seed=seed).ask() for seed in (7, np.int64(7)))
    assert ours == numpys


README = """
from xfernas_jax import AskTell, CategoricalSpace

space = CategoricalSpace("mine", {"depth": [2, 4, 8], "width": [32, 64], "norm": ["b", "l"]})
search = AskTell(space, seed=0)
for _ in range(4):
    genotype = search.ask()[0]
    network = space.named(genotype)  # such as {"depth": 4, "width": 64, "norm": "l"}
    search.tell(genotype, score=-network["depth"] / network["width"])  # train it here
"""


def test_the_readmes_ten_lines_run() -> None:
    assert len(README.strip().splitlines()) <= 10
    scope: dict[str, Any] = {}
    exec(compile(README, "README", "exec"), scope)
    assert scope["network"]["depth"] in (2, 4, 8)
