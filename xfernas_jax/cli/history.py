"""The verbs `history list`, `history export` and `history import`."""

import time

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.program import program
from xfernas_jax.cli.progress import console, print_rows
from xfernas_jax.history import (
    Storage,
    StudySummary,
    append_all,
    read_jsonl,
    study_summaries,
    write_jsonl,
)
from xfernas_jax.history.metric import Metric

_COLUMNS = (
    *("study", "kind", "data set", "space", "evaluations"),
    *("best valid %, or value", "confirmed", "tags"),
)


def list_studies() -> None:
    """Lists the studies of the storage."""
    with inputs.open_storage(create=False) as storage:
        rows = [_cells(storage, row) for row in study_summaries(storage)]
    if not rows:
        console.print(f"{inputs.storage_url()}: no study yet; `{program()} search` makes one.")
        return
    print_rows([_COLUMNS, *rows])


def _cells(storage: Storage, row: StudySummary) -> tuple[str, ...]:
    spec, task = row.spec, row.spec.task
    result = (storage.result(spec.name) or {}) if spec.kind == "search" else {}
    confirmed = result.get("best_value") if result.get("num_confirmations") else None
    return (
        *(spec.name, spec.kind, task.dataset, spec.space, str(row.num_evaluations)),
        _shown(task.metric, row.best_value),
        _shown(task.metric, confirmed if isinstance(confirmed, float) else None),
        ", ".join(storage.tags(spec.name)) or "-",
    )


def _shown(metric: Metric, value: float | None) -> str:
    """Returns a value; the metric is named where the column's heading does not say it."""
    is_plain = metric.name in ("accuracy", "score") or value is None
    return metric.number(value) if is_plain else f"{metric.name} {metric.text(value)}"


def export() -> None:
    """Writes a study to --file as JSON Lines."""
    from xfernas_jax.evaluate.trained import versions  # imports JAX

    file = inputs.needed("file", flags.FILE.value)
    study = inputs.needed("study", flags.STUDY.value)
    with inputs.open_storage(create=False) as storage:
        spec, evaluations = storage.spec(study), storage.evaluations(study)
        result = storage.result(study) or {}
    provenance = {
        "command": result.get("command", f"run.py {spec.kind} with the configuration in spec"),
        "date": time.strftime("%Y-%m-%d"),
        "versions": dict(versions()),
    }
    write_jsonl(file, spec, evaluations, provenance)
    console.print(f"{file}: {len(evaluations)} evaluations of study {study}")


def import_() -> None:
    """Reads --file into the storage as a study."""
    file = inputs.needed("file", flags.FILE.value)
    with inputs.open_storage() as storage:
        spec, evaluations = read_jsonl(file)
        append_all(storage, spec, evaluations)
    console.print(f"{file}: {len(evaluations)} evaluations are in study {spec.name}")
