"""The verb `report`: what a search did, as a page, pictures and data."""

import pathlib

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.search import STUDIES, recorded_result
from xfernas_jax.errors import StudyError
from xfernas_jax.history import Storage, recorded_studies
from xfernas_jax.history.record import StudySpec
from xfernas_jax.history.sources import same_task
from xfernas_jax.report.cost import SourceCost, source_costs, source_counts
from xfernas_jax.report.study import StudyRecord
from xfernas_jax.space.registry import lookup_space


def report() -> None:
    """Writes the report of --study, or of the latest search."""
    # Imported here: the other verbs draw nothing.
    from xfernas_jax.report.folder import check_folder, write_report

    with inputs.open_storage(create=False) as storage:
        spec = _chosen(storage)
        folder = inputs.folder_of(STUDIES, spec.name, "report")
        if flags.OUTPUT_DIR.value:
            folder = pathlib.Path(flags.OUTPUT_DIR.value).expanduser().absolute()
        check_folder(folder)
        study = _recorded(storage, spec)
        if not study.searched:
            raise StudyError(f"Study {spec.name!r} holds no evaluation yet; let the search run.")
        alike = [other for other in storage.studies() if _is_comparable(other, spec)]
        others = [_recorded(storage, other) for other in alike]
        sources = _sources(storage, spec)
    page = write_report(folder, study, others, lookup_space(spec.space), sources)
    console.print(f"Report of study {spec.name}: {page}")
    console.print(f"Pictures and their data: {folder / 'figures'}, {folder / 'data'}")


def _chosen(storage: Storage) -> StudySpec:
    """Returns --study, or the latest search with an evaluation."""
    if flags.STUDY.value:
        spec = storage.spec(flags.STUDY.value)
        if spec.kind != "search":
            raise StudyError(f"Study {spec.name!r} is a collection; a report is of a search.")
        return spec
    for spec in reversed(storage.studies()):
        if spec.kind == "search" and storage.summary(spec.name).num_evaluations:
            return spec
    raise StudyError(f"{storage.url} holds no search with evaluations; run.py search makes one.")


def _recorded(storage: Storage, spec: StudySpec) -> StudyRecord:
    result = recorded_result(storage, spec.name)
    return StudyRecord(spec, storage.evaluations(spec.name), result)


def _is_comparable(other: StudySpec, spec: StudySpec) -> bool:
    return (
        other.kind == "search"
        and other.name != spec.name
        and same_task(other.task, spec.task)
        and (other.space, other.recipe) == (spec.space, spec.recipe)
    )


def _sources(storage: Storage, spec: StudySpec) -> tuple[SourceCost, ...]:
    """Finds what the search learned from, as the search itself did."""
    counts = source_counts(spec)
    if not counts:
        return ()
    known = {study.spec.name: study for study in inputs.bundled_histories()}
    known.update({study.spec.name: study for study in recorded_studies(storage)})
    return source_costs(counts, {name: known[name].load for name in counts if name in known})
