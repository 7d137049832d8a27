"""Random architectures of a task: the source of later searches."""

import dataclasses

import numpy as np

from xfernas_jax.executors.base import Executor, Job
from xfernas_jax.history import Storage
from xfernas_jax.search.loop import Listener, as_finished, training_seed


def collect_random(
    executor: Executor,
    storage: Storage,
    study: str,
    num_architectures: int,
    seed: int,
    listener: Listener,
    num_repeated: int = 0,
) -> int:
    """Evaluates random architectures until the study holds `num_architectures`.

    The first `num_repeated` of them are trained with a second seed too: how far the two scores lie
    apart is the noise of the record. The sequence of architectures depends on `seed` alone, so a
    rerun goes on where the last one stopped. Returns the number of evaluations done now.
    """
    space = executor.space
    have = {(space.key(e.genotype), e.seed) for e in storage.evaluations(study)}
    rng = np.random.default_rng([seed, 0xC0])
    seen: set[str] = set()
    number = num_jobs = 0
    while len(seen) < num_architectures:
        genotype = space.sample(rng)
        key = space.key(genotype)
        if key in seen:
            continue
        seen.add(key)
        trainings = [training_seed(space, genotype, seed)]
        if len(seen) <= num_repeated:
            trainings.append(trainings[0] ^ 1)
        for training in trainings:
            if (key, training) not in have:
                executor.submit(Job(number, genotype, training, "collect"))
                num_jobs += 1
            number += 1
    for job, scored in as_finished(executor, num_jobs, listener):
        evaluation = dataclasses.replace(scored.evaluation, number=job.number)
        storage.append(study, evaluation)
        listener.finished(job, evaluation)
    return num_jobs
