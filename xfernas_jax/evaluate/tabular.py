"""Tables of scores: architectures x tasks, from a folder with a `manifest.json`.

The manifest is an object of tables by name. A table has `path` (in the folder; CSV, also
gzip-compressed), `rows`, `sha256`, `tasks` (`column`, `task`, `split`, `maximize`, and `unit`) and
`space`: its `name`; `tokens`, for each token column `column`, `separator`, `alphabet`, `min_length`
and `max_length`; and where its one column is a cell of fixed edges also `cell`: `edges`, a list of
[source, node] for each symbol, and `none`, the symbol that carries nothing, or null. Columns that
are not listed are ignored, but `TASK_seconds` for a simulated clock and costs that are asked for by
name: `TASK_NAME`, or `NAME` where it is the same for all tasks.
"""

import csv
import dataclasses
import gzip
import hashlib
import io
import os
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xfernas_jax.errors import BenchmarkError, GenotypeError
from xfernas_jax.evaluate.base import OnEpoch, Scored, Stop
from xfernas_jax.files import read_bounded
from xfernas_jax.history.names import near_names
from xfernas_jax.history.record import Job, Result, Task
from xfernas_jax.space.table import TableSpace, TokenColumn
from xfernas_jax.space.wiring import WIRINGS, Wiring
from xfernas_jax.strict_json import parse_json

_LARGEST_MANIFEST = 2**24  # bytes
_LARGEST_TABLE = 2**30  # bytes, not compressed
_LONGEST_COLUMN = 4096  # symbols
_SCALE = {"percent": 0.01, "fraction": 1.0}


@dataclasses.dataclass(frozen=True, eq=False)
class TaskColumn:
    """The scores of one task on one split.

    Attributes:
      task: its name.
      split: such as "valid".
      values: `[N]` float64 in the table's own unit, larger is better.
      accuracies: `[N]` the same mapped to fractions in [0, 1], order kept.
    """

    task: str
    split: str
    values: np.ndarray
    accuracies: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A checked table.

    Attributes:
      name: in the manifest.
      space: its rows.
      columns: by (task, split), in the manifest's order.
      seconds: `[N]` by task, where the table has them.
      costs: `[N]` by (task, name), those that were asked for.
    """

    name: str
    space: TableSpace
    columns: Mapping[tuple[str, str], TaskColumn]
    seconds: Mapping[str, np.ndarray]
    costs: Mapping[tuple[str, str], np.ndarray] = dataclasses.field(default_factory=dict)

    def tasks(self, split: str) -> tuple[str, ...]:
        """Returns the tasks that have a split; `BenchmarkError` where none has."""
        found = tuple(task for task, its in self.columns if its == split)
        if not found:
            splits = ", ".join(sorted({its for _, its in self.columns}))
            raise BenchmarkError(
                f"Table {self.name!r} has no task with split {split!r}; its splits: {splits}."
            )
        return found

    def column(self, task: str, split: str) -> TaskColumn:
        """Returns the scores of a task; `BenchmarkError` names the tasks there are."""
        found = self.columns.get((task, split))
        if found is None:
            raise BenchmarkError(
                f"Table {self.name!r} has no task {task!r} with split {split!r}; "
                f"{near_names(task, self.tasks(split))}."
            )
        return found


def load_table(folder: str | os.PathLike[str], name: str, costs: Sequence[str] = ()) -> Table:
    """Reads and checks one table of a folder, with the costs of these names.

    Raises:
      BenchmarkError: manifest or table cannot be read or break a rule; names file and place.
    """
    base = pathlib.Path(folder)
    manifest_file = base / "manifest.json"
    entry = _entry(manifest_file, name)
    where = f"{manifest_file}: table {name!r}"
    columns = _token_columns(entry, where)
    path = _inside(base, _field(entry, "path", str, where), where)
    file = _read_rows(path, _field(entry, "sha256", str, where))
    count = len(file.rows)
    if count != _field(entry, "rows", int, where):
        raise BenchmarkError(f"{path}: {count} rows, but the manifest says {entry['rows']}.")
    space_name = _field(_field(entry, "space", dict, where), "name", str, where)
    wiring = _wiring(entry, columns, where)
    space = TableSpace(space_name, columns, _read_tokens(file, columns), wiring)
    scores = {}
    for value in _field(entry, "tasks", list, where):
        column = _read_task(file, value, where)
        scores.setdefault((column.task, column.split), column)
    seconds, numbers = {}, {}
    for task in sorted({task for task, _ in scores}):
        if f"{task}_seconds" in file.places:
            seconds[task] = file.numbers(f"{task}_seconds")
        for cost in costs:
            column = f"{task}_{cost}" if f"{task}_{cost}" in file.places else cost
            numbers[task, cost] = file.numbers(column)
    return Table(name, space, scores, seconds, numbers)


class TabularEvaluator:
    """Scores architectures by looking them up; see the `Evaluator` protocol."""

    def __init__(self, table: Table, task: str, split: str = "valid", test: str = "test") -> None:
        """Takes a task of a table.

        Args:
          table: where it stands.
          task: its name.
          split: that drives a search.
          test: split that `test` reads.
        """
        self._table, self._column = table, table.column(task, split)
        self._test, self.space = test, table.space
        # A table does not tell its number of classes.
        self.task = Task(f"{table.name}/{task}", f"table column of split {split}", None)
        self.recipe = f"{table.name}/{split}"  # which fix every score

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        """Looks one architecture up; its seconds are the table's, 0 where it has none."""
        del on_epoch, stop
        row = self.space.row_of(job.genotype)
        accuracy = float(self._column.accuracies[row])
        seconds = self._table.seconds.get(self._column.task)
        result = Result(
            "complete",
            accuracy,
            (accuracy,),
            costs=tuple(
                (cost, float(values[row]))
                for (task, cost), values in self._table.costs.items()
                if task == self._column.task
            ),
            seconds=0.0 if seconds is None else float(seconds[row]),
        )
        return Scored(result, {"row": row})

    def test(self, genotype: Any, variables: Any) -> float:
        """Returns the value of the test split, mapped to a fraction."""
        del variables
        column = self._table.column(self._column.task, self._test)
        return float(column.accuracies[self.space.row_of(genotype)])


