"""Whole networks: stem, stages of cells, reductions, classifier."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from xfernas_jax.errors import RecipeError
from xfernas_jax.nn.cell import AuxiliaryHead, DropPath, ResidualReduction, build_cell
from xfernas_jax.nn.depthwise import DepthwiseForm
from xfernas_jax.nn.initializers import dense_init
from xfernas_jax.nn.ops import ConvBn, OpContext, batch_norm
from xfernas_jax.nn.stack import equal_cells, run_equal_cells
from xfernas_jax.options import option
from xfernas_jax.space.graph import CellGraph, NetworkPlan


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Size and regularisation of the networks of a recipe.

    Sizes, drop path, auxiliary head and scanning are those of spaces of cells: a space such as
    `convnet`, whose architectures have sizes of their own, heeds the rest (`ConvNetPlan.reads`).

    Attributes:
      filters: channels of each branch in the first stage; every reduction doubles them.
      num_cells: normal cells in each stage.
      num_stages: stages, with a reduction between each two.
      stem_multiplier: the stem of a two-input network has this many times `filters` channels.
      drop_path_keep: probability to keep a branch of the last cell at the end of training;
        earlier cells and epochs drop proportionally less. 1 switches it off.
      dropout_keep: probability to keep a feature before the classifier. 1 switches it off.
      auxiliary_weight: weight of the auxiliary head's loss; 0 builds none.
      dtype: "float32" or "bfloat16", of the computation; parameters are float32.
      depthwise: see `nn.depthwise.depthwise_conv`.
      bn_momentum: share of the old running statistics that a step keeps.
      remat: whether a cell's inner images are computed again for its gradient instead of kept:
        less memory, more arithmetic.
      scan_cells: whether the equal cells of a stage compile as one, see `nn/stack.py`.
    """

    filters: int = 32
    num_cells: int = 3
    num_stages: int = 3
    stem_multiplier: int = 3
    drop_path_keep: float = 1.0
    dropout_keep: float = 1.0
    auxiliary_weight: float = 0.0
    dtype: str = "float32"
    depthwise: DepthwiseForm = option("auto", neutral=True)
    bn_momentum: float = 0.9
    remat: bool = option(False, neutral=True)
    scan_cells: bool = option(False, neutral=True)

    def __post_init__(self) -> None:
        for field in ("filters", "num_cells", "num_stages", "stem_multiplier"):
            if getattr(self, field) < 1:
                raise RecipeError(f"network.{field} is at least 1. Got {getattr(self, field)}.")
        for field in ("drop_path_keep", "dropout_keep"):
            if not 0.0 < getattr(self, field) <= 1.0:
                raise RecipeError(f"network.{field} lies in (0, 1]. Got {getattr(self, field)}.")
        if not 0.0 <= self.bn_momentum < 1.0 or self.auxiliary_weight < 0.0:
            raise RecipeError(
                "network.bn_momentum lies in [0, 1) and network.auxiliary_weight is not negative. "
                f"Got {self.bn_momentum} and {self.auxiliary_weight}."
            )
        if self.dtype not in ("float32", "bfloat16"):
            raise RecipeError(f"network.dtype is 'float32' or 'bfloat16'. Got {self.dtype!r}.")
        if self.depthwise not in ("auto", "lax", "shift"):
            raise RecipeError(
                f"network.depthwise is 'auto', 'lax' or 'shift'. Got {self.depthwise!r}."
            )


