"""The verbs `history list`, `history export` and `history import`."""

import time

from rich.table import Table

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console, shown_value
from xfernas_jax.evaluate.trained import versions
from xfernas_jax.history import append_all, read_jsonl, study_summaries, write_jsonl


def list_studies() -> None:
    """Lists the studies of the storage."""
    columns = ("study", "kind", "data set", "space", "evaluations", "best valid %, or score")
    with inputs.open_storage(create=False) as storage:
        rows = study_summaries(storage)
    table = Table(*columns)
    for row in rows:
        best = row.best_valid_accuracy
        cells = (row.spec.name, row.spec.kind, row.spec.task.dataset, row.spec.space)
        shown = shown_value(best, row.spec.task.metric).removesuffix(" %")
        table.add_row(*cells, str(row.num_evaluations), shown)
        if not console.is_terminal:
            print("\t".join((*cells, str(row.num_evaluations), shown)))
    if console.is_terminal:
        console.print(table)
    if not rows:
        console.print(f"{inputs.storage_url()}: no study yet; `run.py search` makes one.")


def export() -> None:
    """Writes a study to --file as JSON Lines."""
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
