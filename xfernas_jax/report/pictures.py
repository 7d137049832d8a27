"""The report's pictures: what each shows, in words, and the table that it is drawn from."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence

from matplotlib.figure import Figure

from xfernas_jax.errors import SpaceError
from xfernas_jax.history.goal import costs_of
from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.explain import TaskRelations
from xfernas_jax.report import cells, comparison, figures, prediction
from xfernas_jax.report.study import StudyRecord, cost_names, pareto_set
from xfernas_jax.report.table import Table, Value
from xfernas_jax.space.base import Space
from xfernas_jax.space.graph import NetworkPlan

MAX_GROUPS = 6
MAX_SOURCES = 12
NUM_BEST = 3  # architectures that are drawn
_COST_TITLES = {"params": "parameters", "flops": "FLOPs", "latency_ms": "latency (ms)"}
_COST_LABELS = {
    "params": "trainable parameters",
    "flops": "floating-point operations for one image",
    "latency_ms": "milliseconds for one image",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture of the page.

    Attributes:
      name: of its files.
      title: above it.
      caption: says what is seen, in one or two sentences.
      alt: says what it shows to who cannot see it.
      table: the data behind it.
      draw: makes it.
    """

    name: str
    title: str
    caption: str
    alt: str
    table: Table
    draw: Callable[[], Figure]


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """Pictures under one heading, or a sentence that says why there are none.

    Attributes:
      title: the heading.
      pictures: in order.
      note: one sentence; may be empty.
    """

    title: str
    pictures: tuple[Picture, ...]
    note: str = ""


def make_sections(
    study: StudyRecord, others: Sequence[StudyRecord], space: Space
) -> tuple[Section, ...]:
    """Returns all sections of pictures.

    Args:
      study: of the report.
      others: searches of the same task, space and recipe.
      space: of the search.
    """
    return (
        _incumbents(study, others),
        _best_cells(study, space),
        _trades(study),
        _predictions(study),
        _relations(study),
    )


def cost_title(name: str) -> str:
    """Returns the short name of a recorded cost."""
    return _COST_TITLES.get(name, name)


def _incumbents(study: StudyRecord, others: Sequence[StudyRecord]) -> Section:
    title = "Best so far"
    if all(step.value is None for step in study.incumbent()):
        return Section(title, (), "No evaluation has a value that may win yet.")
    groups = comparison.group_studies(study, others)
    shown = groups[:MAX_GROUPS]
    pictures = []
    for table, name, what, x_label in (
        (
            comparison.by_evaluations(study, shown),
            "incumbent_evaluations",
            "evaluations, failed and stopped ones included",
            "evaluations",
        ),
        (
            comparison.by_device_seconds(study, shown),
            "incumbent_seconds",
            "device seconds: wall time of all evaluations so far, times devices",
            "device seconds",
        ),
    ):
        values = [step.value for step in study.incumbent() if step.value is not None]
        best = study.unit.text(values[-1])
        caption = (
            f"The best {study.unit.name} so far against {what}; confirming trainings are left out."
            f"{_band_caption(table)}"
        )
        alt = f"Step curve of the best {study.unit.name} against {x_label}; it ends at {best}."
        pictures.append(
            Picture(
                name,
                f"Against {x_label}",
                caption,
                alt,
                table,
                _bind(figures.draw_incumbent, table, x_label, study.unit.label),
            )
        )
    note = ""
    if len(groups) > len(shown):
        note = f"{len(groups) - len(shown)} more configurations of this task are not drawn."
    return Section(title, tuple(pictures), note)


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


