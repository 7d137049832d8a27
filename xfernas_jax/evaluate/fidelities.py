"""An evaluator of two fidelities: short trainings for the search, long ones for what it found."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from xfernas_jax.evaluate.base import Answer, OnEpoch, Part, Scored, Stop
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history.record import Job
from xfernas_jax.space.base import Genotype


class Fidelities:
    """Trains by the recipe of the search, and jobs of the purpose "final" by another.

    The test part is read with variables of the latter: the two may see images of other sizes.
    """

    def __init__(self, search: TrainedEvaluator, final: Callable[[], TrainedEvaluator]) -> None:
        """Takes the evaluator of the search, and what builds the other when it is needed."""
        self._search, self._build_final = search, final
        self.task, self.space, self.recipe = search.task, search.space, search.recipe

    @cached_property
    def final(self) -> TrainedEvaluator:
        """What evaluates by the final recipe."""
        return self._build_final()

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        """Trains and scores; see `Evaluator.evaluate`."""
        chosen = self.final if job.purpose == "final" else self._search
        return chosen.evaluate(job, on_epoch, stop)

    def prepare(self, genotype: Genotype) -> None:
        """Compiles an architecture's training for the search."""
        self._search.prepare(genotype)

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the metric on the test part; see `Evaluator.test`."""
        return self.final.test(genotype, variables)

    def answer(self, genotype: Genotype, variables: Any, part: Part) -> Answer:
        """Returns what a network says of a part's images; see `Answering.answer`."""
        return self.final.answer(genotype, variables, part)
