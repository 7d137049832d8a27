"""Equal cells one after the other as one scanned cell: a long stage compiles like a short one.

The cells of a stage are equal from the third on (its first two read what came before the stage),
cells of one input all are. A scanned network is the same function; where its own module holds the
variables of cells 2 to 5 apart, it holds them joined: `cells2_5/cell/...` with a leading axis.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from xfernas_jax.nn.cell import DropPath
from xfernas_jax.space.graph import NetworkPlan

_CELL = re.compile(r"cell(\d+)")


def equal_cells(plan: NetworkPlan, num_cells: int, num_stages: int) -> tuple[range, ...]:
    """Returns the indices of each two or more equal cells in a row, a range for each stage.

    Args:
      plan: of the network.
      num_cells: normal cells in each stage; a reduction stands between two stages.
      num_stages: stages.
    """
    others = 2 if plan.normal.num_inputs == 2 else 0
    if num_cells - others < 2:
        return ()
    starts = [(num_cells + 1) * stage for stage in range(num_stages)]
    return tuple(range(start + others, start + num_cells) for start in starts)


class _Step(nn.Module):
    build: Callable[[str], nn.Module]

    @nn.compact
    def __call__(self, inputs: tuple[jax.Array, ...], drop: DropPath | None) -> tuple[Any, None]:
        out = self.build("cell")(inputs, drop)
        return (*inputs[1:], out), None


def run_equal_cells(
    build: Callable[[str], nn.Module],
    inputs: tuple[jax.Array, ...],
    drops: Sequence[DropPath | None],
    cells: range,
) -> tuple[jax.Array, ...]:
    """Runs equal cells inside a compact method; returns the inputs of the cell after them.

    Args:
      build: returns the module of a cell by name.
      inputs: of the first cell.
      drops: drop path of each cell.
      cells: their indices.
    """
    drop = None if None in drops else jax.tree.map(lambda *x: jnp.stack(x), *drops)
    scan = nn.scan(
        _Step,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True},
        length=len(cells),
    )
    outputs, _ = scan(build, name=_stack_name(cells))(inputs, drop)
    return outputs


def join_cells(stacks: Sequence[range], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Turns a network's variables into those of the scanned one: new arrays on the host.

    Args:
      stacks: of `equal_cells`.
      variables: `params` and `batch_stats` of the network's own module.
    """
    joined: dict[Any, Any] = {}
    rows: dict[Any, list[Any]] = {}
    for path, value in sorted(_flat(variables), key=lambda item: _index(item[0])):
        stack = next((cells for cells in stacks if _index(path) in cells), None)
        if stack is None:
            joined[path] = value
        else:
            rows.setdefault((path[0], _stack_name(stack), "cell", *path[2:]), []).append(value)
    joined.update({path: np.stack(values) for path, values in rows.items()})
    return {"batch_stats": {}, **traverse_util.unflatten_dict(joined)}


def part_cells(stacks: Sequence[range], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the scanned network's variables apart; inverts `join_cells`."""
    names = {_stack_name(cells): cells for cells in stacks}
    parted: dict[Any, Any] = {}
    for path, value in _flat(variables):
        cells = names.get(path[1])
        if cells is None:
            parted[path] = value
        else:
            for row, cell in zip(value, cells, strict=True):
                parted[path[0], f"cell{cell}", *path[3:]] = row
    return {"batch_stats": {}, **traverse_util.unflatten_dict(parted)}


def _stack_name(cells: range) -> str:
    return f"cells{cells[0]}_{cells[-1]}"


def _index(path: tuple[str, ...]) -> int:
    """Returns the index of the cell that a variable belongs to, -1 for none."""
    match = _CELL.fullmatch(path[1])
    return -1 if match is None else int(match[1])


def _flat(variables: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield from traverse_util.flatten_dict(dict(variables)).items()
