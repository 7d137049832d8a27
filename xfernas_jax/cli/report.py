"""The verb `report`: what a search did, as a page, pictures and data."""

import dataclasses
import pathlib

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.sources import known_studies
from xfernas_jax.errors import StudyError
from xfernas_jax.evaluate.tested import read_tested
from xfernas_jax.history import Storage
from xfernas_jax.history.record import StudySpec
from xfernas_jax.history.sources import same_task
from xfernas_jax.report.cost import source_costs, source_counts
from xfernas_jax.report.study import SearchStudy, SourceCost
from xfernas_jax.search.result import read_result
from xfernas_jax.space.registry import lookup_space


def report() -> None:
    """Writes the report of --study, or of the latest search."""
    # Imported here: the other verbs draw nothing.
    from xfernas_jax.report.folder import check_folder, write_report
    from xfernas_jax.report.sections import find_sections

    makers = find_sections(flags.SECTIONS.value)
    with inputs.open_storage(create=False) as storage:
        spec = _chosen(storage)
        folder = inputs.folder_of(inputs.STUDIES, spec.name, "report")
        if flags.OUTPUT_DIR.value:
            folder = pathlib.Path(flags.OUTPUT_DIR.value).expanduser().absolute()
        check_folder(folder)
        study = _recorded(storage, spec)
        if not (study.searched or study.confirmations):
            raise StudyError(f"Study {spec.name!r} holds no evaluation yet; let the search run.")
        alike = [other for other in storage.studies() if _is_comparable(other, spec)]
        others = tuple(_recorded(storage, other) for other in alike)
        tested = read_tested(inputs.folder_of(inputs.STUDIES, spec.name))
        sources = _sources(storage, spec)
        study = dataclasses.replace(study, others=others, sources=sources, tested=tested)
    page = write_report(folder, study, makers)
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


def _recorded(storage: Storage, spec: StudySpec) -> SearchStudy:
    record = storage.record(spec.name)
    result = record.result()
    if result is not None:
        result = read_result(result, f"Study {spec.name!r}")
    return SearchStudy(spec, record.evaluations(), lookup_space(spec.space), result)


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
    known = known_studies(storage)
    return source_costs(counts, {name: known[name].load for name in counts if name in known})
