"""Our own classes keep the contracts, and the contracts find who does not."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from search_toy import SPACE, Toy, distinct_cells

from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.executors.simulated import SimulatedExecutor
from xfernas_jax.history.record import Job
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.registry import SURROGATES, make_surrogate
from xfernas_jax.search.base import Optimizer
from xfernas_jax.search.registry import OPTIMIZERS, SearchConfig, make_optimizer
from xfernas_jax.search.schedule import SCHEDULES, Ask, make_schedule
from xfernas_jax.search.seen import Seen, Suggestion
from xfernas_jax.space import SPACES, CategoricalSpace
from xfernas_jax.testing import (
    ExecutorContract,
    OptimizerContract,
    ScheduleContract,
    SpaceContract,
    SurrogateContract,
)

PREDICTOR = PredictorConfig(
    num_members=2, source_steps=40, target_steps=20, num_unlabelled=512, ascent_steps=2
)
CONFIG = SearchConfig(predictor=PREDICTOR, num_initial=6, population_size=6)
VALUES = CategoricalSpace("values", {f"p{i}": ("a", "b", "c", "d") for i in range(4)})


def source(name: str) -> TaskHistory:
    tokens = SPACE.sample_tokens(np.random.default_rng(len(name)), 40)
    return TaskHistory(name, tokens, np.sin(tokens).sum(1))


@pytest.fixture(params=[*SPACES.values(), VALUES], ids=lambda space: space.name)
def _space(request: pytest.FixtureRequest) -> None:
    request.instance.space = request.param


@pytest.mark.usefixtures("_space")
class TestSpaces(SpaceContract):
    def test_plans_are_values_and_equal_networks_have_equal_ones(self) -> None:
        if self.space is not VALUES:  # named values have no network
            super().test_plans_are_values_and_equal_networks_have_equal_ones()


@pytest.fixture(params=sorted(OPTIMIZERS))
def _optimizer(request: pytest.FixtureRequest) -> None:
    request.instance.name = request.param


@pytest.mark.slow
@pytest.mark.usefixtures("_optimizer")
class TestOptimizers(OptimizerContract):
    space, name = SPACE, ""

    def make(self) -> Optimizer:
        return make_optimizer(self.name, SPACE, (source("a"), source("bb")), CONFIG)


@pytest.fixture(params=sorted(SCHEDULES))
def _schedule(request: pytest.FixtureRequest) -> None:
    request.instance.name = request.param


@pytest.mark.usefixtures("_schedule")
class TestSchedules(ScheduleContract):
    name = ""

    def make(self, budget: int, batch_size: int) -> Any:
        return make_schedule(self.name, budget, batch_size)


@pytest.fixture(params=sorted(SURROGATES))
def _surrogate(request: pytest.FixtureRequest) -> None:
    request.instance.name = request.param


@pytest.mark.usefixtures("_surrogate")
class TestSurrogates(SurrogateContract):
    space, name = SPACE, ""

    def make(self, sources: tuple[TaskHistory, ...]) -> Any:
        return make_surrogate(self.name, SPACE, sources, PREDICTOR)


JOBS = [Job(i, cell, SPACE.key(cell), i) for i, cell in enumerate(distinct_cells(3))]


class TestInProcessExecutor(ExecutorContract):
    def open(self) -> Executor:
        return InProcessExecutor(Toy())

    def jobs(self) -> Sequence[Job]:
        return JOBS


class TestSimulatedExecutor(TestInProcessExecutor):
    def open(self) -> Executor:
        return SimulatedExecutor(Toy(), (1.0, 2.0))


# Who breaks a contract is found.


class Remembers:
    """Its second answer differs from its first."""

    def __init__(self) -> None:
        self.calls = 0

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> list[Suggestion]:
        self.calls += 1
        return seen.batch().fill(np.random.default_rng([self.calls, int(rng.integers(9))]), count)


class Repeats:
    """Proposes what is seen already."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> list[Suggestion]:
        return [Suggestion(cell) for cell in distinct_cells(count)]


class Deaf:
    """Ignores its random numbers."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> list[Suggestion]:
        return seen.batch().fill(np.random.default_rng(0), count)


@pytest.mark.parametrize(
    ("make", "test"),
    [
        (Remembers, "test_answers_follow_from_what_is_seen_alone"),
        (Repeats, "test_suggestions_are_new_and_of_the_space"),
        (Repeats, "test_what_runs_is_not_suggested_again"),
        (Deaf, "test_other_random_numbers_give_other_suggestions"),
    ],
)
def test_an_optimizer_that_breaks_its_contract_is_found(make: Any, test: str) -> None:
    contract = OptimizerContract()
    contract.space, contract.make = SPACE, make
    with pytest.raises(AssertionError):
        getattr(contract, test)()


@dataclasses.dataclass(frozen=True)
class Forgets:
    """Asks again for what is done."""

    def ask(self, done: Any, running: Any, asked: Any, num_free: int) -> Ask | None:
        number = max(asked, default=-1) + 1
        return Ask(number, 1, (number,), ()) if number < 11 and num_free else None


def test_a_schedule_that_breaks_its_contract_is_found() -> None:
    contract = ScheduleContract()
    contract.make = lambda budget, batch_size: Forgets()
    contract.test_every_number_is_asked_for_once()
    with pytest.raises(AssertionError):
        contract.test_a_search_that_is_started_again_asks_for_the_rest()


def test_a_space_that_breaks_its_contract_is_found() -> None:
    class Shifted(CategoricalSpace):
        def canonical(self, genotype: Any) -> Any:
            return self.mutate(genotype, np.random.default_rng(0))

    contract = SpaceContract()
    contract.space = Shifted("shifted", {"x": (1, 2, 3), "y": ("long", "b")})
    with pytest.raises(AssertionError):
        contract.test_canonical_is_idempotent_and_shares_the_key()
