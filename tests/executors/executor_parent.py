"""A parent that prints its worker's process number once that trains, and waits to be killed."""

import pathlib
from contextlib import closing

from executor_cases import CELLS, Record, cpu_groups, quick_setup

from xfernas_jax.executors.base import Job
from xfernas_jax.executors.local import LocalExecutor


def children() -> list[int]:
    """Returns the process numbers of this process's children."""
    tasks = pathlib.Path("/proc/self/task")
    return [int(n) for task in tasks.iterdir() for n in (task / "children").read_text().split()]


class Tells(Record):
    def started(self, job: Job) -> None:
        super().started(job)
        print(*children(), flush=True)


with closing(LocalExecutor(quick_setup("train.epochs=100000"), cpu_groups(1))) as executor:
    executor.submit(Job(0, CELLS[0], seed=0))
    executor.next_finished(Tells())
