"""Studies in one row each, from records whose genotypes need not be read."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from xfernas_jax.history.record import StudySpec

_AGAIN = ("resume", "test")  # of a training that is recorded already
_REPEATS = ("confirm", "test", "final")  # of what a search found


@dataclasses.dataclass(frozen=True)
class StudySummary:
    """One row of `history list`.

    Attributes:
      spec: what the study is about.
      num_evaluations: recorded evaluations of any status; one that was resumed counts once.
      num_failed: those of them that failed, or broke and were not tried again.
      num_stopped: those of them that were stopped early.
      best_value: the best of all but the repeated trainings of the finalists, by the task's
        metric; None where there is none.
    """

    spec: StudySpec
    num_evaluations: int
    num_failed: int
    num_stopped: int
    best_value: float | None


def summarize(spec: StudySpec, records: Sequence[Mapping[str, Any]]) -> StudySummary:
    """Returns the row of a study.

    Args:
      spec: what it is about.
      records: its evaluations as JSON objects, of any format.
    """
    records, metric = _current(records), spec.task.metric
    statuses = [record.get("status") for record in records]
    values = [
        record.get("value", record.get("valid_accuracy"))  # the latter of format 1
        for record in records
        if record.get("purpose") not in _REPEATS
    ]
    gains = [metric.gain(value) for value in values if type(value) in (int, float)]
    return StudySummary(
        spec=spec,
        num_evaluations=sum(record.get("purpose") not in _AGAIN for record in records),
        num_failed=statuses.count("failed") + statuses.count("broken"),
        num_stopped=statuses.count("stopped"),
        best_value=metric.value(max(gains)) if gains else None,
    )


def _current(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Does as `record.current`; whoever tries a job again records the very same genotype."""
    trainings = [repr([r.get(name) for name in ("genotype", "seed", "purpose")]) for r in records]
    last = {training: place for place, training in enumerate(trainings)}
    return [
        record
        for place, record in enumerate(records)
        if record.get("status") != "broken" or last[trainings[place]] == place
    ]
