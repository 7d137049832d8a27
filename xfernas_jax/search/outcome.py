"""What a search found, and how its incumbent came along."""

import dataclasses
from collections.abc import Mapping, Sequence

from xfernas_jax.history.goal import Goal, costs_of
from xfernas_jax.history.record import Evaluation
from xfernas_jax.space.base import Genotype


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
      genotype: of the best mean validation accuracy over the confirming trainings.
      valid_accuracy: that mean, a fraction; a score where a function gave scores.
      test_accuracy: of one of its trainings, read once; None where there is no test part.
      num_params: trainable parameters.
      costs: of its tested training that are recorded, parameters included, by name.
      front: evaluations of the search that no other one beats in both, with a Pareto goal.
      incumbent_curve: see the function of that name.
      num_evaluations: of the search, confirmations left out.
      num_confirmations: trainings of the finalists.
      seconds: of all trainings together.
      epochs_trained: of the search, confirmations left out.
      epochs_saved: that stopped evaluations did not train.
      variables_name: under which the tested variables are kept; empty without a keeper.
    """

    genotype: Genotype
    valid_accuracy: float
    test_accuracy: float | None
    num_params: int
    incumbent_curve: tuple[float | None, ...]
    num_evaluations: int
    num_confirmations: int
    seconds: float
    epochs_trained: int = 0
    epochs_saved: int = 0
    variables_name: str = ""
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    front: tuple[Evaluation, ...] = ()


def make_outcome(
    best: Evaluation,
    valid_accuracy: float,
    test_accuracy: float | None,
    done: Sequence[Evaluation],
    confirmations: Sequence[Evaluation],
    goal: Goal,
) -> Outcome:
    """Puts together what a search found.

    Args:
      best: the evaluation that stands for the winner.
      valid_accuracy: of the winner.
      test_accuracy: of the winner, or None.
      done: evaluations of the search.
      confirmations: trainings of the finalists.
      goal: of the search.
    """
    trained = [e for e in done if e.metric == "accuracy"]
    return Outcome(
        genotype=best.genotype,
        valid_accuracy=valid_accuracy,
        test_accuracy=test_accuracy,
        num_params=best.num_params,
        incumbent_curve=incumbent_curve(done, goal),
        num_evaluations=len(done),
        num_confirmations=len(confirmations),
        seconds=sum(e.seconds for e in (*done, *confirmations)),
        epochs_trained=sum(len(e.curve) for e in trained),
        costs=costs_of(best),
        front=tuple(goal.best(done, len(done))) if goal.pareto else (),
    )


def incumbent_curve(
    evaluations: Sequence[Evaluation], goal: Goal | None = None
) -> tuple[float | None, ...]:
    """Returns the best admitted validation accuracy after each evaluation (0 while none is).

    With scores, which may be negative, it is None while there is none.
    """
    goal = Goal() if goal is None else goal
    curve: list[float | None] = []
    best = None
    for evaluation in evaluations:
        value = evaluation.valid_accuracy
        if value is not None and goal.may_win(evaluation) and (best is None or value > best):
            best = float(value)
        curve.append(0.0 if best is None and evaluation.metric == "accuracy" else best)
    return tuple(curve)
