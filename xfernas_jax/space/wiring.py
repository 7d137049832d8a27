"""What a predictor reads off a cell whose edges are fixed and whose operations vary.

Two cells may differ in every token and be nearly the same network: an edge that no path from input
to output takes counts for nothing, and what matters is the operations along the paths. Groups of
numbers say that: which operation stands on which edge that counts, how often each sequence of
operations leads from input to output, and how far and how widely each subset of the operations
connects the two.

Source: the numbers of subsets follow GRAF (Kadlecova et al. 2024, "Surprisingly Strong Performance
Prediction with Neural Graph Features"), as we read it: shortest and longest path, degrees and
counts within a subset. Paths as features are those of path encodings (White et al. 2019, BANANAS).
Deviates: ours count paths, and everything is read off the pruned cell.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

_MOST_NODES, _MOST_OPERATIONS, _MOST_PATHS = 16, 10, 64
_MOST_SEQUENCES = 4096  # of operations, that the paths can have


@dataclasses.dataclass(frozen=True)
class Wiring:
    """A cell: node 0 is its input, the node of the highest number its output.

    Attributes:
      edges: (source, node) of each position, source < node.
      num_operations: that may stand there.
      none: number of the one that carries nothing; None where every edge carries something.
    """

    edges: tuple[tuple[int, int], ...]
    num_operations: int
    none: int | None

    def __post_init__(self) -> None:
        for source, node in self.edges:
            if not 0 <= source < node:
                raise ValueError(f"an edge leads from a node to a later one. Got {source}->{node}")
        if not self.edges or self.num_operations < 2:
            raise ValueError("a cell has edges, and operations to choose from")
        if self.last >= _MOST_NODES or self.num_operations > _MOST_OPERATIONS:
            raise ValueError(
                f"a cell has at most {_MOST_NODES} nodes and {_MOST_OPERATIONS} operations"
            )
        if self.none is not None and not 0 <= self.none < self.num_operations:
            raise ValueError(f"none is an operation. Got {self.none}")
        num_sequences = sum(len(self._carrying) ** length for length in self._lengths)
        if len(self.paths) > _MOST_PATHS or num_sequences > _MOST_SEQUENCES:
            raise ValueError("a cell has too many paths from its input to its output")
        if not self.paths:
            raise ValueError("a path leads from node 0 to the last node")

    @property
    def last(self) -> int:
        """The output."""
        return max(node for _, node in self.edges)

    @functools.cached_property
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """The paths from input to output, each as positions of its edges."""
        return tuple(self._paths_from(0))

    def _paths_from(self, start: int) -> list[tuple[int, ...]]:
        if start == self.last:
            return [()]
        return [
            (position, *rest)
            for position, (source, node) in enumerate(self.edges)
            if source == start
            for rest in self._paths_from(node)
        ]

    @functools.cached_property
    def _carrying(self) -> tuple[int, ...]:
        """The operations that carry something."""
        return tuple(op for op in range(self.num_operations) if op != self.none)

    @property
    def _lengths(self) -> list[int]:
        return sorted({len(path) for path in self.paths})

    @functools.cached_property
    def _sequences(self) -> Mapping[tuple[int, ...], int]:
        """The column of each sequence of operations that a path may have."""
        kinds = (itertools.product(self._carrying, repeat=length) for length in self._lengths)
        return {sequence: i for i, sequence in enumerate(itertools.chain.from_iterable(kinds))}

    def live(self, operations: np.ndarray) -> np.ndarray:
        """Returns `[N, E]` bool: which edges lie on a path from input to output.

        Args:
          operations: `[N, E]` numbers of operations.
        """
        carries = np.isin(operations, self._carrying)
        on_path = np.zeros(operations.shape, bool)
        for path in self.paths:
            whole = carries[:, path].all(axis=1)
            on_path[:, path] |= np.expand_dims(whole, 1)
        return on_path

    def blocks(self, operations: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
        """Returns two blocks, of places and of paths, each of groups of numbers `[N, F]` float32.

        Args:
          operations: `[N, E]` numbers of operations.
        """
        live = self.live(operations)
        hot = np.eye(self.num_operations, dtype=np.float32)[operations] * np.expand_dims(live, -1)
        if self.none is not None:
            hot[..., self.none] += np.logical_not(live)
        places = (np.concatenate(list(hot.transpose(1, 0, 2)), axis=1), _pairs(hot))
        return places, (hot.sum(axis=1), self._sequence_counts(operations), self._of_subsets(hot))

    def _sequence_counts(self, operations: np.ndarray) -> np.ndarray:
        """Returns how many paths have each sequence of operations."""
        counts = np.zeros((len(operations), len(self._sequences)), np.float32)
        for length in self._lengths:
            columns = np.full((self.num_operations,) * length, -1)
            for sequence in itertools.product(self._carrying, repeat=length):
                columns[sequence] = self._sequences[sequence]
            for path in (path for path in self.paths if len(path) == length):
                found = columns[tuple(operations[:, path].T)]
                rows = np.flatnonzero(found >= 0)
                counts[rows, found[rows]] += 1.0
        return counts

    def _of_subsets(self, hot: np.ndarray) -> np.ndarray:
        """Returns for each subset of the operations what it connects by itself.

        These are the shortest and the longest path, the edges of each node, from the input, and in
        all.
        """
        lengths = np.array([len(path) for path in self.paths])
        into = [[i for i, (_, node) in enumerate(self.edges) if node == n] for n in self._nodes]
        away = [i for i, (source, _) in enumerate(self.edges) if source == 0]
        columns = []
        for size in range(1, len(self._carrying) + 1):
            for subset in itertools.combinations(self._carrying, size):
                inside = hot[..., subset].sum(axis=-1)
                whole = np.stack([inside[:, path].all(axis=1) for path in self.paths], axis=1)
                columns += [
                    np.where(whole, lengths, self.last + 1).min(axis=1),
                    np.where(whole, lengths, 0).max(axis=1),
                    *(inside[:, edges].sum(axis=1) for edges in into),
                    inside[:, away].sum(axis=1),
                    inside.sum(axis=1),
                ]
        return np.stack(columns, axis=1).astype(np.float32)

    @property
    def _nodes(self) -> range:
        """All nodes but the input."""
        return range(1, self.last + 1)


def _pairs(hot: np.ndarray) -> np.ndarray:
    """Returns which two operations stand on each two edges, of `[N, E, O]`."""
    count, size = len(hot), hot.shape[2] ** 2
    pairs = [np.zeros((count, 0), np.float32)]
    pairs += [
        (hot[:, i, :, None] * hot[:, j, None, :]).reshape(count, size)
        for i, j in itertools.combinations(range(hot.shape[1]), 2)
    ]
    return np.concatenate(pairs, axis=1)


FOUR_NODES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, node) of each edge of a cell of NAS-Bench-201."""

WIRINGS: Mapping[str, Wiring] = MappingProxyType(
    {
        "nasbench201": Wiring(FOUR_NODES, 5, 0),
        "transnas_micro": Wiring(FOUR_NODES, 4, 0),
        "spikenas": Wiring(FOUR_NODES, 5, 0),
    }
)
"""Of published spaces, by name, whose tables need not declare it."""
