"""What the sources told: how alike the tasks are, and what each source weighs."""

import functools
from collections.abc import Iterator, Sequence

from xfernas_jax.predictor.explain import TaskRelations
from xfernas_jax.report import figures
from xfernas_jax.report.section import Picture, Section
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table

TITLE = "What the sources told"
MAX_SOURCES = 12


def section(study: SearchStudy) -> Section:
    """Draws what the predictor has learned of the tasks."""
    relations = study.relations
    if relations is None:
        why = (
            "the search is not finished"
            if study.result is None
            else "this search learned from none, or was made by an earlier version"
        )
        return Section(TITLE, note=f"Nothing about source tasks is recorded: {why}.")
    by_weight = sorted(enumerate(relations.source_weights), key=lambda pair: -abs(pair[1]))
    order = [place for place, _ in by_weight[:MAX_SOURCES]]
    names = [study.spec.task.dataset, *_short_names(relations)]
    hidden = len(relations.source_weights) - len(order)
    note = (
        "Sources are earlier searches of other tasks. The search learned from them which networks "
        "are good, as far as the tasks turned out to be alike."
    )
    if hidden:
        note += f" {hidden} sources of less weight are not drawn."
    pictures = (_similarity(relations, names, order), _weights(relations, names, order))
    return Section(TITLE, pictures, note)


def _similarity(relations: TaskRelations, names: Sequence[str], order: Sequence[int]) -> Picture:
    places = [0, *(1 + j for j in order)]
    rows = [(names[i], names[j], relations.similarity[i][j]) for i in places for j in places]
    table = Table(("task", "other_task", "rank_correlation"), tuple(rows))
    return Picture(
        "task_similarity",
        "Similarity of tasks",
        "Rank correlation of the scores that the predictor expects of 512 random architectures "
        f"under each two tasks, at the end of the search; {names[0]} is this one, and columns "
        "have the numbers of the rows. 1 is the same order, 0 no relation.",
        f"Heat map of {len(places)} tasks.",
        table,
        functools.partial(figures.draw_similarity, table),
    )


def _weights(relations: TaskRelations, names: Sequence[str], order: Sequence[int]) -> Picture:
    rows = [(names[1 + j], relations.source_weights[j]) for j in order]
    table = Table(("source", "weight"), tuple(rows))
    chance = relations.no_transfer_probability
    told = "" if chance is None else f" Probability that the sources tell nothing: {chance:.2g}."
    return Picture(
        "source_weights",
        "Weight of each source",
        "By how many standard deviations the prediction rises when the source's score rises by "
        f"one of its own; of sources that agree, one may carry the weight of the others.{told}",
        f"{rows[0][0]} carried the most weight, {rows[0][1]:.2f}.",
        table,
        functools.partial(figures.draw_weights, table),
    )


def _short_names(relations: TaskRelations) -> Iterator[str]:
    """Yields the sources' data sets, with the recipe where one data set occurs twice."""
    names = relations.names[1:]
    short = [name.partition("@")[0] for name in names]
    for name, its in zip(names, short, strict=True):
        yield its if short.count(its) == 1 else name
