"""The best architectures, drawn as cells, or in words where they have none."""

import functools
import json

from xfernas_jax.errors import SpaceError
from xfernas_jax.history.record import Evaluation
from xfernas_jax.report import cells
from xfernas_jax.report.section import Picture, Section
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.space.graph import CellGraph, NetworkPlan

TITLE = "Best architectures"
NUM_BEST = 3  # architectures that are drawn


def section(study: SearchStudy) -> Section:
    """Draws the cells of the winner and of the search's best."""
    ranked = list(enumerate(study.best(NUM_BEST), start=1))
    if not ranked:
        return Section(TITLE, note="No architecture may win yet.")
    pictures = [picture for rank, best in ranked for picture in _cells(study, rank, best)]
    if not pictures:
        texts = (
            f"No. {rank}: {_words(study, e)}, {_values(study, e)}{_parameters(e)}"
            for rank, e in ranked
        )
        return Section(TITLE, note="; ".join(texts))
    note = "No. 1 won after the confirming trainings; the others are the search's best."
    if study.result is None:
        note = "The best of the search so far; none is confirmed yet."
    return Section(TITLE, tuple(pictures), note)


def _cells(study: SearchStudy, rank: int, best: Evaluation) -> list[Picture]:
    """Draws an architecture's cells; a table, named values, or plans of a user's own have none."""
    try:
        plan = study.space.plan(best.genotype)
    except SpaceError:
        return []
    if not isinstance(plan, NetworkPlan):
        return []
    parts: dict[str, CellGraph | None] = {"normal": plan.normal, "reduction": plan.reduction}
    pictures = []
    for kind, graph in parts.items():
        if graph is None:
            continue
        operations = ", ".join(edge.op for node in graph.nodes for edge in node) or "none"
        pictures.append(
            Picture(
                f"cell_{rank}_{kind}",
                f"No. {rank}: {kind} cell" if plan.reduction else f"No. {rank}: cell",
                f"Read from top to bottom; boxes are operations. {_values(study, best)}"
                f"{_parameters(best)}. Edges with the operation none, and what cannot reach the "
                "output, are left out.",
                f"Graph of the {kind} cell. Its operations: {operations}.",
                cells.cell_table(graph),
                functools.partial(cells.draw_cell, graph),
            )
        )
    return pictures


def _words(study: SearchStudy, best: Evaluation) -> str:
    space = study.space
    return space.describe(best.genotype) or json.dumps(space.to_json(best.genotype))


def _parameters(evaluation: Evaluation) -> str:
    found = evaluation.costs.get("params")
    return "" if found is None else f", {found:,.0f} parameters"


def _values(study: SearchStudy, best: Evaluation) -> str:
    """Says what an architecture reached in the search and when it was confirmed."""
    words = []
    if best.purpose not in ("confirm", "final") and best.value is not None:
        words.append(f"{study.metric.text(best.value)} in the search")
    confirmed = study.confirmed(best.key)
    if confirmed:
        mean = study.metric.text(sum(confirmed) / len(confirmed))
        repeated = f"as the mean of {len(confirmed)} confirming trainings"
        words.append(f"{mean} {'by the final recipe' if study.has_final else repeated}")
    return ", ".join(words).capitalize() or "Not in the search itself"
