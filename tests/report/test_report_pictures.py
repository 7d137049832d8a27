# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
"""The pictures show what their tables hold, and the tables what was recorded."""

import csv
import dataclasses
import io
import xml.etree.ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from report_cases import (
    finished_study,
    make_evaluation,
    make_study,
    score_study,
    study_of,
    two_cell_study,
)

from xfernas_jax.report import figures
from xfernas_jax.report.figures import printable, render, styled
from xfernas_jax.report.section import Picture
from xfernas_jax.report.sections import find_sections, incumbent, make_sections
from xfernas_jax.report.study import SearchStudy

OTHERS = (
    make_study([0.25, 0.5], "b", optimizer="random", seed=1),
    make_study([0.5, 0.75], "c", optimizer="random", seed=2),
)


def pictures(study: SearchStudy, *names: str) -> dict[str, Picture]:
    sections = make_sections(study, find_sections(names))
    return {picture.name: picture for section in sections for picture in section.pictures}


def read_csv(picture: Picture) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(picture.table.to_csv())))


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    return pictures(finished_study(others=OTHERS))


def axes_of(picture: Picture) -> Axes:
    with styled():
        figure = picture.draw()
        figure.draw_without_rendering()
    return figure.axes[0]


def test_a_whole_study_has_every_picture(drawn: dict[str, Picture]) -> None:
    cells = ["cell_1_normal", "cell_2_normal", "cell_3_normal"]
    assert list(drawn) == [
        "learning_curves",
        "incumbent_evaluations",
        "incumbent_seconds",
        *cells,
        "accuracy_params",
        "accuracy_flops",
        "predicted_measured",
        "rank_correlation",
        "task_similarity",
        "source_weights",
    ]
    for picture in drawn.values():
        assert picture.alt
        assert 1 <= picture.caption.count(". ") + 1 <= 4, picture.caption


@pytest.mark.parametrize("name", ["incumbent_evaluations", "incumbent_seconds"])
def test_incumbents_are_drawn_as_their_csv_says(drawn: dict[str, Picture], name: str) -> None:
    axes, rows = axes_of(drawn[name]), read_csv(drawn[name])
    assert len(axes.lines) == 2
    for line, series in zip(axes.lines, ("random", "this study"), strict=True):
        own = [row for row in rows if row["series"] == series]
        x_name = list(own[0])[2]
        np.testing.assert_array_equal(line.get_xdata(), [float(row[x_name]) for row in own])
        np.testing.assert_array_equal(line.get_ydata(), [float(row["mean"]) for row in own])
    for band, series in zip(axes.collections, ("random", "this study"), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        of_series = [row for row in rows if row["series"] == series]
        assert heights.min() == min(float(row["lowest"]) for row in of_series)
        assert heights.max() == max(float(row["highest"]) for row in of_series)
    assert "band" in drawn[name].caption


def test_trades_are_drawn_as_their_csv_says(drawn: dict[str, Picture]) -> None:
    axes, rows = axes_of(drawn["accuracy_flops"]), read_csv(drawn["accuracy_flops"])
    assert [row["evaluation"] for row in rows] == ["0", "1", "2", "4", "6", "7"]
    front = [row for row in rows if row["in_pareto_set"] == "yes"]
    # costs fall with the number: 7 is cheapest, 6 best
    assert [row["evaluation"] for row in front] == ["6", "7"]
    line, limit = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [1000.0, 2000.0])
    np.testing.assert_array_equal(line.get_ydata(), [65.0, 90.0])
    np.testing.assert_array_equal(limit.get_xdata(), [9000.0, 9000.0])
    points = np.concatenate([c.get_offsets() for c in axes.collections])
    others = [row for row in rows if row["in_pareto_set"] == "no"]
    np.testing.assert_array_equal(points[:, 0], [float(row["flops"]) for row in others])
    np.testing.assert_array_equal(points[:, 1], [float(row["value"]) for row in others])
    assert axes.get_xscale() == "log"


def test_what_a_limit_excludes_is_marked_and_in_no_pareto_set() -> None:
    goal = {"limits": {"params": 250.0}, "pareto": ""}
    study = make_study([0.5, 0.6, 0.9], goal=goal)  # 100, 200 and 300 parameters
    (picture,) = (p for n, p in pictures(study).items() if n == "accuracy_params")
    assert picture.table.column("in_pareto_set") == [True, True, False]
    assert picture.table.column("admitted") == [True, True, False]


def test_predictions_are_drawn_as_their_csv_says(drawn: dict[str, Picture]) -> None:
    axes, rows = axes_of(drawn["predicted_measured"]), read_csv(drawn["predicted_measured"])
    points = np.concatenate([c.get_offsets() for c in axes.collections])
    np.testing.assert_array_equal(points[:, 0], [float(row["predicted"]) for row in rows])
    np.testing.assert_array_equal(points[:, 1], [float(row["measured"]) for row in rows])
    assert len(axes.collections) == 2  # rounds
    axes, rows = axes_of(drawn["rank_correlation"]), read_csv(drawn["rank_correlation"])
    defined = [float(row["rank_correlation"]) for row in rows[:-1] if row["rank_correlation"]]
    assert [bar.get_height() for bar in axes.patches] == defined
    assert axes.lines[-1].get_ydata()[0] == float(rows[-1]["rank_correlation"])


