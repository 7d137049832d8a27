"""One program for many small cells: the genotype is data, so only the first network compiles.

It serves cells of one input and up to three nodes whose edges are convolutions of 1x1 or 3x3,
average pools of 3x3, identities or nothing: all of NAS-Bench-201. The edges that leave one node
are computed together, whatever their operations are: one 3x3 convolution to the channels of all
of them, whose kernel is zero outside its middle for a 1x1 convolution and zero everywhere for the
rest; one pool; and gates of 0 and 1 that say what each edge adds. Function and gradients are those
of the network's own program up to rounding. What a network does not use is zero and stays zero
under plain SGD: its gradient is zero, so clipping by the global norm sees the same norm.

Derivation: batch norm is by channel, so that of joined channels is the joined batch norms; a sum
of gated branches is the node's sum. Source of the idea of one program for a space: the one-shot
supernets of Bender et al. (2018); here nothing is shared but the program.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from xfernas_jax.nn.compile import Leaf
from xfernas_jax.nn.conv import convolve
from xfernas_jax.nn.initializers import Path, conv_init
from xfernas_jax.nn.network import Network, NetworkConfig
from xfernas_jax.nn.ops import OpContext, batch_norm
from xfernas_jax.nn.pooling import avg_pool
from xfernas_jax.space.graph import CellGraph, Edge, NetworkPlan

NUM_NODES = 3
_KINDS = {
    "identity": "identity",
    "avg_pool_3x3": "pool",
    "conv_1x1": "conv_1x1",
    "nor_conv_1x1": "conv_1x1",
    "conv_3x3": "conv_3x3",
    "nor_conv_3x3": "conv_3x3",
}
_GATES = ("identity", "pool", "conv_1x1", "conv_3x3")
_PAIRS = tuple((s, t) for s in range(NUM_NODES) for t in range(s + 1, NUM_NODES + 1))
WIDE_PLAN = NetworkPlan(CellGraph(1, ((),) * NUM_NODES, "last"), None)

Flat = Mapping[Path, Any]


def can_share(plan: NetworkPlan, config: NetworkConfig) -> bool:
    """Tells whether the shared program can stand for a network."""
    graph = plan.normal
    edges = [(e.source, node) for node, _, e in _edges(graph)]
    return (
        plan.reduction is None
        and graph.num_inputs == 1
        and graph.output == "last"
        and len(graph.nodes) <= NUM_NODES
        and len(set(edges)) == len(edges)
        and all(e.op in _KINDS for _, _, e in _edges(graph))
        and config.drop_path_keep == 1.0
    )


class SharedNetwork(Network):
    """A network of `WIDE_PLAN`, whose normal cells are `SharedCell`s.

    It stands for every network of `can_share`.
    """

    def build_cell(
        self, graph: CellGraph, context: OpContext, filters: int, stride: int, name: str
    ) -> nn.Module:
        del graph, stride
        return SharedCell(context, filters, name=name)


class SharedCell(nn.Module):
    """All cells at once; `gates` in `batch_stats` say which one it is.

    Variables for source `s`: `kernel{s}` `[3, 3, F, T F]` and batch norm `norm{s}` of `T F`
    channels, for its `T = 3 - s` edges in the order of their targets.
    """

    context: OpContext
    filters: int

    @nn.compact
    def __call__(self, inputs: tuple[jax.Array, ...], *_: Any) -> jax.Array:
        """Returns the output of the last node; images are `[B, H, W, filters]`."""
        (x,), width = inputs, self.filters
        gates = {
            kind: self.variable("batch_stats", f"gates_{kind}", jnp.zeros, len(_PAIRS)).value
            for kind in _GATES
        }
        sums: list[jax.Array | None] = [None] * (NUM_NODES + 1)
        for source in range(NUM_NODES):
            pairs = [i for i, (s, _) in enumerate(_PAIRS) if s == source]
            shape = (3, 3, width, width * len(pairs))
            kernel = self.param(f"kernel{source}", conv_init, shape)
            own = {kind: gates[kind][np.array(pairs)] for kind in _GATES}
            middle = jnp.repeat(own["conv_1x1"] + own["conv_3x3"], width)
            rest = jnp.repeat(own["conv_3x3"], width)
            is_middle = np.zeros((3, 3, 1, 1), bool)
            is_middle[1, 1] = True
            kernel = kernel * jnp.where(is_middle, middle[None, None, None], rest[None, None, None])
            dtype = self.context.dtype
            convolved = convolve(nn.relu(x).astype(dtype), kernel.astype(dtype), (1, 1))
            normed = batch_norm(self.context, name=f"norm{source}")(convolved)
            normed = normed * middle.astype(normed.dtype)[None, None, None]
            pooled = avg_pool(x, 3)
            for i, pair in enumerate(pairs):
                branch = normed[..., i * width : (i + 1) * width]
                branch = branch + own["identity"][i].astype(x.dtype) * x
                branch = branch + own["pool"][i].astype(x.dtype) * pooled
                target = _PAIRS[pair][1]
                before = sums[target]
                sums[target] = branch if before is None else before + branch
            following = sums[source + 1]
            assert following is not None
            x = following
        return x


def own_leaves(plan: NetworkPlan, wide: Mapping[Path, Leaf]) -> dict[Path, Leaf]:
    """Returns the variables of the network itself, without tracing it.

    Args:
      plan: of the network.
      wide: the shared program's variables.
    """
    return {
        path: dataclasses.replace(
            wide[place], shape=np.empty(wide[place].shape, np.bool_)[index].shape
        )
        for path, (place, index) in _places(plan, wide).items()
    }


def widen(plan: NetworkPlan, own: Mapping[str, Any], wide: Flat) -> dict[str, Any]:
    """Puts a network's variables at their places in the shared program's.

    Args:
      plan: of the network.
      own: its `params` and `batch_stats`.
      wide: the shared program's variables, flattened, arrays or shapes.

    Returns:
      `params` and `batch_stats` of the shared program, new float32 arrays.
    """
    flat: dict[Path, Any] = dict(traverse_util.flatten_dict(dict(own)))
    values = {path: np.zeros(leaf.shape, np.float32) for path, leaf in wide.items()}
    for path, (place, index) in _places(plan, wide).items():
        values[place][index] = flat[path]
    for path, gates in values.items():
        if path[-1].startswith("gates_"):
            for node, _, edge in _edges(plan.normal):
                if path[-1] == f"gates_{_KINDS[edge.op]}":
                    gates[_PAIRS.index((_position(plan, edge.source), _position(plan, node)))] = 1
    return traverse_util.unflatten_dict(values)


def narrow(plan: NetworkPlan, wide: Mapping[str, Any]) -> dict[str, Any]:
    """Takes a network's variables out of the shared program's; inverts `widen`."""
    flat: dict[Path, Any] = dict(traverse_util.flatten_dict(dict(wide)))
    own = {
        path: np.ascontiguousarray(np.asarray(flat[place])[index])
        for path, (place, index) in _places(plan, flat).items()
    }
    return {"batch_stats": {}, **traverse_util.unflatten_dict(own)}


def _edges(graph: CellGraph) -> Iterator[tuple[int, int, Edge]]:
    """Yields (index of the node, number of the edge in it, edge)."""
    for i, edges in enumerate(graph.nodes):
        for j, edge in enumerate(edges):
            yield graph.num_inputs + i, j, edge


def _position(plan: NetworkPlan, index: int) -> int:
    """Returns the shared cell's node for a node of the graph: the last one is the last there."""
    return NUM_NODES if index == len(plan.normal.nodes) else index


