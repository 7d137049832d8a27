"""The best so far, by evaluations and by device seconds, beside other searches of the task."""

import functools

from xfernas_jax.report import comparison, figures
from xfernas_jax.report.noise import noise_of
from xfernas_jax.report.section import Picture, Section
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table

TITLE = "Best so far"
MAX_GROUPS = 6


def section(study: SearchStudy) -> Section:
    """Draws the incumbent of the study and those of others of its task."""
    if all(step.value is None for step in study.incumbent()):
        return Section(TITLE, note="No evaluation has a value that may win yet.")
    groups = comparison.group_studies(study, study.others)
    drawn = groups[:MAX_GROUPS]
    pictures = (
        _picture(
            study,
            comparison.by_evaluations(study, drawn),
            "incumbent_evaluations",
            "evaluations",
            "evaluations, failed and stopped ones included",
        ),
        _picture(
            study,
            comparison.by_device_seconds(study, drawn),
            "incumbent_seconds",
            "device seconds",
            "device seconds: wall time of all evaluations so far, times devices",
        ),
    )
    hidden = len(groups) - len(drawn)
    note = (
        "An evaluation trains one network for a short time and scores it on the validation images, "
        "which it was not trained on. The line rises where a network was better than all before."
    )
    if hidden:
        note += f" {hidden} more configurations of this task are not drawn."
    return Section(TITLE, pictures, note)


def _picture(study: SearchStudy, table: Table, name: str, x_label: str, what: str) -> Picture:
    best = study.metric.text(study.incumbent()[-1].value)
    direction = "" if study.metric.maximize else ", smaller is better"
    return Picture(
        name,
        f"Against {x_label}",
        f"The best {study.value_name} so far{direction}, against {what}; confirming trainings are "
        f"left out.{_noise_caption(study)}{_band_caption(table)}",
        f"Step curve of the best {study.value_name} against {x_label}; it ends at {best}.",
        table,
        functools.partial(figures.draw_incumbent, table, x_label, study.value_label),
    )


def _noise_caption(study: SearchStudy) -> str:
    words = noise_of(study).words()
    if not words:
        return ""
    return (
        f" The grey band is what chance leaves of each value, the 95 % interval of {words}: a rise "
        "that stays inside may be luck."
    )


def _band_caption(table: Table) -> str:
    counts = table.column("studies")
    if max(counts) > 1:
        return (
            " Where several studies differ in the seed alone, the line is their mean and the band "
            "reaches from the lowest to the highest of them, as far as all of them go."
        )
    if len(set(table.column("series"))) > 1:
        return " Each other line is one study of the same task, space and recipe; there is no band."
    return " The storage holds no other search of this task, space and recipe to compare."
