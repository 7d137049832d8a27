"""Draws the incumbents of a `tabular_search`: mean percentile against evaluations.

    python -m experiments.plots --results=runs/micro --output=docs/micro

Writes `micro.png` and `micro.svg`. Bands are 95 % bootstrap intervals, as in `summary.json`, which
also says which optimizers and seeds are complete; others are not drawn.
"""

import json
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments import commands, figures, statistics
from experiments.incumbents import percentile_matrix
from xfernas_jax.errors import FlagError

_RESULTS = flags.DEFINE_string("results", None, "Output folder of tabular_search.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Picture; .png and .svg are made.", required=True)
_OPTIMIZERS = flags.DEFINE_list("optimizers", [], "Those to draw, in this order; default: all.")

_HEIGHT_PIXELS = 720
_NUM_POINTS = 200  # of a line, at most


def draw_incumbents(
    results: pathlib.Path, output: pathlib.Path, optimizers: Sequence[str] = ()
) -> None:
    """Writes the picture of one folder.

    Args:
      results: holds `evaluations.csv` and `summary.json`.
      output: the picture's file; its suffix is replaced.
      optimizers: those to draw, in this order; none means all.

    Raises:
      FlagError: `results` holds no results, or an optimizer that is not complete.
    """
    try:
        summary = json.loads((results / "summary.json").read_text())
    except (OSError, ValueError) as error:
        raise FlagError(f"--results={results}: no readable summary.json ({error}).") from error
    if not summary["optimizers"]:
        raise FlagError(f"--results={results}: no optimizer has finished all its searches.")
    for name in optimizers:
        if name not in summary["optimizers"]:
            raise FlagError(
                f"--optimizers: {name!r} is not complete in {results}. "
                f"Complete: {', '.join(summary['optimizers'])}."
            )
    seeds = summary["seeds"]
    figure = figures.new_figure(_HEIGHT_PIXELS)
    axes = figure.subplots()
    figures.log_scale(axes)
    axes.grid(True, which="both", axis="y", color="#dddddd", linewidth=0.6)
    num_targets = 0
    for i, name in enumerate(optimizers or summary["optimizers"]):
        percentiles = percentile_matrix(results / "evaluations.csv", name, seeds)
        num_targets = len(percentiles)
        at = np.unique(np.linspace(1, percentiles.shape[2], _NUM_POINTS).round().astype(int))
        intervals = [statistics.interval(percentiles[..., n - 1]) for n in at]
        low, high = zip(*intervals, strict=True)
        figures.draw_band(
            axes,
            at.tolist(),
            percentiles.mean((0, 1))[at - 1],
            low,
            high,
            color=figures.COLORS[i % len(figures.COLORS)],
            linestyle=("-", "--", ":")[i // len(figures.COLORS) % 3],
            label=name,
        )
    axes.set_xlim(left=0)
    axes.set_xlabel("evaluations on the target")
    axes.set_ylabel("better architectures than the incumbent (% of the table)")
    axes.set_title(
        f"{summary['table']}: mean over {num_targets} tasks x {seeds} seeds, 95 % intervals"
    )
    axes.legend()
    figures.save(figure, output)


def main() -> None:
    """Draws."""
    draw_incumbents(pathlib.Path(_RESULTS.value), pathlib.Path(_OUTPUT.value), _OPTIMIZERS.value)


if __name__ == "__main__":
    commands.start("plots", main)