def _places(plan: NetworkPlan, wide: Flat) -> dict[Path, tuple[Path, Any]]:
    """Returns, for each variable of a network, the shared program's variable and index in it."""
    places: dict[Path, tuple[Path, Any]] = {}
    for place in wide:
        part, kind, leaf = place[0], place[-2], place[-1]
        if leaf.startswith("gates_"):
            continue
        in_cell = leaf.startswith("kernel") and leaf != "kernel"
        in_norm = kind.startswith("norm")
        if not in_cell and not in_norm:
            places[place] = (place, ...)
            continue
        source = int((leaf if in_cell else kind)[-1])
        width = wide[place].shape[-1] // (NUM_NODES - source)
        for node, number, edge in _edges(plan.normal):
            if _position(plan, edge.source) != source or not _KINDS[edge.op].startswith("conv"):
                continue
            start = (_position(plan, node) - source - 1) * width
            channels = (..., slice(start, start + width))
            name = f"node{node - 1}_edge{number}_{edge.op}"
            if in_norm:
                places[(part, place[1], name, "BatchNorm_0", leaf)] = (place, channels)
                continue
            size = slice(1, 2) if _KINDS[edge.op] == "conv_1x1" else slice(None)
            index = (size, size, slice(None), channels[-1])
            places[(part, place[1], name, "Conv_0", "kernel")] = (place, index)
    return places
