"""What is told of a search or collection: lines on the console, and views of other programs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from xfernas_jax.cli.live import Listeners
from xfernas_jax.cli.progress import EvaluationProgress
from xfernas_jax.cli.views import Views
from xfernas_jax.executors.base import Executor
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import Job, Record, StudySpec
from xfernas_jax.search.clock import Clock
from xfernas_jax.search.desk import Listener
from xfernas_jax.space.base import Genotype, Space


@contextlib.contextmanager
def listening(
    total: int,
    executor: Executor,
    record: Record,
    spec: StudySpec,
    goal: Goal,
    views: Views,
    clock: Clock | None = None,
    name_of: Callable[[Job], str] = lambda _: "",
    num_confirmations: int = 0,
) -> Iterator[Listener]:
    """Gives a listener that goes on from what a study holds already.

    Args:
      total: evaluations in all.
      executor: that runs them.
      record: of the study.
      spec: of the study.
      goal: what may win.
      views: that show it, too.
      clock: of a search within a time.
      name_of: says what an architecture is, where that is known.
      num_confirmations: trainings in all that follow those evaluations.
    """
    evaluations = record.evaluations()
    done = [e.seconds for e in evaluations if e.purpose in ("search", "collect")]
    valued = [e for e in evaluations if e.purpose in ("search", "collect", "resume")]
    *_, best = None, *goal.incumbents(valued)
    num_after = num_confirmations - sum(e.purpose == "confirm" for e in evaluations)
    progress = EvaluationProgress(
        *(total, done, executor.num_workers, goal, best, clock, name_of, max(num_after, 0))
    )
    with (
        progress.shown(),
        views.evaluations(executor.space, record, spec, goal, name_of) as shown,
    ):
        yield Listeners(progress, *shown)


def network_names(
    space: Space, references: Sequence[tuple[str, Genotype]], suggests_first: bool
) -> Callable[[Job], str]:
    """Returns what says in a line of progress which network is trained, where it has a name.

    Args:
      space: of the networks.
      references: known networks by name.
      suggests_first: whether a search begins with what its sources suggest.
    """
    known = {space.key(genotype): name for name, genotype in references}

    def name_of(job: Job) -> str:
        if job.key in known:
            return known[job.key]
        if job.purpose == "final":
            return space.describe(job.genotype)
        is_first = suggests_first and job.purpose == "search" and job.number == 0
        return "what the earlier tasks suggest" if is_first else ""

    return name_of