def _entry(file: pathlib.Path, name: str) -> Mapping[str, Any]:
    try:
        manifest = parse_json(read_bounded(file, _LARGEST_MANIFEST))
    except OSError as error:
        raise BenchmarkError(
            f"{file}: cannot be read ({error.strerror}); --benchmark_dir is a folder with a "
            "manifest.json."
        ) from error
    except ValueError as error:
        raise BenchmarkError(f"{file}: not strict JSON ({error}).") from error
    if not isinstance(manifest, dict):
        raise BenchmarkError(f"{file}: a manifest is an object of tables by name.")
    if name not in manifest:
        raise BenchmarkError(f"{file}: there is no table {name!r}; {near_names(name, manifest)}.")
    if not isinstance(manifest[name], dict):
        raise BenchmarkError(f"{file}: table {name!r} is a JSON object.")
    return manifest[name]


def _field(value: Mapping[str, Any], field: str, kind: type, where: str) -> Any:
    found = value.get(field)
    if type(found) is not kind:
        raise BenchmarkError(
            f"{where}: {field!r} is a JSON value of type {kind.__name__}. Got {found!r:.40}."
        )
    return found


def _token_columns(entry: Mapping[str, Any], where: str) -> list[TokenColumn]:
    space = _field(entry, "space", dict, where)
    if not space.get("tokens"):
        raise BenchmarkError(
            f"{where}: space {space.get('name')!r} lists no tokens, so its architectures cannot "
            "be searched; choose another table."
        )
    columns = []
    for value in _field(space, "tokens", list, where):
        if not isinstance(value, dict):
            raise BenchmarkError(f"{where}: an entry of 'tokens' is a JSON object.")
        alphabet = _field(value, "alphabet", list, where)
        low, high = (_field(value, f, int, where) for f in ("min_length", "max_length"))
        if not alphabet or not all(isinstance(symbol, str) and symbol for symbol in alphabet):
            raise BenchmarkError(f"{where}: 'alphabet' is a list of texts that are not empty.")
        if len(set(alphabet)) != len(alphabet) or not 0 <= low <= high or high < 1:
            raise BenchmarkError(
                f"{where}: 'alphabet' has no symbol twice, and 0 <= min_length <= max_length."
            )
        if high > _LONGEST_COLUMN:
            raise BenchmarkError(f"{where}: max_length is at most {_LONGEST_COLUMN}. Got {high}.")
        separator = _field(value, "separator", str, where)
        if not separator and any(len(symbol) != 1 for symbol in alphabet):
            raise BenchmarkError(f"{where}: without a separator every symbol is one character.")
        name = _field(value, "column", str, where)
        columns.append(TokenColumn(name, separator, tuple(alphabet), low, high))
    return columns


def _wiring(entry: Mapping[str, Any], columns: Sequence[TokenColumn], where: str) -> Wiring | None:
    """Returns what the manifest says of cells, or what is known of a published space."""
    space = _field(entry, "space", dict, where)
    if "cell" not in space:
        known = WIRINGS.get(str(space.get("name")))
        fits = known and len(columns) == 1 and _fits(columns[0], known)
        return known if fits else None
    cell, first = _field(space, "cell", dict, where), columns[0]
    edges, none = _field(cell, "edges", list, where), cell.get("none")
    pairs = [tuple(edge) for edge in edges if isinstance(edge, list) and len(edge) == 2]
    if len(columns) != 1 or not all(type(node) is int for pair in pairs for node in pair):
        pairs = []
    try:
        found = Wiring(
            tuple(pairs),
            len(first.alphabet),
            None if none is None else first.alphabet.index(none),
        )
    except ValueError as error:
        raise BenchmarkError(
            f"{where}: 'cell' is of one token column, with 'edges' as [source, node] and 'none' of "
            f"its alphabet, or null ({error})."
        ) from error
    if len(pairs) != len(edges) or not _fits(first, found):
        raise BenchmarkError(
            f"{where}: 'cell' has an edge [source, node] for each symbol of a row."
        )
    return found