def test_relations_are_drawn_as_their_csv_says(drawn: dict[str, Picture]) -> None:
    axes, rows = axes_of(drawn["task_similarity"]), read_csv(drawn["task_similarity"])
    values = axes.images[0].get_array()
    assert values is not None
    assert values.ravel().tolist() == [float(row["rank_correlation"]) for row in rows]
    assert [row["task"] for row in rows[::3]] == ["digits", "mnist", "usps"]
    axes, rows = axes_of(drawn["source_weights"]), read_csv(drawn["source_weights"])
    assert [(row["source"], float(row["weight"])) for row in rows] == [
        ("mnist", 0.75),
        ("usps", -0.5),
    ]
    assert [bar.get_width() for bar in axes.patches] == [0.75, -0.5]


def test_both_cells_of_a_two_cell_space_are_drawn() -> None:
    found = pictures(two_cell_study())
    cells = [name for name in found if name.startswith("cell")]
    assert cells == ["cell_1_normal", "cell_1_reduction", "cell_2_normal", "cell_2_reduction"]
    for name in cells:
        assert axes_of(found[name]).patches


@pytest.mark.parametrize("values", [[None, None], [0.5], [None, 0.5], [0.5, 0.5, 0.5, 0.5]])
def test_small_studies_are_drawn(values: list[float | None]) -> None:
    found = pictures(make_study(values))
    assert ("incumbent_evaluations" in found) == any(value is not None for value in values)
    for picture in found.values():
        axes_of(picture)


def test_many_rounds_and_sources_are_drawn() -> None:
    evaluations = [make_evaluation(i, 0.1 + i / 50, predicted=i / 9, after=i) for i in range(30)]
    study = study_of(*evaluations, result=finished_study().result)
    count = 20
    relations = {
        "names": ["target", *(f"source {i}" for i in range(count))],
        "similarity": np.eye(count + 1).tolist(),
        "source_weights": [i / count for i in range(count)],
        "no_transfer_probability": None,
    }
    study = dataclasses.replace(study, result={**(study.result or {}), "relations": relations})
    found = pictures(study)
    assert len(found["source_weights"].table.rows) == 12
    assert found["source_weights"].table.rows[0] == ("source 19", 0.95)
    assert "Probability" not in found["source_weights"].caption
    for name in ("predicted_measured", "rank_correlation", "task_similarity", "source_weights"):
        axes_of(found[name])


def test_names_of_a_record_are_drawn_as_text() -> None:
    hostile = "$\\frac{1}{0}$ <script>alert(1)</script> \x00\x1b]0;t\x07 名 & ' \""
    study = finished_study()
    result = study.result or {}
    relations = {**result["relations"], "names": ["target", hostile, hostile + "2"]}
    study = dataclasses.replace(study, result={**result, "relations": relations})
    others = (make_study([0.5], "b", optimizer=hostile),)
    study = dataclasses.replace(study, others=others)
    for picture in pictures(study, "incumbent", "sources").values():
        _, svg = render(picture.draw)
        tree = xml.etree.ElementTree.fromstring(svg)
        assert not [node for node in tree.iter() if node.tag.endswith("script")]
    assert printable("a\nb\x00 名") == "a b□ □"
    assert len(printable("x" * 99)) == 44


def test_equal_pictures_are_equal_bytes(drawn: dict[str, Picture]) -> None:
    picture = drawn["accuracy_params"]
    assert render(picture.draw) == render(picture.draw)


def test_a_best_value_of_zero_is_said() -> None:
    section = incumbent.section(score_study([-2.5, 0.0, -1.0]))
    assert section.pictures[0].alt.endswith("it ends at 0.")


@pytest.mark.parametrize("far", [0.0, 3.0])
def test_one_value_that_is_far_outside_does_not_squeeze_the_others(far: float) -> None:
    figure = figures.new_figure(3.0)
    axes = figure.subplots()
    values = [0.80, 0.81, 0.82, 0.83, 0.84, far]
    axes.plot(values)
    figures.show_most(axes, values)
    low, high = axes.get_ylim()
    assert 0.79 < low < 0.80
    assert 0.84 < high < 0.85
    assert axes.get_title(loc="right") == f"1 value far outside, {far:.4g}, not drawn"


def test_all_values_are_shown_where_none_is_far_outside() -> None:
    figure = figures.new_figure(3.0)
    axes = figure.subplots()
    values = [0.2, 0.4, 0.5, 0.6, 0.9]
    axes.plot(values)
    figures.show_most(axes, values)
    assert axes.get_ylim()[0] < 0.2
    assert axes.get_ylim()[1] > 0.9
    assert not axes.get_title(loc="right")
