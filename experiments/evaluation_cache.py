"""One record of trainings that all arms of an experiment share.

A training is decided by network, task, recipe and training seed; whoever asks for the same four
again gets what the first training gave. It is kept as studies of our own storage, one for each task
and recipe, so it is on disk as soon as a training ends, and `run.py history export` reads it.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from xfernas_jax.evaluate.base import Evaluator, Scored
from xfernas_jax.history import Evaluation, Purpose, Storage, StudySpec, Task
from xfernas_jax.history.serialize import task_to_json
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.train.checkpoint import VariablesStore

_LONGEST_NAME = 80


def study_name(*parts: str) -> str:
    """Returns the name of a study; where a data set is a path, its end and a digest of it all."""
    text = "-".join(parts)
    safe = re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII)
    if safe == text and len(safe) <= _LONGEST_NAME:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{parts[0]}-{safe[-_LONGEST_NAME:].lstrip('_.-')}-{digest}"


class EvaluationCache:
    """The trainings of one task, space and recipe, by network and training seed."""

    def __init__(self, storage: Storage, space: Space, task: Task, recipe: str) -> None:
        """Opens the study that holds them; it is made where there is none.

        Args:
          storage: that several processes may share.
          space: of the genotypes.
          task: whose split matters as much as its name.
          recipe: its fingerprint.
        """
        identity = json.dumps([task_to_json(task), space.name, recipe], sort_keys=True)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        self.study = study_name("cache", task.dataset, digest)
        self._storage, self._space = storage, space
        self._found: dict[tuple[str, int], Evaluation] = {}
        storage.create_or_open(StudySpec(self.study, "collect", task, space.name, recipe, {}))

    def find(self, genotype: Genotype, seed: int) -> Evaluation | None:
        """Returns what a training gave, whoever recorded it; None where it is unknown."""
        key = (self._space.key(genotype), seed)
        if key not in self._found:
            self._found = {(self._space.key(e.genotype), e.seed): e for e in self.evaluations()}
        return self._found.get(key)

    def add(self, evaluation: Evaluation) -> Evaluation:
        """Records a training and returns what is recorded: another process may have been faster."""
        plain = dataclasses.replace(
            evaluation, purpose="collect", round_index=0, number=0, predicted=None
        )
        self._storage.append(self.study, plain)
        found = self.find(evaluation.genotype, evaluation.seed)
        assert found is not None
        return found

    def evaluations(self) -> tuple[Evaluation, ...]:
        """Returns all trainings, in order of recording."""
        return self._storage.evaluations(self.study)


class CachedBenchmark:
    """A benchmark that trains only what its cache does not hold; see the `Evaluator` protocol.

    Trainings with the purpose "confirm" also leave their variables, so that one of them can be
    tested later. An evaluation that may be stopped early passes by the cache: how far it gets is
    decided by more than the four.
    """

    def __init__(
        self,
        benchmark: Callable[[], Evaluator],
        space: Space,
        task: Task,
        recipe: str,
        storage: Storage,
        folder: str | os.PathLike[str],
    ) -> None:
        """Takes the trainings that are known and what trains the others.

        Args:
          benchmark: makes what trains; called once, and only when something is to be trained.
          space: of the genotypes.
          task: the benchmark's.
          recipe: the benchmark's fingerprint.
          storage: of the cache.
          folder: for variables.
        """
        self._make, self._made = benchmark, None
        self._space, self._task, self._recipe = space, task, recipe
        self.cache = EvaluationCache(storage, space, task, recipe)
        self._variables = VariablesStore(pathlib.Path(folder) / self.cache.study)
        self.num_trained = 0

    @property
    def task(self) -> Task:
        """The benchmark's task."""
        return self._task

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        return self._space

    @property
    def recipe(self) -> str:
        """The recipe's fingerprint."""
        return self._recipe

    def evaluate(
        self,
        genotype: Genotype,
        seed: int,
        purpose: Purpose = "search",
        on_epoch: Callable[[int, float], None] | None = None,
        stop: Callable[[Sequence[float]], bool] | None = None,
    ) -> Scored:
        """Looks one training up, or trains; see `Evaluator.evaluate`."""
        if stop is not None:
            return self._benchmark.evaluate(genotype, seed, purpose, on_epoch, stop)
        known, variables = self.cache.find(genotype, seed), None
        name = hashlib.sha256(f"{self._space.key(genotype)}/{seed}".encode()).hexdigest()[:16]
        if known is not None and purpose == "confirm" and known.status == "complete":
            variables = self._variables.load(name)
        if known is None or (
            purpose == "confirm" and known.status == "complete" and variables is None
        ):
            scored = self._benchmark.evaluate(genotype, seed, purpose, on_epoch)
            self.num_trained += 1
            variables = scored.variables
            if purpose == "confirm" and variables is not None:
                self._variables.save(name, variables)  # before the record: a kill loses neither
            known = self.cache.add(scored.evaluation)
        elif on_epoch is not None:
            for epoch, valid_accuracy in enumerate(known.curve, start=1):
                on_epoch(epoch, valid_accuracy)
        return Scored(dataclasses.replace(known, purpose=purpose), variables)

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the accuracy on the test part, a fraction; None where there is none."""
        return self._benchmark.test_accuracy(genotype, variables)

    @property
    def _benchmark(self) -> Evaluator:
        if self._made is None:
            self._made = self._make()
        return self._made
