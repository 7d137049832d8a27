"""Random architectures of a task: the source of later searches."""

import numpy as np

from xfernas_jax.history.record import Job
from xfernas_jax.search.desk import Desk, key_seed


def collect_random(desk: Desk, num_architectures: int, seed: int, num_repeated: int = 0) -> int:
    """Evaluates random architectures until the study holds `num_architectures`.

    The first `num_repeated` of them are trained with a second seed too: how far the two values lie
    apart is the noise of the record. The sequence of architectures depends on `seed` alone, so a
    rerun goes on where the last one stopped. What broke under other options is tried again.

    Returns:
      The number of evaluations done now.
    """
    have = {
        (e.key, e.seed)
        for e in desk.record.evaluations()
        if e.status != "broken" or desk.waits_for_other_options(e)
    }
    rng = np.random.default_rng([seed, 0xC0])
    seen: set[str] = set()
    number = 0
    while len(seen) < num_architectures:
        genotype = desk.space.sample(rng)
        key = desk.space.key(genotype)
        if key in seen:
            continue
        seen.add(key)
        trainings = [key_seed(key, seed)]
        if len(seen) <= num_repeated:
            trainings.append(trainings[0] ^ 1)
        for training in trainings:
            if (key, training) not in have:
                desk.submit(Job(number, genotype, key, training, "collect"))
            number += 1
    num_jobs = len(desk.running)
    while desk.running:
        desk.append(desk.next()[0])
    return num_jobs
