"""The networks of `space.convnet`: stem, stages of blocks, head, classifier."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xfernas_jax.nn.convnet_blocks import EXPANSION, STEMS, ConvUnit, build_block
from xfernas_jax.nn.convnet_costs import least_costs
from xfernas_jax.nn.initializers import dense_init
from xfernas_jax.nn.network import NetworkConfig, dropout
from xfernas_jax.nn.ops import OpContext, batch_norm
from xfernas_jax.nn.pooling import avg_pool, max_pool
from xfernas_jax.space.convnet import ConvNetPlan

_POOLS: dict[str, Callable[..., Any]] = {"max_pool": max_pool, "avg_pool": avg_pool}


class ConvNet(nn.Module):
    """The network of a plan; see `nn.builders` for the contract, `ConvNetPlan.reads` for `config`.

    Attributes:
      axis_name: devices over which batch norm is synchronised while training; None for none.
    """

    plan: ConvNetPlan
    config: NetworkConfig
    num_classes: int
    axis_name: str | None = None

    least_costs = staticmethod(least_costs)

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        positions: jax.Array | None = None,
        progress: jax.Array | float = 1.0,
        train: bool = False,
    ) -> tuple[jax.Array, None]:
        """Classifies images; see `nn.network.Network`, of which only `progress` is not used."""
        plan, config = self.plan, self.config
        context = OpContext(
            train, self.axis_name, jnp.dtype(config.dtype), config.depthwise, config.bn_momentum
        )
        size, stride = STEMS[plan.stem]
        has_relu = plan.block != "cell"  # a cell begins with its own
        stem = ConvUnit(context, plan.widths[0], size, stride, has_relu, name="stem")
        x = stem(images.astype(context.dtype))
        remat = config.remat and not self.is_initializing()
        for stage, (filters, depth) in enumerate(zip(plan.widths, plan.depths, strict=True)):
            stride = 2 if stage > 0 and plan.downsample == "stride" else 1
            if stage > 0 and stride == 1:
                x = _POOLS[plan.downsample](x, 2, 2)
            # The stem is the first convolution of a plain network.
            for number in range(1 if plan.block == "plain" and stage == 0 else 0, depth):
                step, name = stride if number == 0 else 1, f"stage{stage}_block{number}"
                x = build_block(plan.block, context, filters, plan.kernel, step, remat, name)(x)
        x = self._last(context, x)
        features = _features(x.astype(jnp.float32), plan.head)
        if train and config.dropout_keep < 1.0:
            features = dropout(features, config.dropout_keep, self.make_rng("dropout"), positions)
        classifier = nn.Dense(self.num_classes, kernel_init=dense_init, name="classifier")
        return classifier(features), None

    def _last(self, context: OpContext, x: jax.Array) -> jax.Array:
        """Gives blocks that end without an activation one, as their papers do."""
        if self.plan.block == "cell":
            return nn.relu(batch_norm(context, name="last_norm")(x))
        if self.plan.block == "separable":
            return ConvUnit(context, EXPANSION * x.shape[-1], name="last")(x)
        return x


def _features(x: Float[Array, "B H W C"], head: str) -> Float[Array, "B F"]:
    """Returns what the classifier reads; F is C, up to 4 C for the grid, or H W C if flat."""
    if head == "mean":
        return x.mean(axis=(1, 2))
    if head == "flat":
        return x.reshape(len(x), -1)
    if head == "max":
        return x.max(axis=(1, 2))
    parts = [
        x[:, rows, columns].mean(axis=(1, 2))
        for rows in _halves(x.shape[1])
        for columns in _halves(x.shape[2])
    ]
    return jnp.concatenate(parts, axis=-1)


def _halves(size: int) -> tuple[slice, ...]:
    """Returns two halves that share the middle of an odd size; of a single pixel there is one."""
    if size == 1:
        return (slice(0, 1),)
    return slice(0, (size + 1) // 2), slice(size // 2, size)
