"""What `transfer_benchmark` measures: tables, rows of each source, and how sources are wrong."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from experiments.tabular_units import ANY_SPLIT, Setting
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.tabular import Table

RIGHT = "right"
"""The kind whose sources are as they were measured."""

KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        RIGHT: ("as measured", {}),
        "shuffled": ("all shuffled", {"corrupt_sources": "shuffle"}),
        "negated": ("all negated", {"corrupt_sources": "negate"}),
        "constant": ("all constant", {"corrupt_sources": "constant"}),
        "one_shuffled": ("one shuffled", {"corrupt_sources": "one_shuffled"}),
        "one_negated": ("one negated", {"corrupt_sources": "one_negated"}),
        "one_constant": ("one constant", {"corrupt_sources": "one_constant"}),
        "few": ("8 rows of each", {"source_evaluations": 8}),
        "single": ("one source alone", {"num_sources": 1}),
    }
)
"""Words for each kind of sources, and what it changes of a setting."""

_FORM = re.compile(r"([A-Za-z]\w*):(all|[1-9]\d{0,6})")


@dataclasses.dataclass(frozen=True, order=True)
class Case:
    """One row of the benchmark.

    Attributes:
      table: its name; each of its tasks in turn is the target, the others are sources.
      rows: of each source, drawn at random; None means its whole column.
      kind: of sources, one of `KINDS`.
    """

    table: str
    rows: int | None
    kind: str = RIGHT

    @classmethod
    def parse(cls, text: str, flag: str) -> "Case":
        """Reads TABLE:ROWS or TABLE:all; `FlagError` for another form."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise FlagError(
                f"--{flag}={text:.80}: a case is TABLE:ROWS or TABLE:all, such as "
                "transnas_micro:200."
            )
        return cls(found[1], None if found[2] == "all" else int(found[2]))

    @property
    def name(self) -> str:
        """In the form of the flag."""
        return f"{self.table}:{self.rows or 'all'}"

    @property
    def folder(self) -> str:
        """Where its results lie, below those of all."""
        return f"{self.table}/{self.rows or 'all'}-{self.kind}"

    def setting(self, table: Table, shared: Mapping[str, Any]) -> Setting:
        """Returns what its searches share.

        Args:
          table: the one of this case.
          shared: fields that all cases share.
        """
        rows = len(table.space.rows)
        own = {"source_evaluations": min(self.rows or rows, rows), **KINDS[self.kind][1]}
        return dataclasses.replace(alone(table, shared), **own)


def alone(table: Table, shared: Mapping[str, Any]) -> Setting:
    """Returns the setting of searches without sources; see `Case.setting`."""
    tasks = tuple(sorted(table.tasks(ANY_SPLIT)))
    if len(tasks) < 2:
        raise FlagError(f"--cases: table {table.name!r} has one task, so there are no sources.")
    budget = min(shared["budget"], len(table.space.rows))
    more = {**shared, "budget": budget, "baseline_budget": budget, "source_evaluations": 0}
    return Setting(table.name, ANY_SPLIT, tasks, tasks, **more)


def cases_of(names: Sequence[str], wrong: Sequence[str], kinds: Sequence[str]) -> list[Case]:
    """Returns the cases of flags, in their order; `FlagError` for a mistake.

    Args:
      names: of --cases.
      wrong: of --wrong: those of which the sources are made wrong too.
      kinds: of --kinds: in which ways.
    """
    right = [Case.parse(name, "cases") for name in names]
    if unknown := [kind for kind in kinds if kind not in KINDS or kind == RIGHT]:
        known = ", ".join(kind for kind in KINDS if kind != RIGHT)
        raise FlagError(f"--kinds={unknown[0]:.80}: known are {known}.")
    spoiled = [Case.parse(name, "wrong") for name in wrong]
    if missing := [case.name for case in spoiled if case not in right]:
        raise FlagError(f"--wrong={missing[0]}: it is not one of --cases.")
    found = []
    for case in dict.fromkeys(right):
        found.append(case)
        if case in spoiled:
            found += [dataclasses.replace(case, kind=kind) for kind in dict.fromkeys(kinds)]
    return found