def _fits(column: TokenColumn, wiring: Wiring) -> bool:
    lengths = {column.min_length, column.max_length}
    return lengths == {len(wiring.edges)} and len(column.alphabet) == wiring.num_operations


def _inside(base: pathlib.Path, path: str, where: str) -> pathlib.Path:
    try:
        full = (base / path).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, NUL
        raise BenchmarkError(f"{where}: path {path!r:.80} is none ({error!s:.80}).") from error
    if not full.is_relative_to(base.resolve()):
        raise BenchmarkError(f"{where}: path {path!r:.80} leads out of the folder.")
    return full


@dataclasses.dataclass(frozen=True)
class _File:
    """The rows of a table's file, and the place of each column in them."""

    path: pathlib.Path
    rows: list[list[str]]
    places: dict[str, int]

    def place(self, column: str) -> int:
        if column not in self.places:
            raise BenchmarkError(
                f"{self.path}: the manifest lists column {column!r}, the table lacks it."
            )
        return self.places[column]

    def numbers(self, column: str) -> np.ndarray:
        """Returns `[N]` float64, all finite."""
        place, numbers = self.place(column), np.empty(len(self.rows))
        for i, row in enumerate(self.rows):
            try:
                numbers[i] = float(row[place])
            except ValueError:
                numbers[i] = np.nan
            if not np.isfinite(numbers[i]):
                raise BenchmarkError(
                    f"{self.path}:{i + 2}: column {column!r} is a finite number. "
                    f"Got {row[place]!r:.40}."
                )
        return numbers


def _read_rows(path: pathlib.Path, sha256: str) -> _File:
    """Reads the file; checks its digest first."""
    try:
        data = read_bounded(path, _LARGEST_TABLE)
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read ({error.strerror}).") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise BenchmarkError(
            f"{path}: SHA-256 is {digest[:16]}..., but the manifest says {sha256[:16]}...; "
            "copy the table anew."
        )
    try:
        text = _decompressed(data, path).decode("utf-8")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise BenchmarkError(f"{path}: no readable CSV ({error}).") from error
    if len(lines) < 2:
        raise BenchmarkError(f"{path}: the table has a header and at least one row.")
    header = {name: i for i, name in enumerate(lines[0])}
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            raise BenchmarkError(
                f"{path}:{number}: {len(line)} values, but the header has {len(lines[0])}."
            )
    return _File(path, lines[1:], header)


def _decompressed(data: bytes, path: pathlib.Path) -> bytes:
    if path.suffix != ".gz":
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        found = stream.read(_LARGEST_TABLE + 1)
    if len(found) > _LARGEST_TABLE:
        raise OSError(f"more than {_LARGEST_TABLE} bytes")
    return found


def _read_tokens(file: _File, columns: list[TokenColumn]) -> np.ndarray:
    places = [file.place(column.column) for column in columns]
    codec = TableSpace("", columns, np.zeros((0, 0), np.int32))
    seen: dict[tuple[int, ...], int] = {}
    for number, row in enumerate(file.rows, start=2):
        try:
            genotype = tuple(
                column.split(row[place]) for column, place in zip(columns, places, strict=True)
            )
        except GenotypeError as error:
            raise BenchmarkError(f"{file.path}:{number}: {error}") from error
        tokens = codec.encode(genotype)
        if tokens in seen:
            raise BenchmarkError(
                f"{file.path}:{number}: the architecture of line {seen[tokens]} again."
            )
        seen[tokens] = number
    return np.array(list(seen), np.int32).reshape(len(seen), len(codec.choices))


def _read_task(file: _File, value: Any, where: str) -> TaskColumn:
    if not isinstance(value, dict):
        raise BenchmarkError(f"{where}: an entry of 'tasks' is a JSON object.")
    numbers = file.numbers(_field(value, "column", str, where))
    values = numbers if _field(value, "maximize", bool, where) else -numbers
    scaled = values * _SCALE.get(str(value.get("unit")), np.nan)
    if not (np.isfinite(scaled).all() and scaled.min() >= 0.0 and scaled.max() <= 1.0):
        halves = values / 2  # whose differences are finite
        width = halves.max() - halves.min()  # another unit: only the order matters to a search
        scaled = (halves - halves.min()) / (width if width > 0.0 else 1.0)
    task, split = _field(value, "task", str, where), _field(value, "split", str, where)
    return TaskColumn(task, split, values, scaled)
