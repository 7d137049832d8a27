"""Random architectures of a task: the source of later searches."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from xfernas_jax.errors import UserError
from xfernas_jax.history.record import Job
from xfernas_jax.search.desk import Desk, key_seed
from xfernas_jax.space.base import Genotype

_MAX_REFUSED = 1_000  # in a row


def collect_random(
    desk: Desk,
    num_architectures: int,
    seed: int,
    num_repeated: int = 0,
    admits: Callable[[Genotype], bool] = lambda _: True,
    first: Sequence[Genotype] = (),
) -> int:
    """Evaluates random architectures until the study holds `num_architectures`.

    The first `num_repeated` of all are trained with a second seed too: how far the two values lie
    apart is the noise of the record. The sequence of architectures depends on `seed` alone, so a
    rerun goes on where the last one stopped. What broke under other options is tried again.

    Args:
      desk: hands out jobs and records what comes back.
      num_architectures: in all.
      seed: of the draws and, with the architecture, of a training.
      num_repeated: see above.
      admits: tells which architectures count.
      first: evaluated before what is drawn.

    Returns:
      The number of evaluations done now.

    Raises:
      UserError: of 1,000 architectures in a row none is admitted.
    """
    have = {
        (e.key, e.seed)
        for e in desk.record.evaluations()
        if e.status != "broken" or desk.waits_for_other_options(e)
    }
    rng = np.random.default_rng([seed, 0xC0])
    seen: set[str] = set()
    number = num_refused = 0
    draws = (desk.space.sample(rng) for _ in itertools.count())
    for genotype in itertools.chain(first, draws):
        if len(seen) == num_architectures:
            break
        key = desk.space.key(genotype)
        if key in seen:
            continue
        if not admits(genotype):
            num_refused += 1
            if num_refused == _MAX_REFUSED:
                raise UserError(
                    f"Of {_MAX_REFUSED:,} random architectures none is within the limits; raise "
                    "--max_params or --max_flops."
                )
            continue
        num_refused = 0
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
