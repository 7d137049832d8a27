"""The verbs `history show` and `history compare`."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from xfernas_jax.cli import inputs
from xfernas_jax.cli.progress import console, duration, print_rows
from xfernas_jax.cli.sources import known_studies
from xfernas_jax.errors import FlagError, StudyError
from xfernas_jax.history import Evaluation, RecordedStudy, Storage
from xfernas_jax.history.names import near_names
from xfernas_jax.history.record import current
from xfernas_jax.history.same import choices, option
from xfernas_jax.search.result import read_result
from xfernas_jax.space.registry import lookup_space

_FEWEST_COMMON = 5  # networks of which a rank correlation is told
_LONGEST = 60  # characters of a choice


def show(words: Sequence[str]) -> None:
    """Says what studies are, and what they found."""
    if not words:
        raise FlagError("history show takes the names of studies.")
    with inputs.recorded_before() as storage:
        for number, study in enumerate(_found(storage, words)):
            rows = {**_facts(storage, study), "chosen": _chosen(study)}
            width = max(map(len, rows))
            print("\n" if number else "", end="")
            for name, value in rows.items():
                console.print(f"{name:<{width}}  {value}")


def compare(words: Sequence[str]) -> None:
    """Says how studies differ, in what was chosen and in what came out."""
    if len(words) < 2:
        raise FlagError("history compare takes the names of two studies or more.")
    with inputs.recorded_before() as storage:
        studies = _found(storage, words)
        columns = [_facts(storage, study) for study in studies]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    rows = [rows[0], *(row for row in rows[1:] if len(set(row[1:])) > 1 or row[0] == "data set")]
    rows += _differences(studies)
    print_rows(rows)
    for line in _agreements(studies):
        console.print(line)


def _found(storage: Storage | None, names: Sequence[str]) -> list[RecordedStudy]:
    known = known_studies(storage)
    for name in names:
        if name not in known:
            raise StudyError(f"There is no study {name!r}; {near_names(name, known)}.")
    return [known[name] for name in dict.fromkeys(names)]


def _facts(storage: Storage | None, study: RecordedStudy) -> dict[str, str]:
    spec, metric = study.spec, study.spec.task.metric
    done = current(study.load())
    own = storage is not None and storage.find(spec.name) is not None
    result: Mapping[str, Any] = {}
    tags: tuple[str, ...] = ()
    if storage is not None and own:
        recorded = storage.result(spec.name)
        if spec.kind == "search" and recorded is not None:
            result = read_result(recorded, f"Study {spec.name!r}")
        tags = storage.tags(spec.name)
    searched = [e for e in done if e.purpose in ("search", "collect")]
    valued = [e for e in searched if e.value is not None]
    best = max(valued, key=lambda e: metric.gain(_value(e)), default=None)
    sources = spec.config.get("source_studies")
    return {
        "study": spec.name if own else f"{spec.name} (comes with the package)",
        "kind": spec.kind,
        "data set": spec.task.dataset,
        "split": spec.task.split,
        "space": spec.space,
        "tags": ", ".join(tags) or "none",
        "learned from": ", ".join(sources) if isinstance(sources, dict) and sources else "nothing",
        "evaluations": _counted(searched),
        "trained for": duration(sum(e.seconds for e in done)),
        "metric": metric.label,
        "best validation": "none" if best is None else metric.text(_value(best)),
        "confirmed": metric.text(
            result.get("best_value") if result.get("num_confirmations") else None
        ),
        "test": metric.text(result.get("test_value")),
        "network": _network(spec.space, best, result),
    }


def _value(evaluation: Evaluation) -> float:
    assert evaluation.value is not None
    return evaluation.value


def _counted(evaluations: Sequence[Evaluation]) -> str:
    kinds = ("complete", "stopped", "failed", "broken")
    statuses = [evaluation.status for evaluation in evaluations]
    counts = [f"{statuses.count(kind)} {kind}" for kind in kinds if kind in statuses]
    return ", ".join(counts) or "none"


def _network(space: str, best: Evaluation | None, result: Mapping[str, Any]) -> str:
    found = lookup_space(space)
    if result.get("best_genotype") is not None:
        return found.describe(found.from_json(result["best_genotype"]))
    return "none" if best is None else found.describe(best.genotype)


def _chosen(study: RecordedStudy) -> str:
    leaves = {option(path): value for path, value in choices(study.spec).items()}
    hidden = ("task.", "source_studies", "kind", "space")
    shown = {name: value for name, value in leaves.items() if not name.startswith(hidden)}
    return ", ".join(f"{name}={value:.{_LONGEST}}" for name, value in sorted(shown.items()))


def _differences(studies: Sequence[RecordedStudy]) -> list[tuple[str, ...]]:
    """Returns a row for each choice that is not the same in all studies."""
    chosen = [choices(study.spec) for study in studies]
    rows = []
    for path in sorted(set(itertools.chain.from_iterable(chosen))):
        values = [each.get(path, "not set") for each in chosen]
        is_asked = path[0] == "config" and "source_studies" not in path
        if is_asked and len(set(values)) > 1:
            rows.append((option(path), *map(_cut, values)))
    return rows


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."


def _agreements(studies: Sequence[RecordedStudy]) -> Iterator[str]:
    """Says for each two studies whether they like the same networks."""
    from scipy.stats import spearmanr  # takes a second

    for first, second in itertools.combinations(studies, 2):
        if first.spec.space != second.spec.space:
            continue
        values = [_gains(study) for study in (first, second)]
        common = sorted(values[0].keys() & values[1].keys())
        names = f"{first.spec.name} and {second.spec.name}"
        if len(common) < _FEWEST_COMMON:
            yield f"{names} have {len(common)} networks in common, too few to compare."
            continue
        rows = np.array([[own[key] for key in common] for own in values])
        if np.ptp(rows, axis=1).min() == 0.0:
            yield f"{names}: all of their {len(common)} common networks are equal in one of them."
            continue
        correlation = float(cast(Any, spearmanr(rows[0], rows[1])).statistic)
        yield (
            f"{names}: {len(common)} networks in common, rank correlation {correlation:.2f} (1: "
            "the same order, 0: nothing in common)."
        )


def _gains(study: RecordedStudy) -> dict[str, float]:
    metric, found = study.spec.task.metric, dict[str, list[float]]()
    for each in study.load():
        if each.value is not None and each.purpose in ("search", "collect"):
            found.setdefault(each.key, []).append(metric.gain(each.value))
    return {key: float(np.mean(gains)) for key, gains in found.items()}
