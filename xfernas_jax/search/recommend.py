"""What last trainings of other tasks recommend for one of which nothing is known.

In a few minutes there is no time to compare networks on the target, and short trainings on small
images mislead (`experiments/TIMED_NETWORKS.md`). What is left is the universal part: how networks
did in last trainings of other tasks.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

_SPREAD, _SCATTER = 0.15, 0.08
"""Standard deviations of log errors: of networks, and of one task's own view of a network."""
_UNSURE = 1.0
"""Standard deviation of what another number of epochs does to a log error, as a share of it."""


@dataclasses.dataclass(frozen=True)
class LastValue:
    """What a last training of a network gave on a source task.

    Attributes:
      log_error: natural logarithm of its error, as it would be in the target's time.
      variance: of it, by the number of images that it was measured on.
    """

    log_error: float
    variance: float


def last_value(accuracy: float, num_images: int, missing: float) -> LastValue:
    """Returns a value with its variance: that of a share p of n images, divided by p², and more.

    What was not seen, an error after another number of epochs, is less sure: the difference itself
    is taken for the standard deviation of it.

    Args:
      accuracy: in [0, 1].
      num_images: that it is of. As in `Seen`, two images of each kind are added, so that an error
        is never 0.
      missing: what is added to the logarithm of the error, for another number of epochs.
    """
    error = (num_images * (1.0 - accuracy) + 2.0) / (num_images + 4.0)
    variance = (1.0 - error) / (num_images * error) + (_UNSURE * missing) ** 2
    return LastValue(math.log(error) + missing, variance)


def universal_log_errors(tasks: Sequence[Mapping[str, LastValue]]) -> dict[str, float]:
    """Returns how much smaller or larger each network's error is, over all tasks.

    The log error y of network a on task s is m_s + b_a + e, with any m_s, b_a ~ N(0, .15²) and e ~
    N(0, .08² + its variance); the b_a returned are their posterior means. So a network that few or
    noisy tasks speak for is near 0, the mean of all.

    Args:
      tasks: of each the networks that were trained, by key.
    """
    keys = sorted({key for task in tasks for key in task})
    columns = {key: len(tasks) + number for number, key in enumerate(keys)}
    size = len(tasks) + len(keys)
    precision, right = np.zeros((size, size)), np.zeros(size)
    for row, task in enumerate(tasks):
        for key, value in task.items():
            weight, both = 1.0 / (_SCATTER**2 + value.variance), [row, columns[key]]
            precision[np.ix_(both, both)] += weight
            right[both] += weight * value.log_error
    precision[np.diag_indices(size)] += np.repeat(
        (1e-9, _SPREAD**-2), (len(tasks), len(keys))
    )  # a task's mean is free
    found = np.linalg.solve(precision, right)
    return {key: float(found[columns[key]]) for key in keys}


def in_order(errors: Mapping[str, float], epochs: Mapping[str, float], enough: float) -> list[str]:
    """Returns networks, the best first, but before all those that would have too few epochs.

    What a network does with fewer epochs than are enough is a guess where it was not measured so.

    Args:
      errors: see `universal_log_errors`.
      epochs: of a last training on the target, by key.
      enough: see `auto.enough_epochs`.
    """
    return sorted(errors, key=lambda key: (epochs[key] < enough, errors[key]))