def _best_cells(study: StudyRecord, space: Space) -> Section:
    pictures = []
    for rank, best in enumerate(study.best(space, NUM_BEST), start=1):
        try:
            plan = space.plan(best.genotype)
        except SpaceError:  # of named values, say, or a table: no networks of ours
            plan = None
        if not isinstance(plan, NetworkPlan):
            return Section("Best architectures", (), _as_text(study, space))
        parts = {"normal": plan.normal, "reduction": plan.reduction}
        for kind, graph in parts.items():
            if graph is None:
                continue
            title = f"No. {rank}: {kind} cell" if plan.reduction else f"No. {rank}: cell"
            caption = (
                f"Read from top to bottom; boxes are operations. {_values(study, space, best)}"
                f"{f', {best.num_params:,} parameters' if best.num_params else ''}. Edges with the "
                "operation none, and what cannot reach the output, are left out."
            )
            operations = ", ".join(edge.op for node in graph.nodes for edge in node) or "none"
            alt = f"Graph of the {kind} cell. Its operations: {operations}."
            pictures.append(
                Picture(
                    f"cell_{rank}_{kind}",
                    title,
                    caption,
                    alt,
                    cells.cell_table(graph),
                    _bind(cells.draw_cell, graph),
                )
            )
    if not pictures:
        return Section("Best architectures", (), "No architecture may win yet.")
    note = "No. 1 won after the confirming trainings; the others are the search's best."
    if study.result is None:
        note = "The best of the search so far; none is confirmed yet."
    return Section("Best architectures", tuple(pictures), note)


def _as_text(study: StudyRecord, space: Space) -> str:
    """Names the best architectures of a space that has no cells to draw."""
    return "; ".join(
        f"No. {rank}: {json.dumps(space.to_json(best.genotype))}, {_values(study, space, best)}"
        for rank, best in enumerate(study.best(space, NUM_BEST), start=1)
    )


def _values(study: StudyRecord, space: Space, best: Evaluation) -> str:
    """Says what an architecture reached in the search and when it was confirmed."""
    words = []
    if best.purpose != "confirm" and best.valid_accuracy is not None:
        words.append(f"{study.unit.text(best.valid_accuracy)} in the search")
    confirmed = study.confirmed(space, best)
    if confirmed:
        mean = study.unit.text(sum(confirmed) / len(confirmed))
        words.append(f"{mean} as the mean of {len(confirmed)} confirming trainings")
    return ", ".join(words).capitalize() or "Not in the search itself"


def _trades(study: StudyRecord) -> Section:
    complete = [e for e in study.searched if e.valid_accuracy is not None]
    pictures = []
    for name in cost_names(complete):
        points = [e for e in complete if name in costs_of(e)]
        admitted = [e for e in points if study.admits(e)]
        inside = pareto_set(
            [costs_of(e)[name] for e in admitted], [e.valid_accuracy or 0.0 for e in admitted]
        )
        front = {e.number for e, is_in in zip(admitted, inside, strict=True) if is_in}
        rows: list[tuple[Value, ...]] = [
            (
                e.number,
                costs_of(e)[name],
                study.unit.shown(e.valid_accuracy or 0.0),
                e.number in front,
                study.admits(e),
            )
            for e in points
        ]
        table = Table(("evaluation", name, "value", "in_pareto_set", "admitted"), tuple(rows))
        label, limit = _COST_LABELS.get(name, name), study.limits.get(name)
        caption = (
            f"{study.unit.name.capitalize()} of the search against {label}. Diamonds are the "
            "Pareto set: no other architecture is at most as costly and better."
        )
        if limit is not None:
            caption += f" The dashed line is the search's limit, {limit:,.6g}."
        alt = f"{len(rows)} architectures, {len(front)} of them in the Pareto set."
        title = f"Against {cost_title(name)}"
        draw = _bind(figures.draw_trade, table, label, study.unit.label, limit)
        pictures.append(
            Picture(
                f"{study.unit.name.split()[-1]}_{_file_name(name)}",
                title,
                caption,
                alt,
                table,
                draw,
            )
        )
    note = "" if pictures else "No complete evaluation has a recorded cost."
    return Section(f"{study.unit.name.capitalize()} against cost", tuple(pictures), note)


