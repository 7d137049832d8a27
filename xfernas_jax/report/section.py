"""What a section of the page consists of: pictures, tables and a sentence, under a heading."""

import dataclasses
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from xfernas_jax.history.metric import Metric
from xfernas_jax.report.table import Table, Value

_COST_TITLES = {"params": "parameters", "flops": "FLOPs", "latency_ms": "latency (ms)"}

Format = Callable[[Value], str]
"""From a value that is known to what the page shows."""


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
class Listing:
    """A table of the page.

    Attributes:
      name: of its file, and its element's.
      title: says what it is to who cannot see it.
      table: the data.
      formats: how values are shown, by column; see `shown` for the others.
      unknown: stands for None.
    """

    name: str
    title: str
    table: Table
    formats: Mapping[str, Format] = dataclasses.field(default_factory=dict)
    unknown: str = ""

    def text(self, column: str, value: Value) -> str:
        """Returns a value of a column as the page shows it."""
        return self.unknown if value is None else self.formats.get(column, shown)(value)


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """Pictures and tables under one heading, or a sentence that says why there are none.

    Attributes:
      title: the heading.
      pictures: in order.
      note: a few sentences below the heading; may be empty.
      listing: a table below the pictures, or None.
      remark: below the table; may be empty.
    """

    title: str
    pictures: tuple[Picture, ...] = ()
    note: str = ""
    listing: Listing | None = None
    remark: str = ""


def shown(value: Value) -> str:
    """Returns a value for people; nothing where it is not known."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def value_format(metric: Metric) -> Format:
    """Returns the format of values in the unit that they are shown in, such as percent."""
    if metric.unit == "%":
        return lambda value: f"{value:.2f}"
    return lambda value: metric.number(value) if isinstance(value, float) else shown(value)


def cost_title(name: str) -> str:
    """Returns the short name of a recorded cost."""
    return _COST_TITLES.get(name, name)


def file_name(name: str) -> str:
    """Returns a part of a file's name."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:40]
