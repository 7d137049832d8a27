"""A parent that prints its worker's process number once that trains, and waits to be killed."""

import pathlib
from contextlib import closing

from executor_cases import CELLS, OWN, Record, cpu_groups, job, quick_spec

from xfernas_jax.executors.local import LocalExecutor
from xfernas_jax.history.record import Job


def children() -> list[int]:
    """Returns the process numbers of this process's children."""
    tasks = pathlib.Path("/proc/self/task")
    return [int(n) for task in tasks.iterdir() for n in (task / "children").read_text().split()]


class Tells(Record):
    def started(self, job: Job) -> None:
        super().started(job)
        print(*children(), flush=True)


SPEC = quick_spec("train.epochs=100000")
with closing(LocalExecutor(SPEC, OWN, cpu_groups(1))) as executor:
    executor.submit(job(0, CELLS[0], seed=0))
    executor.next_finished(Tells())