def _predictions(study: StudyRecord) -> Section:
    title = "Predicted against measured"
    pairs = prediction.predicted_and_measured(study)
    if not pairs.rows:
        return Section(title, (), "No complete evaluation has a prediction of the optimizer.")
    ranks = prediction.rank_correlations(pairs)
    overall = ranks.only("round", prediction.ALL_ROUNDS).rows[0]
    shown = "not defined" if overall[2] is None else f"{overall[2]:.2f}"
    left_out = len(study.searched) - len(pairs.rows)
    first = Picture(
        "predicted_measured",
        "By evaluation",
        "What the optimizer expected when it suggested an architecture, in standard deviations of "
        f"what it knew then, against what was measured. {len(pairs.rows)} evaluations; {left_out} "
        "without a prediction or a value are left out.",
        f"{len(pairs.rows)} points; rank correlation {shown}.",
        pairs,
        _bind(figures.draw_prediction, pairs, f"measured {study.unit.label}"),
    )
    second = Picture(
        "rank_correlation",
        "Agreement in order",
        "Spearman's rank correlation of predicted and measured, 1 for the same order: bars for "
        "each round, the dashed line over all rounds. With few evaluations in a round a bar "
        f"says little; below {prediction.MIN_PAIRS}, or where all are equal, there is none.",
        f"Rank correlations of {len(ranks.rows) - 1} rounds; over all rounds {shown}.",
        ranks,
        _bind(figures.draw_rank_correlations, ranks),
    )
    return Section(title, (first, second))


def _relations(study: StudyRecord) -> Section:
    title = "What the sources told"
    relations = study.relations
    if relations is None:
        why = (
            "the search is not finished"
            if study.result is None
            else "this search learned from none, or was made by an earlier version"
        )
        return Section(title, (), f"Nothing about source tasks is recorded: {why}.")
    order = sorted(
        range(len(relations.source_weights)), key=lambda j: -abs(relations.source_weights[j])
    )[:MAX_SOURCES]
    names = [study.spec.task.dataset, *_short_names(relations)]
    similarity = _similarity_table(relations, names, [0, *(1 + j for j in order)])
    rows = [(names[1 + j], relations.source_weights[j]) for j in order]
    weights = Table(("source", "weight"), tuple(rows))
    chance = relations.no_transfer_probability
    told = "" if chance is None else f" Probability that the sources tell nothing: {chance:.2g}."
    strongest = f"{rows[0][0]} carried the most weight, {rows[0][1]:.2f}."
    pictures = (
        Picture(
            "task_similarity",
            "Similarity of tasks",
            "Rank correlation of the scores that the predictor expects of 512 random architectures "
            f"under each two tasks, at the end of the search; {names[0]} is this one, and columns "
            "have the numbers of the rows. 1 is the same order, 0 no relation.",
            f"Heat map of {1 + len(order)} tasks.",
            similarity,
            _bind(figures.draw_similarity, similarity),
        ),
        Picture(
            "source_weights",
            "Weight of each source",
            "By how many standard deviations the prediction rises when the source's score rises by "
            "one of its own; of sources that agree, one may carry the weight of the others."
            f"{told}",
            strongest,
            weights,
            _bind(figures.draw_weights, weights),
        ),
    )
    hidden = len(relations.source_weights) - len(order)
    note = f"{hidden} sources of less weight are not drawn." if hidden else ""
    return Section(title, pictures, note)


def _similarity_table(relations: TaskRelations, names: list[str], places: list[int]) -> Table:
    rows = [(names[i], names[j], relations.similarity[i][j]) for i in places for j in places]
    return Table(("task", "other_task", "rank_correlation"), tuple(rows))


def _short_names(relations: TaskRelations) -> Iterator[str]:
    """Yields the sources' data sets, with the recipe where one data set occurs twice."""
    names = relations.names[1:]
    short = [name.partition("@")[0] for name in names]
    for name, its in zip(names, short, strict=True):
        yield its if short.count(its) == 1 else name


def _file_name(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:40]


def _bind(draw: Callable[..., Figure], *arguments: object) -> Callable[[], Figure]:
    return lambda: draw(*arguments)
