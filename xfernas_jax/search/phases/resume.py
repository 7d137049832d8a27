"""Resuming: what an early question stopped and the whole record would not have stopped."""

import dataclasses
from collections.abc import Sequence

from xfernas_jax.evaluate.base import Stop
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import Evaluation
from xfernas_jax.search.desk import Desk


def resume(
    desk: Desk, done: Sequence[Evaluation], stop: Stop | None, goal: Goal, num_finalists: int
) -> list[Evaluation]:
    """Lets stopped evaluations go on, from the states that their evaluators kept.

    Each result stands in for the stopped evaluation, whose record stays: the rounds of a search
    that is continued with a larger budget are those of one that had it from the start.

    Args:
      desk: where jobs go.
      done: evaluations of the search, by number.
      stop: what the whole record says; None ends nothing, so that nothing goes on.
      goal: whose best are kept.
      num_finalists: how many of them.

    Returns:
      The evaluations, with those that went on in their places.
    """
    if stop is None:
        return list(done)
    merged = {evaluation.number: evaluation for evaluation in done}
    went_on = {e.number: e for e in desk.recorded("resume")}
    for before in done:
        if before.status != "stopped" or stop(before.curve):
            continue
        again = went_on.get(before.number)
        if again is None or (again.status == "broken" and not desk.waits_for_other_options(again)):
            desk.submit(dataclasses.replace(before.job, purpose="resume"), stop)
        elif again.status != "broken":
            merged[before.number] = again
    while desk.running:
        evaluation, variables = desk.next()
        seconds = merged[evaluation.number].seconds + evaluation.seconds
        result = dataclasses.replace(evaluation.result, seconds=seconds)
        evaluation = dataclasses.replace(evaluation, result=result)
        if evaluation.status != "broken":
            merged[evaluation.number] = evaluation
        desk.append_among(evaluation, variables, goal.best(merged.values(), num_finalists))
    return list(merged.values())
