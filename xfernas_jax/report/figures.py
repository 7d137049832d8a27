"""How the report's pictures look. Only `figures.py`, `answers.py` and `cells.py` use Matplotlib.

Every picture is drawn from its table alone, so the CSV beside it holds what is seen. A picture is
five inches wide with text of 10.5 points: on a telephone's 368 pixels the text still has ten.
"""

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import AutoLocator, LogLocator, MaxNLocator, NullFormatter

from xfernas_jax.report.comparison import OWN
from xfernas_jax.report.prediction import ALL_ROUNDS
from xfernas_jax.report.table import Table

# Okabe and Ito's colours, told apart by people with any kind of colour vision; yellow is too pale.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
PINK, AMBER, SKY = "#CC79A7", "#E69F00", "#56B4E9"
COLORS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
GREY, BLACK = "#767676", "#000000"
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*"
WIDTH_INCHES, PIXELS_PER_INCH = 5.0, 200
POINTS = 10.5
_FEWEST_FOR_OUTLIERS, _FAR_OUT = 5, 3.0
_MOST_NUMBERED = 7  # tasks of a heat map with a number in each field
_STYLE: Mapping[str, Any] = {
    "font.size": POINTS,
    "axes.titlesize": POINTS,
    "legend.fontsize": POINTS,
    "text.parse_math": False,  # a name may hold dollars
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "xfernas_jax",
    "lines.linewidth": 1.6,
}


def new_figure(height_inches: float, width_inches: float = WIDTH_INCHES) -> Figure:
    """Returns an empty figure."""
    return Figure(figsize=(width_inches, height_inches), dpi=PIXELS_PER_INCH, layout="constrained")


