"""The plan of a search within a time."""

import dataclasses

from xfernas_jax.cli import last_training
from xfernas_jax.cli.scoring import Scoring
from xfernas_jax.evaluate.auto import FEWEST_COMPARED
from xfernas_jax.history import Record
from xfernas_jax.history.goal import Goal
from xfernas_jax.search.clock import start_clock
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.space.base import Space

_MOST_SEARCHED = 0.3  # of the time


def timed(
    plan: SearchPlan,
    scored: Scoring,
    space: Space,
    goals: tuple[Goal, Goal],
    record: Record,
    num_workers: int,
) -> SearchPlan:
    """Returns a plan with a clock that runs since the data was read, where there is a limit.

    Args:
      plan: of the search.
      scored: what `scoring` decided.
      space: of the networks.
      goals: what may win by its costs in short trainings, and in last ones.
      record: of the study.
      num_workers: that evaluate at once.
    """
    decided = scored.decided
    if decided is None or decided.shares is None:
        return plan
    shares = decided.shares
    clock = start_clock(
        shares.budget_seconds,
        shares.search_seconds,
        record.evaluations(),
        num_workers,
        decided.started,
        shares.each_seconds,
    )
    clock = dataclasses.replace(
        clock,
        fewest=min(FEWEST_COMPARED, shares.num_evaluations),
        latest_seconds=_MOST_SEARCHED * shares.budget_seconds,
    )
    in_search, in_the_end = goals
    grow = last_training.growing(space, scored, in_search)
    averaging = last_training.averaging(space, scored, in_the_end)
    return dataclasses.replace(plan, clock=clock, grow=grow, averaging=averaging)
