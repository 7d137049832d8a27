"""What the last training has time for, by what was measured of this device."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from xfernas_jax.cli.auto import Decided
from xfernas_jax.cli.scoring import Scoring
from xfernas_jax.evaluate.auto import (
    averaging_gain,
    enough_epochs,
    missing_epochs,
    most_work,
    num_members,
    promised,
    widest,
    work,
)
from xfernas_jax.history import RecordedStudy, last_trainings
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import Metric
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.search.averaging import Averaging
from xfernas_jax.search.recommend import LastValue, in_order, last_value, universal_log_errors
from xfernas_jax.search.seen import Outlook
from xfernas_jax.space.base import Genotype, Space

BEST, OTHER = "the best of other tasks", "another of other tasks"
"""Names of the networks, in log and report."""
_AS_GOOD = 0.08
"""Of logarithms of errors: how much worse a network may look that is as good as the best."""


@dataclasses.dataclass(frozen=True)
class Recommended:
    """What other tasks recommend.

    Attributes:
      genotype: of the network.
      other: one that is about as good there and as unlike it as any; None where there is none.
      num_tasks: that were asked.
      num_networks: that were trained there.
    """

    genotype: Genotype
    other: Genotype | None
    num_tasks: int
    num_networks: int

    def words(self, network: str) -> str:
        """Says it in a line."""
        tasks = "one other task" if self.num_tasks == 1 else f"{self.num_tasks} other tasks"
        return (
            f"begins with {network}: of {self.num_networks} networks it did best in last trainings "
            f"on {tasks}, as far as there is time here"
        )


def outlook(scored: Scoring, space: Space) -> Outlook | None:
    """Returns what values of short trainings count for in this time; None for what they are.

    None without a time budget, and where a network's costs are not known without building it.

    Args:
      scored: what `scoring` decided.
      space: of the networks.
    """
    epochs = _epochs(scored, space)
    if epochs is None or scored.dataset is None:
        return None
    assert scored.decided is not None
    num_images, most = len(scored.dataset.train), scored.decided.most_members

    def promises(genotype: Genotype, value: float, metric: Metric) -> float:
        return promised(value, metric, epochs(genotype), num_images, most)

    return promises


def _epochs(scored: Scoring, space: Space) -> Callable[[Genotype], float] | None:
    """Returns what tells the epochs of a last training for which there is time; see `outlook`."""
    decided = scored.decided
    if decided is None or decided.budget is None:
        return None
    dataset, costs = decided.dataset, _work_costs(decided, space)
    if not costs.at_least(space.sample(np.random.default_rng(0))):
        return None
    room = decided.budget.epochs(decided.seconds_per_work, len(dataset.train))
    room = 2.0 ** (round(2.0 * math.log2(max(room, 1.0))) / 2.0)  # so that predictors are reused
    return lambda genotype: room / work(costs.at_least(genotype))


def _work_costs(decided: Decided, space: Space) -> NetworkCosts:
    """Returns what tells the costs that `auto.work` is of, in a last training."""
    dataset, names = decided.dataset, ("flops", "activations")
    num_classes = dataset.task.num_classes
    assert num_classes is not None
    return NetworkCosts(space, decided.final.network, num_classes, dataset.input_shape, names)


def recommended(
    scored: Scoring, space: Space, studies: Sequence[RecordedStudy], goal: Goal
) -> Recommended | None:
    """Returns the network that last trainings of other tasks speak for in this time.

    Values are compared as logarithms of errors, with the epochs of each network there and here (see
    `auto.error_factor`), and only networks that were trained there are recommended. None where
    nothing is known, without a time budget, or where none is within the limits.

    Args:
      scored: what `scoring` decided.
      space: of the networks.
      studies: of last trainings of other tasks; see `history.last_trainings`.
      goal: of the search, whose limits the network keeps.
    """
    epochs, dataset, known = _epochs(scored, space), scored.dataset, scored.known_costs
    decided = scored.decided
    if epochs is None or dataset is None or known is None or decided is None or goal.pareto:
        return None
    genotypes: dict[str, Genotype] = {}
    tasks, num_images = [], len(dataset.train)

    def members(genotype: Genotype) -> int:
        return num_members(epochs(genotype), num_images, decided.most_members)

    for study in studies:
        there, facts = last_trainings(study.spec), study.spec.task.facts
        if there is None or facts is None or study.spec.task.metric.high != 1.0:
            continue
        values: dict[str, LastValue] = {}
        for each in study.load():
            if each.value is None or "epochs" not in each.costs:
                continue
            genotypes.setdefault(each.key, each.genotype)
            own_epochs = epochs(each.genotype) / members(each.genotype)
            missing = missing_epochs(own_epochs, num_images)
            missing -= missing_epochs(each.costs["epochs"], facts.num_images)
            values[each.key] = last_value(each.value, there["num_valid"], missing)
        tasks.append(values)
    errors = {
        key: error - averaging_gain(members(genotypes[key]))
        for key, error in universal_log_errors(tasks).items()
    }
    num_epochs, enough = {key: epochs(genotypes[key]) for key in errors}, enough_epochs(num_images)
    fitting = [
        key
        for key in in_order(errors, num_epochs, enough)
        if not goal.limits or goal.admits(known(genotypes[key]))
    ]
    if not fitting:
        return None
    best, as_good = fitting[0], errors[fitting[0]] + _AS_GOOD
    others = [
        genotypes[key]
        for key in fitting[1:]
        if errors[key] <= as_good and (num_epochs[key] >= enough or num_epochs[best] < enough)
    ]
    other = _most_unlike(space, genotypes[best], others)
    return Recommended(genotypes[best], other, len(tasks), len(errors))


def _most_unlike(space: Space, genotype: Genotype, others: Sequence[Genotype]) -> Genotype | None:
    """Returns the one that differs in the most tokens, the first of several; None of none."""
    own = np.asarray(space.encode(space.canonical(genotype)))
    differ = [int(np.sum(np.asarray(space.encode(space.canonical(o))) != own)) for o in others]
    return others[int(np.argmax(differ))] if others else None


def averaging(space: Space, scored: Scoring, goal: Goal) -> Averaging | None:
    """Returns how many trainings of a network may be handed over as one; None for a single one.

    Args:
      space: of the networks.
      scored: what `scoring` decided.
      goal: of the search, with limits in the scale of the last trainings' images.
    """
    decided = scored.decided
    if decided is None or decided.budget is None or decided.most_members == 1 or goal.pareto:
        return None
    most, costs = decided.most_members, _work_costs(decided, space)
    num_images = len(decided.dataset.train)
    start_seconds, each = decided.budget.start_seconds, decided.seconds_per_work

    def count(genotype: Genotype, seconds: float) -> int:
        steps_seconds = max(seconds - start_seconds, 0.0)
        epochs = steps_seconds / (each * work(costs(genotype)) * num_images)
        return num_members(epochs, num_images, most)

    return Averaging(most, count, goal.admits)


def growing(
    space: Space, scored: Scoring, goal: Goal
) -> Callable[[Genotype, float], Genotype] | None:
    """Returns what widens a finalist, in so many seconds, as far as memory and limits allow too.

    None without a time budget, and where it is no gain or cannot be told: for a trade against cost,
    and under a limit on what has to be measured.

    Args:
      space: of the finalists.
      scored: what `scoring` decided.
      goal: of the search, with limits in the scale of its images.
    """
    known, decided = scored.known_costs, scored.decided
    if known is None or decided is None or decided.budget is None or goal.pareto:
        return None
    budget, num_images = decided.budget, len(decided.dataset.train)

    def grow(genotype: Genotype, seconds: float) -> Genotype:
        room = decided.shrunk * most_work(seconds, decided.seconds_per_work, num_images, budget)

        def fits(wider: Genotype) -> bool:
            costs = known(wider)
            is_known = all(name in costs for name in goal.costs)
            return is_known and goal.admits(costs) and work(costs) <= room

        return widest(space, genotype, fits)

    return grow
