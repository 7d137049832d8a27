"""What chance leaves of a validation value: the images that it is of, and the seed."""

import dataclasses
import math

from scipy.stats import binomtest

from xfernas_jax.report.study import SearchStudy

_NORMAL_95 = 1.959964  # standard deviations to either side that hold 95 % of a normal


@dataclasses.dataclass(frozen=True)
class Noise:
    """The noise of values of one training.

    Attributes:
      num_images: that an accuracy is the share of; None where values are none, or nobody knows.
      seed_deviation: standard deviation of one network's trainings, in the metric's unit; None
        where no network was trained twice.
    """

    num_images: int | None = None
    seed_deviation: float | None = None

    def interval(self, value: float) -> tuple[float, float] | None:
        """Returns the 95 % interval of a recorded value; None where nothing is known of it.

        Of n images that are right with probability p, a share scatters by sqrt(p (1 - p) / n);
        Wilson's interval for that, widened by the seed's deviation. It is that of one value: two
        networks see the same images, so their difference scatters by less.

        Source: Wilson (1927), as in Brown, Cai & DasGupta (2001), Sec. 3.1.1. Deviates: the seed's
        variance is added to the half width's square.
        """
        low = high = value
        if self.num_images is not None:
            test = binomtest(round(value * self.num_images), self.num_images)
            low, high = test.proportion_ci(method="wilson")
        middle, half = (low + high) / 2, (high - low) / 2
        if self.seed_deviation is not None:
            half = math.hypot(half, _NORMAL_95 * self.seed_deviation)
        return (middle - half, middle + half) if half > 0.0 else None

    def words(self) -> str:
        """Says what the interval is of, after "95 % interval of"."""
        images = None if self.num_images is None else f"a share of {self.num_images:,} images"
        seed = None if self.seed_deviation is None else "another seed"
        return " and ".join(part for part in (images, seed) if part)


def noise_of(study: SearchStudy) -> Noise:
    """Returns what a study tells of the noise of its values."""
    count = (study.result or {}).get("num_valid") if study.metric.name == "accuracy" else None
    groups = [study.confirmed(key) for key in {e.key for e in study.confirmations}]
    repeated = [values for values in groups if len(values) > 1]
    degrees = sum(len(values) - 1 for values in repeated)
    total = sum((value - sum(values) / len(values)) ** 2 for values in repeated for value in values)
    return Noise(count, math.sqrt(total / degrees) if degrees and total > 0.0 else None)
