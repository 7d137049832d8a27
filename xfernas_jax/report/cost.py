"""What a search cost: its own trainings, and those of the studies that it learned from."""

from collections.abc import Callable, Mapping, Sequence

from xfernas_jax.history.record import Evaluation, StudySpec
from xfernas_jax.report.study import SearchStudy, SourceCost
from xfernas_jax.report.table import Table, Value


def source_counts(spec: StudySpec) -> dict[str, int]:
    """Returns how many evaluations of which studies a search learned from, by its record.

    Nothing for an optimizer that is given sources and uses none, where no rule of early
    stopping and no reuse of the target's own studies does.
    """
    config = spec.config
    optimizer, found = str(config.get("optimizer", "")), config.get("source_studies")
    uses = (
        optimizer.startswith("xfer_")
        or ":" in optimizer  # a user's own: it may
        or config.get("early_stop") == "median"
        or config.get("reuse_target") is True
    )
    if not uses or not isinstance(found, Mapping):
        return {}
    return {str(name): count for name, count in found.items() if type(count) is int and count > 0}


def source_costs(
    counts: Mapping[str, int], loaders: Mapping[str, Callable[[], tuple[Evaluation, ...]]]
) -> tuple[SourceCost, ...]:
    """Sums the seconds of the evaluations that were learned from.

    Args:
      counts: see `source_counts`.
      loaders: return the evaluations of a known study, in order of recording.
    """
    costs = []
    for name, count in counts.items():
        known = loaders[name]()[:count] if name in loaders else ()
        if len(known) < count:
            costs.append(SourceCost(name, count, None, None))
            continue
        epochs = sum(int(e.costs.get("epochs", len(e.curve))) for e in known)
        costs.append(SourceCost(name, count, epochs, sum(e.seconds for e in known)))
    return tuple(costs)


def cost_table(study: SearchStudy) -> Table:
    """Returns the cost of each part: trainings, epochs and device seconds."""
    sources = study.sources
    confirmed = "final training" if study.has_final else "confirmation of the finalists"
    parts = [("search", study.searched), (confirmed, study.confirmations)]
    if study.repeated:
        parts.append(("repeated for the test", study.repeated))
    parts.append(("this study together", tuple(e for _, part in parts for e in part)))
    rows = [_own(name, evaluations, study.devices) for name, evaluations in parts]
    for source in sources:
        costs = (source.num_evaluations, source.num_epochs, source.seconds)
        rows.append((f"source {source.study}", *costs))
    if sources:
        trainings = sum(source.num_evaluations for source in sources)
        epochs, seconds = [s.num_epochs for s in sources], [s.seconds for s in sources]
        rows.append(("all sources together", trainings, _sum(epochs), _sum(seconds)))
    return Table(("part", "trainings", "epochs", "device_seconds"), tuple(rows))


def _own(name: str, evaluations: Sequence[Evaluation], devices: int) -> tuple[Value, ...]:
    epochs = sum(len(e.curve) for e in evaluations)
    return name, len(evaluations), epochs, devices * sum(e.seconds for e in evaluations)


def _sum(values: Sequence[int | float | None]) -> int | float | None:
    """Returns the sum where all are known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
