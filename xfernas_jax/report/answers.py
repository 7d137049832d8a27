"""Pictures of what a network says of the test images, and of how it was trained.

Like those of `figures.py` each is drawn from its table; only the mistakes are pictures themselves.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from xfernas_jax.report import figures
from xfernas_jax.report.figures import BLACK, BLUE, COLORS, LINES, ORANGE, printable
from xfernas_jax.report.table import Table

MOST_NAMED = 20  # classes whose names fit beside a matrix
_MOST_NUMBERED = 12
_MISTAKES_A_ROW = 4


def draw_confusion(table: Table, names: Sequence[str]) -> Figure:
    """Draws the share of each class's images (row) that is called so (column)."""
    size = len(names)
    counts = np.zeros((size, size))
    places = {name: i for i, name in enumerate(names)}
    for row in table.rows:
        counts[places[str(row[0])], places[str(row[1])]] = float(row[2] or 0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = figures.new_figure(1.4 + max(1.8, 0.27 * size))
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(size), [str(i + 1) for i in range(size)])
    labels = [f"{printable(name, 18)}  {i}" for i, name in enumerate(names, start=1)]
    axes.set_yticks(range(size), labels)
    axes.set_xlabel("what the network says (numbers as on the left)")
    if size <= _MOST_NUMBERED:
        for i in range(size):
            for j in range(size):
                color = "white" if shares[i, j] < 0.55 else "black"
                axes.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", color=color)
    else:
        figure.colorbar(image, ax=axes, label="share of the class's images")
    return figure


def draw_confused(table: Table) -> Figure:
    """Draws the most frequent confusions as bars, the most frequent on top."""
    figure = figures.new_figure(1.2 + max(0.9, 0.36 * len(table.rows)))
    axes = figure.subplots()
    axes.set_xlabel("test images")
    places = list(range(len(table.rows)))[::-1]
    counts = table.column("images")
    bars = axes.barh(places, counts, color=ORANGE)
    axes.bar_label(bars, [str(count) for count in counts], padding=3)
    rows = zip(table.column("class"), table.column("predicted"), strict=True)
    axes.set_yticks(places, [f"{printable(a, 16)} as {printable(b, 16)}" for a, b in rows])
    axes.margins(x=0.15)
    axes.grid(False, axis="y")
    return figure


def draw_calibration(table: Table) -> Figure:
    """Draws how often the network is right against how sure it is; a point's area is its images."""
    figure = figures.new_figure(4.0)
    axes = figure.subplots()
    axes.set_xlabel("how sure the network is (%)")
    axes.set_ylabel("how often it is right (%)")
    axes.plot([0, 100], [0, 100], "--", color=BLACK, linewidth=1.0, label="as sure as it is right")
    counts = np.array(table.column("images"), float)
    axes.scatter(
        table.column("probability"),
        table.column("right"),
        s=30 + 300 * counts / counts.max(),
        color=BLUE,
        edgecolor=BLACK,
        linewidth=0.5,
        zorder=3,
        label="the network; a larger dot is more images",
    )
    axes.set_xlim(-4, 104)
    axes.set_ylim(-4, 104)
    figure.legend(loc="outside lower left", frameon=False)
    return figure


def draw_mistakes(table: Table, images: np.ndarray) -> Figure:
    """Draws pictures `[M, H, W, C]` uint8 with what they are and what the network says."""
    count, columns = len(table.rows), _MISTAKES_A_ROW
    rows = -(-count // columns)
    figure = figures.new_figure(0.2 + 1.85 * rows)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for place in places:
        place.set_axis_off()
    classes, predicted = table.column("class"), table.column("predicted")
    shares = table.column("probability")
    for i, place in enumerate(places[:count]):
        image = images[i]
        is_grey = image.shape[-1] == 1
        place.imshow(image[..., 0] if is_grey else image[..., :3], cmap="gray", vmin=0, vmax=255)
        title = f"{printable(classes[i], 15)}\nas {printable(predicted[i], 12)}\n{shares[i]:.0f} %"
        place.set_title(title, fontsize=9)
    return figure


def draw_curves(table: Table, y_label: str) -> Figure:
    """Draws learning curves, one line for each training."""
    names = list(dict.fromkeys(table.column("training")))
    figure = figures.new_figure(3.4 + 0.22 * len(names))
    axes = figure.subplots()
    axes.set_xlabel("epoch (a pass over the training images)")
    axes.set_ylabel(y_label)
    for i, name in enumerate(names):
        part = table.only("training", name)
        style = {
            "color": COLORS[i % len(COLORS)],
            "linestyle": LINES[i // len(COLORS) % len(LINES)],
        }
        marker = {"marker": "o", "markersize": 3.0} if len(part.rows) <= 30 else {}
        label = printable(name, 52)
        axes.plot(part.column("epoch"), part.column("value"), label=label, **style, **marker)
    figures.show_most(axes, table.column("value"))
    axes.margins(x=0.02)
    figure.legend(loc="outside lower left", frameon=False, handlelength=2)
    return figure