class Network(nn.Module):
    """The network of a plan; see `nn.builders.build_network`.

    Two-input cells get a NASNet skeleton (stem, cells that read the last two outputs,
    ReLU, mean, dense), one-input cells that of NAS-Bench-201 (a batch norm comes before that
    ReLU, and the stem has `filters` channels).

    Attributes:
      axis_name: devices over which batch norm is synchronised while training; None for none.
    """

    plan: NetworkPlan
    config: NetworkConfig
    num_classes: int
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        positions: jax.Array | None = None,
        progress: jax.Array | float = 1.0,
        train: bool = False,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Classifies images.

        Args:
          images: `[B, H, W, C]`, normalised.
          positions: `[B]` int32, index of each example in the global batch; the random draws
            of drop path and dropout are keyed by it. Needed only when training with either.
          progress: share of the training that is done, in [0, 1]; scales drop path.
          train: batch statistics, drop path, dropout and auxiliary head.

        Returns:
          Logits `[B, num_classes]` in float32, and those of the auxiliary head or None.
        """
        config, plan = self.config, self.plan
        context = OpContext(
            train, self.axis_name, jnp.dtype(config.dtype), config.depthwise, config.bn_momentum
        )
        two_inputs = plan.normal.num_inputs == 2
        stem_filters = config.filters * (config.stem_multiplier if two_inputs else 1)
        x = ConvBn(context, stem_filters, ((3, 3),), relu=False, name="stem")(
            images.astype(context.dtype)
        )
        reductions = self._reductions()
        total = config.num_stages * config.num_cells + len(reductions)
        auxiliary_at = reductions[-1] if reductions else total - 1
        drops: list[DropPath | None] = [None] * total
        if train and config.drop_path_keep < 1.0:
            drops = self._drop_paths(total, progress, positions)
        stacks = {cells[0]: cells for cells in self.scanned_cells()}
        previous, filters, auxiliary, index = x, config.filters, None, 0
        while index < total:
            reduce = index in reductions
            filters *= 2 if reduce else 1
            graph = plan.reduction if reduce else plan.normal
            inputs = (previous, x) if two_inputs else (x,)
            if graph is None:
                previous, x = x, ResidualReduction(context, filters, name=f"cell{index}")(x)
            elif index in stacks:
                cells = stacks[index]
                build = partial(build_cell, graph, context, filters, 1, config.remat)
                drop = drops[index : cells.stop]
                *older, x = run_equal_cells(build, inputs, drop, cells)
                previous, index = (older or [x])[0], cells[-1]
            else:
                cell = self.build_cell(graph, context, filters, 2 if reduce else 1, f"cell{index}")
                previous, x = x, cell(inputs, drops[index])
            if train and config.auxiliary_weight and index == auxiliary_at:
                auxiliary = AuxiliaryHead(context, self.num_classes, name="auxiliary")(x)
            index += 1
        if not two_inputs:
            x = batch_norm(context, name="last_norm")(x)
        features = nn.relu(x).astype(jnp.float32).mean(axis=(1, 2))
        if train and config.dropout_keep < 1.0:
            features = dropout(features, config.dropout_keep, self.make_rng("dropout"), positions)
        classifier = nn.Dense(self.num_classes, kernel_init=dense_init, name="classifier")
        return classifier(features), auxiliary

    def build_cell(
        self, graph: CellGraph, context: OpContext, filters: int, stride: int, name: str
    ) -> nn.Module:
        """Returns the module of a searched cell."""
        remat = self.config.remat and not self.is_initializing()
        return build_cell(graph, context, filters, stride, remat, name)

    def scanned_cells(self) -> tuple[range, ...]:
        """Returns the indices of the cells that are scanned, a range for each stage."""
        config = self.config
        if not config.scan_cells:
            return ()
        return equal_cells(self.plan, config.num_cells, config.num_stages)

    def _reductions(self) -> tuple[int, ...]:
        stage = self.config.num_cells
        return tuple((stage + 1) * s + stage for s in range(self.config.num_stages - 1))

    def _drop_paths(
        self, total: int, progress: jax.Array | float, positions: jax.Array | None
    ) -> list[DropPath | None]:
        """Returns that of each cell."""
        if positions is None:
            raise ValueError("Training with drop path needs the positions of the examples.")
        drops: list[DropPath | None] = []
        for depth in range(1, total + 1):
            drop = depth / total * jnp.asarray(progress) * (1.0 - self.config.drop_path_keep)
            drops.append(DropPath(1.0 - drop, self.make_rng("dropout"), positions))
        return drops


def dropout(
    features: jax.Array, keep: float, key: jax.Array, positions: jax.Array | None
) -> jax.Array:
    """Zeroes features `[B, F]` and scales the rest up; draws are keyed by `positions`, `[B]`."""
    if positions is None:
        raise ValueError("Training with dropout needs the positions of the examples.")
    draw = jax.vmap(lambda p: jax.random.uniform(jax.random.fold_in(key, p), features.shape[1:]))(
        positions
    )
    return jnp.where(draw < keep, features / keep, 0.0)