def _new_axes(height_inches: float, x_label: str = "", y_label: str = "") -> tuple[Figure, Axes]:
    """Returns a new figure and its axes."""
    figure = new_figure(height_inches)
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Within this context figures are drawn and saved in our style."""
    with matplotlib.rc_context(cast(Any, _STYLE)):
        yield


def render(draw: Callable[[], Figure]) -> tuple[bytes, bytes]:
    """Returns a picture as PNG and as SVG; the same picture gives the same bytes."""
    with styled():
        figure = draw()
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()


def printable(text: str, length: int = 44) -> str:
    """Returns one line of at most `length` characters, all of which the font has."""
    known = _font_characters()
    line = " ".join(text.split())
    line = "".join(c if ord(c) in known else "□" for c in line)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def show_most(axes: Axes, values: Sequence[float]) -> None:
    """Limits the y axis to most of its values, and says in the title how many lie outside.

    Outside is what lies more than three times the middle half's range beyond that half ("far out",
    Tukey, 1977, Sec. 2D): one diverged training must not squeeze all others into a line.
    """
    known = np.array([value for value in values if value is not None and np.isfinite(value)])
    if len(known) < _FEWEST_FOR_OUTLIERS:
        return
    low, high = np.quantile(known, (0.25, 0.75))
    reach = _FAR_OUT * (high - low)
    is_far = (known < low - reach) | (known > high + reach)
    if reach <= 0.0 or not is_far.any():
        return
    bottom, top = known[~is_far].min(), known[~is_far].max()
    margin = 0.08 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)
    lowest, highest = known[is_far].min(), known[is_far].max()
    shown = f"{lowest:.4g}" if lowest == highest else f"{lowest:.4g} to {highest:.4g}"
    count = int(is_far.sum())
    title = f"{count} value{'s' if count > 1 else ''} far outside, {shown}, not drawn"
    axes.set_title(title, loc="right", fontsize=8.5)


def draw_incumbent(table: Table, x_label: str, y_label: str) -> Figure:
    """Draws incumbents: step curves, a band for each group of several studies, and the noise."""
    x_name = table.columns[2]
    names = [name for name in dict.fromkeys(table.column("series")) if name != OWN]
    figure, axes = _new_axes(3.6 + 0.22 * (1 + len(names)), x_label, y_label)
    for i, name in enumerate(names):
        part = table.only("series", name)
        color, line = COLORS[i % len(COLORS)], LINES[i % len(LINES)]
        count = part.column("studies")[0]
        label = f"{printable(name, 42)}: {count} {'studies' if count > 1 else 'study'}"
        x = part.column(x_name)
        axes.plot(x, part.column("mean"), line, color=color, label=label, drawstyle="steps-post")
        if count > 1:
            low, high = part.column("lowest"), part.column("highest")
            axes.fill_between(x, low, high, step="post", color=color, alpha=0.18, linewidth=0)
    own = table.only("series", OWN)
    markers = {"marker": "o", "markersize": 3.5} if len(own.rows) <= 60 else {}
    axes.plot(
        own.column(x_name),
        own.column("mean"),
        color=BLACK,
        label=OWN,
        drawstyle="steps-post",
        zorder=3,
        **markers,
    )
    low, high = own.column("lowest"), own.column("highest")
    if low != high:
        band = {"step": "post", "color": GREY, "alpha": 0.18, "linewidth": 0, "zorder": 1}
        axes.fill_between(own.column(x_name), low, high, label="what chance leaves of it", **band)
    show_most(axes, table.column("mean"))
    if x_name == "evaluations":
        _whole_numbers(axes)
    axes.margins(x=0.02)
    figure.legend(loc="outside lower left", frameon=False, handlelength=3)
    return figure


def draw_prediction(pairs: Table, y_label: str) -> Figure:
    """Draws predicted against measured, a colour and a marker for each round."""
    rounds = sorted(set(pairs.column("round")))
    few = len(rounds) <= len(MARKERS)
    figure, axes = _new_axes(4.2 if few else 3.6, "predicted (standard deviations)", y_label)
    colors = colormaps["viridis"]
    for place, number in enumerate(rounds):
        part = pairs.only("round", number)
        axes.scatter(
            part.column("predicted"),
            part.column("measured"),
            s=42,
            color=colors(0.92 * place / max(len(rounds) - 1, 1)),
            marker=MARKERS[place % len(MARKERS)],
            edgecolor=BLACK,
            linewidth=0.4,
            label=f"{number}",
        )
    show_most(axes, pairs.column("measured"))
    if few:
        figure.legend(
            loc="outside lower left",
            ncols=min(len(rounds), 8),
            title="round",
            frameon=False,
            alignment="left",
            handletextpad=0.1,
            columnspacing=0.9,
        )
    else:
        norm = BoundaryNorm([*(r - 0.5 for r in rounds), rounds[-1] + 0.5], colors.N)
        bar = figure.colorbar(ScalarMappable(norm, colors), ax=axes, label="round")
        shown = rounds[:: -(-len(rounds) // 8)]
        bar.set_ticks(shown, labels=[str(r) for r in shown])
    return figure


def draw_rank_correlations(table: Table) -> Figure:
    """Draws the rank correlation of each round as a bar, their mean as a line."""
    figure, axes = _new_axes(3.6, "round", "agreement in order\n(Spearman's rank correlation)")
    rows = [row for row in table.rows if row[0] != ALL_ROUNDS and row[2] is not None]
    rounds, heights = [_number(row, 0) for row in rows], [_number(row, 2) for row in rows]
    axes.bar(rounds, heights, color=BLUE)
    overall = table.only("round", ALL_ROUNDS).column("rank_correlation")[0]
    axes.axhline(0.0, color=BLACK, linewidth=0.8)
    if overall is not None:
        label = f"mean of all rounds: {overall:.2f}"
        axes.axhline(overall, color=ORANGE, linestyle="--", label=label)
        figure.legend(loc="outside lower left", frameon=False)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xlim(0.4, max(rounds, default=1.0) + 0.6)
    _whole_numbers(axes)
    return figure


def draw_similarity(table: Table) -> Figure:
    """Draws rank correlations of tasks as a heat map with its numbers."""
    names = list(dict.fromkeys(table.column("task")))
    values = np.array(table.column("rank_correlation")).reshape(len(names), len(names))
    low = min(0.0, float(values.min()))
    labels = [f"{printable(name, 22)}  {i}" for i, name in enumerate(names, start=1)]
    figure, axes = _new_axes(1.0 + max(1.6, 0.4 * len(names)))
    image = axes.imshow(values, cmap="cividis", vmin=low, vmax=1.0, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(len(names)), [str(i + 1) for i in range(len(names))])
    axes.set_yticks(range(len(names)), labels)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            color = "white" if (value - low) / (1.0 - low) < 0.55 else "black"
            if len(names) <= _MOST_NUMBERED:
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=color)
    if len(names) > _MOST_NUMBERED:
        figure.colorbar(image, ax=axes, label="rank correlation")
    return figure


def draw_weights(table: Table) -> Figure:
    """Draws the weights of sources as bars, the largest on top."""
    height = 1.2 + max(0.9, 0.36 * len(table.rows))
    figure, axes = _new_axes(height, "weight (standard deviations)")
    places = range(len(table.rows))[::-1]
    weights = table.column("weight")
    bars = axes.barh(places, weights, color=[BLUE if w >= 0 else ORANGE for w in weights])
    axes.bar_label(bars, [f"{w:.2f}" for w in weights], padding=3)
    axes.set_yticks(places, [printable(name, 22) for name in table.column("source")])
    axes.axvline(0.0, color=BLACK, linewidth=0.8)
    axes.margins(x=0.2)
    axes.grid(False, axis="y")
    return figure


def draw_trade(table: Table, x_label: str, y_label: str, limit: float | None) -> Figure:
    """Draws the metric against a cost, with the Pareto set and the limit."""
    figure, axes = _new_axes(4.2, x_label, y_label)
    rows = [row for row in table.rows if row[1] is not None]
    over = [row for row in rows if row[4] is False]
    front = sorted((row for row in rows if row[3] is True), key=lambda row: _number(row, 1))
    inner = [row for row in rows if row[4] is not False and row[3] is not True]
    for part, color, marker, label in (
        (inner, SKY, "o", "other architectures"),
        (over, GREY, "x", "not admitted by the search's limits"),
    ):
        if part:
            x, y = [_number(row, 1) for row in part], [_number(row, 2) for row in part]
            edge = {} if marker == "x" else {"edgecolor": BLACK, "linewidth": 0.4}
            axes.scatter(x, y, color=color, marker=marker, label=label, s=34, **edge)
    x, y = [_number(row, 1) for row in front], [_number(row, 2) for row in front]
    style = {"drawstyle": "steps-post", "linewidth": 1.2, "markeredgecolor": BLACK}
    axes.plot(
        x,
        y,
        "-D",
        color=ORANGE,
        markersize=6.5,
        label="best for their cost (Pareto set)",
        zorder=3,
        **style,
    )
    show_most(axes, [_number(row, 2) for row in rows])
    if limit is not None:
        axes.axvline(limit, color=BLACK, linestyle="--", label=f"limit {limit:,.6g}")
    _log_or_linear(axes, [*(_number(row, 1) for row in rows), *([] if limit is None else [limit])])
    figure.legend(loc="outside lower left", frameon=False)
    return figure


def _number(row: tuple[Any, ...], place: int) -> float:
    return float(row[place])


def _log_or_linear(axes: Axes, costs: list[float]) -> None:
    """Makes the cost axis logarithmic with plain numbers, except where a cost is 0."""
    if not costs or min(costs) <= 0.0:
        return
    axes.set_xscale("log")
    ratio = max(costs) / min(costs)
    narrow = AutoLocator() if ratio < 4.0 else LogLocator(subs=(1.0, 2.0, 5.0))
    axes.xaxis.set_major_locator(LogLocator() if ratio > 300.0 else narrow)
    axes.xaxis.set_major_formatter(lambda value, _: _plain(value))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            unit = 1e3 if letter == "k" else size
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _whole_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _font_characters() -> set[int]:
    return set(get_font(findfont(FontProperties())).get_charmap())
