"""The data behind a picture or a page: named columns and rows, also as CSV."""

import csv
import dataclasses
import io
from typing import Any

Value = str | int | float | bool | None


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of named columns; None is a value that is not known.

    Attributes:
      columns: their names, with units as suffixes.
      rows: one value for each column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def column(self, name: str) -> list[Any]:
        """Returns the values of one column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def only(self, name: str, value: Value) -> "Table":
        """Returns the rows that have this value in this column."""
        place = self.columns.index(name)
        return Table(self.columns, tuple(row for row in self.rows if row[place] == value))

    def to_csv(self) -> str:
        """Returns the table as CSV, numbers with every digit.

        A text that a spreadsheet would take for a formula begins with an apostrophe.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        return text.getvalue()


def _cell(value: Value) -> Value:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
