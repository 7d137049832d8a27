"""How our pictures look: size, colours, bands, files. Only these functions import Matplotlib."""

import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xfernas_jax.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by people with any kind of colour vision; yellow is too pale.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WIDTH_PIXELS = 1280
_PIXELS_PER_INCH = 100  # of the PNG


def new_figure(height_pixels: int) -> "Figure":
    """Returns an empty figure, 1280 pixels wide."""
    from matplotlib.figure import Figure

    size = (WIDTH_PIXELS / _PIXELS_PER_INCH, height_pixels / _PIXELS_PER_INCH)
    return Figure(figsize=size, dpi=_PIXELS_PER_INCH, layout="constrained")


def draw_band(
    axes: "Axes", x: Sequence[float], mean: Any, low: Any, high: Any, **style: Any
) -> None:
    """Draws a line and the band of its interval.

    Args:
      axes: to draw on.
      x: `[N]`.
      mean: `[N]`.
      low: `[N]` lower end of the interval.
      high: `[N]` upper end.
      **style: of the line; `color` is also the band's.
    """
    axes.plot(x, mean, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0.0)


def log_scale(axes: "Axes") -> None:
    """Makes the y axis logarithmic, labelled in plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def save(figure: "Figure", file: pathlib.Path) -> None:
    """Writes a figure as PNG and as SVG beside it, whatever the suffix of `file`.

    The same figure gives the same bytes.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "xfernas_jax"}):
        for kind, metadata in (("png", {}), ("svg", {"Date": None})):
            data = io.BytesIO()
            figure.savefig(data, format=kind, metadata=metadata)
            write_atomically(file.with_suffix(f".{kind}"), data.getvalue())
