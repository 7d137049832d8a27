"""One record of trainings that all arms of an experiment share.

A training is decided by network, task, recipe and training seed; whoever asks for the same four
again gets what the first training gave. It is kept as studies of our own storage, one for each task
and recipe, so it is on disk as soon as a training ends, and `run.py history export` reads it.
"""

import functools
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

from xfernas_jax.evaluate.base import Evaluator, OnEpoch, Scored, Stop
from xfernas_jax.history import Evaluation, Job, Storage, StudySpec, Task
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
        self._storage, self._recipe = storage, recipe
        self._found: dict[tuple[str, int], Evaluation] = {}
        storage.create_or_open(StudySpec(self.study, "collect", task, space.name, recipe, {}))

    def find(self, job: Job) -> Evaluation | None:
        """Returns what a training gave, whoever recorded it; None where it is unknown."""
        if (job.key, job.seed) not in self._found:
            self._found = {(e.key, e.seed): e for e in self.evaluations()}
        return self._found.get((job.key, job.seed))

    def add(self, job: Job, scored: Scored) -> Evaluation:
        """Records a training and returns what is recorded: another process may have been faster."""
        plain = Job(0, job.genotype, job.key, job.seed, "collect")
        self._storage.append(self.study, Evaluation(plain, scored.result, self._recipe))
        found = self.find(job)
        assert found is not None
        return found

    def evaluations(self) -> tuple[Evaluation, ...]:
        """Returns all trainings, in order of recording."""
        return self._storage.evaluations(self.study)


class CachedBenchmark:
    """A benchmark that trains only what its cache does not hold; see the `Evaluator` protocol.

    Trainings with the purpose "confirm" or "test" also leave their variables, so that one of them
    can be tested later. An evaluation that may be stopped early passes by the cache: how far it
    gets is decided by more than the four.
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
        self._make, self.space, self.task, self.recipe = benchmark, space, task, recipe
        self.cache = EvaluationCache(storage, space, task, recipe)
        self._variables = VariablesStore(pathlib.Path(folder) / self.cache.study)
        self.num_trained = 0

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        """Looks one training up, or trains; see `Evaluator.evaluate`."""
        if stop is not None:
            return self._benchmark.evaluate(job, on_epoch, stop)
        known, variables = self.cache.find(job), None
        keeps = job.purpose in ("confirm", "test")
        is_needed = keeps and known is not None and known.status == "complete"
        name = hashlib.sha256(f"{job.key}/{job.seed}".encode()).hexdigest()[:16]
        if is_needed:
            variables = self._variables.load(name)
        if known is None or (is_needed and variables is None):
            scored = self._benchmark.evaluate(job, on_epoch)
            self.num_trained += 1
            variables = scored.variables
            if keeps and variables is not None:
                self._variables.save(name, variables)  # before the record: a kill loses neither
            known = self.cache.add(job, scored)
        elif on_epoch is not None:
            for epoch, value in enumerate(known.curve, start=1):
                on_epoch(epoch, value)
        return Scored(known.result, variables)

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the metric on the test part; None where there is none."""
        return self._benchmark.test(genotype, variables)

    @functools.cached_property
    def _benchmark(self) -> Evaluator:
        return self._make()
