"""Cells: the graph of a genotype as a Flax module."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from xfernas_jax.nn.conv import Conv
from xfernas_jax.nn.initializers import conv_init, dense_init
from xfernas_jax.nn.ops import (
    ConvBn,
    FactorizedReduction,
    OpContext,
    batch_norm,
    build_op,
)
from xfernas_jax.nn.pooling import avg_pool
from xfernas_jax.space.graph import CellGraph
from xfernas_jax.types import PyTree


class DropPath(flax.struct.PyTreeNode):
    """Zeroes whole branches of single examples and scales the rest up.

    Each example's draw is keyed by its index in the global batch, so it does not depend on how
    a batch is divided over devices. Source: Larsson et al. (2017), FractalNet.

    Attributes:
      keep: probability to keep a branch.
      key: of the cell; each branch folds its own number in.
      positions: `[B]` int32, index of each example in the global batch.
    """

    keep: PyTree
    key: PyTree
    positions: PyTree

    def __call__(self, x: jax.Array, branch: int) -> jax.Array:
        """Drops branch number `branch`, `[B, H, W, C]`, of some examples."""
        key = jax.random.fold_in(self.key, branch)
        draw = jax.vmap(lambda p: jax.random.uniform(jax.random.fold_in(key, p)))(self.positions)
        kept = (draw < self.keep).astype(x.dtype) / jnp.asarray(self.keep, x.dtype)
        return x * kept[:, None, None, None]


class Cell(nn.Module):
    """One cell of a `CellGraph`.

    Two-input cells bring their inputs to `filters` channels and to one resolution first. In a
    reduction cell (`stride` 2) the branches that read a cell input have the stride, and an
    unused cell input that is joined at the end passes a factorised reduction.
    """

    graph: CellGraph
    context: OpContext
    filters: int
    stride: int = 1

    @nn.compact
    def __call__(self, inputs: tuple[jax.Array, ...], drop: DropPath | None = None) -> jax.Array:
        """Returns the cell's output.

        Args:
          inputs: `num_inputs` images `[B, H, W, C]`; the older may have twice the resolution.
          drop: drop path; None switches it off.
        """
        states = list(inputs)
        if self.graph.num_inputs == 2:
            states = [self._calibrate(x, inputs[-1]) for x in inputs]
        num_branches = 0
        for i, edges in enumerate(self.graph.nodes):
            total = None
            for j, edge in enumerate(edges):
                stride = self.stride if edge.source < self.graph.num_inputs else 1
                name = f"node{i}_edge{j}_{edge.op}"
                op = build_op(edge.op, self.context, self.filters, stride, name)
                branch = op(states[edge.source])
                if drop is not None and edge.op != "identity":
                    branch = drop(branch, num_branches)
                num_branches += 1
                total = branch if total is None else total + branch
            states.append(self._zeros(states[0]) if total is None else total)
        return self._output(states)

    def _calibrate(self, x: jax.Array, newest: jax.Array) -> jax.Array:
        if x.shape[1] != newest.shape[1]:
            return FactorizedReduction(self.context, self.filters)(x)
        return ConvBn(self.context, self.filters)(x)

    def _zeros(self, x: jax.Array) -> jax.Array:
        b, height, width, _ = x.shape
        shape = (b, -(-height // self.stride), -(-width // self.stride), self.filters)
        return jnp.zeros(shape, x.dtype)

    def _output(self, states: list[jax.Array]) -> jax.Array:
        if self.graph.output == "last":
            return states[-1]
        joined = []
        for index in self.graph.unused():
            x = states[index]
            if self.stride > 1 and index < self.graph.num_inputs:
                x = FactorizedReduction(self.context, self.filters)(x)
            joined.append(x)
        return jnp.concatenate(joined, axis=-1)


def build_cell(
    graph: CellGraph, context: OpContext, filters: int, stride: int, remat: bool, name: str
) -> nn.Module:
    """Returns the module of a cell; with `remat` it keeps only its inputs for the gradient."""
    kind = nn.remat(Cell) if remat else Cell
    return kind(graph, context, filters, stride, name=name)


class ResidualReduction(nn.Module):
    """The basic residual block of stride 2 between the stages of NAS-Bench-201.

    Source: the public NAS-Bench-201 networks (ResNetBasicblock): two (ReLU, 3x3, batch norm)
    beside an average pool of 2x2 and a 1x1 convolution without bias or norm.
    """

    context: OpContext
    filters: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        main = ConvBn(self.context, self.filters, ((3, 3),), stride=2)(x)
        main = ConvBn(self.context, self.filters, ((3, 3),))(main)
        short = Conv(self.filters, dtype=self.context.dtype)(avg_pool(x, 2, 2))
        return main + short


class AuxiliaryHead(nn.Module):
    """A classifier on an inner cell, used only while training.

    ReLU, average pool of 5x5 and stride 3 (smaller where the image is), 1x1 to 128 channels,
    one convolution that spans what is left to 768 channels, dense. Source: NASNet's and NAO's
    public code; theirs is fixed to 8x8 inputs, ours takes any size.
    """

    context: OpContext
    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = min(5, x.shape[1], x.shape[2])
        x = nn.avg_pool(nn.relu(x), (size, size), (min(3, size),) * 2, "VALID")
        x = ConvBn(self.context, 128, relu=False)(x)
        x = nn.Conv(
            768,
            x.shape[1:3],
            padding="VALID",
            use_bias=False,
            dtype=self.context.dtype,
            kernel_init=conv_init,
        )(nn.relu(x))
        x = nn.relu(batch_norm(self.context)(x))[:, 0, 0]
        return nn.Dense(self.num_classes, dtype=jnp.float32, kernel_init=dense_init)(x)
