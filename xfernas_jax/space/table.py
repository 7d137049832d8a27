"""Spaces that are the rows of a table: token sequences, of which only some exist."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space.base import Space
from xfernas_jax.space.checks import checked_tokens
from xfernas_jax.space.graph import NetworkPlan
from xfernas_jax.space.wiring import Wiring

_END = "<end>"
_CHUNK = 256  # sequences compared with all rows at once


@dataclasses.dataclass(frozen=True)
class TokenColumn:
    """A column of a table that holds a token sequence as text.

    Attributes:
      column: its name.
      separator: between two symbols; empty where every symbol is one character.
      alphabet: the symbols.
      min_length: fewest symbols of a row.
      max_length: most symbols of a row.
    """

    column: str
    separator: str
    alphabet: tuple[str, ...]
    min_length: int
    max_length: int

    def split(self, text: str) -> tuple[str, ...]:
        """Splits a cell of the table into its symbols; `GenotypeError` names the rule."""
        symbols = tuple(text.split(self.separator) if self.separator else text)
        if not self.min_length <= len(symbols) <= self.max_length:
            raise GenotypeError(
                f"column {self.column!r} has {self.min_length} to {self.max_length} symbols. "
                f"Got {text!r:.60}."
            )
        for symbol in symbols:
            if symbol not in self.alphabet:
                raise GenotypeError(
                    f"column {self.column!r} has symbol {symbol!r:.40}, which is not of its "
                    f"alphabet ({', '.join(self.alphabet)})."
                )
        return symbols


class TableSpace(Space):
    """The architectures of a table; a genotype is a tuple of symbols for each token column.

    An architecture is its row of tokens: no two rows are the same architecture, even where they
    are the same network. A column of variable length ends with a symbol of its own. `sample`
    draws rows uniformly; `mutate` and decoded sequences may leave the table, which `repair`
    mends by taking the nearest row.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[TokenColumn],
        rows: np.ndarray,
        wiring: Wiring | None = None,
    ) -> None:
        """Takes what a table holds.

        Args:
          name: of the space.
          columns: in the order of the tokens.
          rows: `[N, L]` int32 tokens of all architectures, all different.
          wiring: of the cells that the only column describes; None where they are none.
        """
        self.name, self.wiring = name, wiring
        self.columns = tuple(columns)
        symbols: list[str] = []
        choices = []
        self._first: list[int] = []  # token of each column's first symbol, less 0
        for column in self.columns:
            first = 1 + len(symbols)
            self._first.append(first)
            symbols += [f"{column.column}:{symbol}" for symbol in column.alphabet]
            tokens = tuple(range(first, first + len(column.alphabet)))
            choices += [tokens] * column.min_length
            if column.max_length > column.min_length:
                symbols.append(f"{column.column}:{_END}")
                choices += [(*tokens, tokens[-1] + 1)] * (column.max_length - column.min_length)
        self.vocabulary = ("<start>", *symbols)
        self.choices = tuple(choices)
        self.rows = np.asarray(rows, np.int32)
        self._index = {row.tobytes(): i for i, row in enumerate(self.rows)}

    def row_of(self, genotype: Any) -> int:
        """Returns the row of an architecture; `GenotypeError` where the table has none."""
        return self._find(np.asarray(self.encode(genotype), np.int32))

    def encode(self, genotype: Any) -> tuple[int, ...]:
        if not isinstance(genotype, tuple) or len(genotype) != len(self.columns):
            raise GenotypeError(
                f"A genotype of {self.name!r} has {len(self.columns)} columns of symbols. "
                f"Got {genotype!r:.80}."
            )
        tokens: list[int] = []
        for column, first, symbols in zip(self.columns, self._first, genotype, strict=True):
            column.split(column.separator.join(symbols))
            tokens += [first + column.alphabet.index(symbol) for symbol in symbols]
            tokens += [first + len(column.alphabet)] * (column.max_length - len(symbols))
        return tuple(tokens)

    def decode(self, tokens: Sequence[int]) -> tuple[tuple[str, ...], ...]:
        """Inverts `encode`; symbols after the first end of a column do not count."""
        row = checked_tokens(self, tokens)
        genotype = []
        position = 0
        for column, first in zip(self.columns, self._first, strict=True):
            part = [t - first for t in row[position : position + column.max_length]]
            end = len(column.alphabet)
            part = part[: part.index(end)] if end in part else part
            genotype.append(tuple(column.alphabet[t] for t in part))
            position += column.max_length
        found = tuple(genotype)
        self.row_of(found)
        return found

    def sample(self, rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
        return self.decode(self.rows[rng.integers(len(self.rows))].tolist())

    def sample_tokens(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.rows[rng.integers(len(self.rows), size=count)]

    def all_tokens(self, limit: int) -> np.ndarray | None:
        return self.rows if len(self.rows) <= limit else None

    def repair(self, tokens: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
        """Replaces sequences that are no row by the nearest row (fewest differing tokens).

        Args:
          tokens: `[M, L]`.
          without: `[S, L]` rows that are not taken as a replacement, such as those seen.

        Returns:
          `[M, L]`; sequences that are rows stay, also those in `without`.
        """
        fixed = np.array(tokens, np.int32)
        missing = np.flatnonzero([row.tobytes() not in self._index for row in fixed])
        if not len(missing):
            return fixed
        allowed = self.rows
        if without is not None and len(without):
            keep = np.ones(len(allowed), bool)
            known = [self._index.get(np.asarray(row, np.int32).tobytes()) for row in without]
            keep[[i for i in known if i is not None]] = False
            allowed = allowed[keep]
        if not len(allowed):
            return fixed
        hot = self._one_hot(allowed)
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            num_equal = self._one_hot(fixed[part]) @ hot.T
            fixed[part] = allowed[num_equal.argmax(1)]
        return fixed

    def features(self, tokens: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
        return () if self.wiring is None else self.wiring.blocks(tokens - 1)

    def key(self, genotype: Any) -> str:
        """Returns the symbols: an architecture is its row."""
        return "/".join(" ".join(symbols) for symbols in genotype)

    def canonical(self, genotype: Any) -> Any:
        return genotype

    def plan(self, genotype: Any) -> NetworkPlan:
        """Raises `SpaceError`: a table has scores and no networks."""
        raise SpaceError(
            f"Space {self.name!r} is a table of scores, from which no network can be built; "
            "choose a space of `run.py search --help`."
        )

    def to_json(self, genotype: Any) -> dict[str, Any]:
        named = zip(self.columns, genotype, strict=True)
        return {"space": self.name, **{c.column: c.separator.join(s) for c, s in named}}

    def from_json(self, value: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
        self.check_json_space(value, "genotype")
        genotype = []
        for column in self.columns:
            text = value.get(column.column)
            if not isinstance(text, str):
                raise GenotypeError(f"genotype: {column.column!r} is a text. Got {text!r:.40}.")
            genotype.append(column.split(text))
        found = tuple(genotype)
        self.row_of(found)
        return found

    def _one_hot(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, L V]` float32; a product of two counts equal tokens."""
        symbols = np.arange(len(self.vocabulary))
        return (tokens[:, :, None] == symbols).reshape(len(tokens), -1).astype(np.float32)

    def _find(self, tokens: np.ndarray) -> int:
        row = self._index.get(tokens.tobytes())
        if row is None:
            raise GenotypeError(f"The table of {self.name!r} has no row {tokens.tolist()}.")
        return row
