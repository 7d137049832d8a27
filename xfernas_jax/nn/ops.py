"""The operations of all search spaces as Flax modules, by name.

Every operation maps `[B, H, W, C]` to `[B, ceil(H / stride), ceil(W / stride), filters]` and
applies its activation first (ReLU, convolution, batch norm), as in NASNet, DARTS and
NAS-Bench-201. A user's own operation is a function `(OpContext, filters, stride, name)` to an
`nn.Module` that `register_op` puts under a new name.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from xfernas_jax.errors import GenotypeError
from xfernas_jax.nn.conv import Conv
from xfernas_jax.nn.depthwise import DepthwiseForm, depthwise_conv
from xfernas_jax.nn.initializers import conv_init
from xfernas_jax.nn.norm import BatchNorm
from xfernas_jax.nn.pooling import avg_pool, max_pool


@dataclasses.dataclass(frozen=True)
class OpContext:
    """What every operation of a network shares.

    Attributes:
      train: batch norm uses the batch's statistics (True) or the running ones (False).
      axis_name: devices over which batch norm averages mean and mean square; None for none.
      dtype: of the computation; parameters and statistics stay float32.
      depthwise: form of depthwise convolution, see `depthwise_conv`.
      bn_momentum: share of the old running statistics that a step keeps.
    """

    train: bool
    axis_name: str | None = None
    dtype: Any = jnp.float32
    depthwise: DepthwiseForm = "auto"
    bn_momentum: float = 0.9


def batch_norm(context: OpContext, name: str | None = None) -> nn.Module:
    """Builds a batch norm; its mean and mean square are averaged over `context.axis_name`.

    The class depends on the device, its variables and values do not.
    """
    kind = BatchNorm if jax.default_backend() == "cpu" else nn.BatchNorm
    return kind(
        use_running_average=not context.train,
        momentum=context.bn_momentum,
        epsilon=1e-5,
        dtype=context.dtype,
        axis_name=context.axis_name if context.train else None,
        name=name,
    )


class ConvBn(nn.Module):
    """ReLU, one or two convolutions without bias, batch norm.

    Attributes:
      kernels: sizes (height, width) of the convolutions in order; the stride is split so that
        each axis is halved once, by the first kernel that spans it (or the last one).
      relu: whether the activation comes first (a stem has none).
    """

    context: OpContext
    filters: int
    kernels: tuple[tuple[int, int], ...] = ((1, 1),)
    stride: int = 1
    relu: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.relu:
            x = nn.relu(x)
        strides = [(self.stride, self.stride)]
        if len(self.kernels) == 2:  # (1, k) then (k, 1)
            strides = [(1, self.stride), (self.stride, 1)]
        for kernel, stride in zip(self.kernels, strides, strict=True):
            x = Conv(self.filters, kernel, stride, self.context.dtype)(x)
        return batch_norm(self.context)(x)


class DepthwiseConv(nn.Module):
    """A depthwise convolution without bias; see `depthwise_conv`."""

    context: OpContext
    size: int
    stride: int = 1
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, 1, x.shape[-1])
        kernel = self.param("kernel", conv_init, shape)
        x, kernel = x.astype(self.context.dtype), kernel.astype(self.context.dtype)
        return depthwise_conv(x, kernel, self.stride, self.dilation, self.context.depthwise)


class SepConv(nn.Module):
    """Separable convolutions: (ReLU, depthwise, 1x1, batch norm) `repeats` times.

    The stride stands in the first depthwise convolution. NAO and NASNet apply two in a row; a
    dilated one comes once.
    """

    context: OpContext
    filters: int
    size: int
    stride: int = 1
    dilation: int = 1
    repeats: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.repeats):
            x = DepthwiseConv(self.context, self.size, self.stride if i == 0 else 1, self.dilation)(
                nn.relu(x)
            )
            x = ConvBn(self.context, self.filters, relu=False)(x)
        return x


class Pool(nn.Module):
    """Max or average pooling, and a `ConvBn` of 1x1 where the channel count must change."""

    context: OpContext
    filters: int
    kind: str
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        pool = max_pool if self.kind == "max" else avg_pool
        x = pool(x, self.size, self.stride)
        return x if x.shape[-1] == self.filters else ConvBn(self.context, self.filters)(x)


class FactorizedReduction(nn.Module):
    """Halves resolution: two 1x1 convolutions of stride 2, one a pixel off, joined, batch norm.

    An odd number of filters gives the first convolution the larger half.
    """

    context: OpContext
    filters: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(x)
        shifted = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
        less = self.filters // 2
        halves = [
            Conv(width, (1, 1), (2, 2), self.context.dtype)(image)
            for image, width in ((x, self.filters - less), (shifted, less))
            if width
        ]
        return batch_norm(self.context)(jnp.concatenate(halves, axis=-1))


class Identity(nn.Module):
    """Passes its input on; with a stride it is a factorised reduction.

    A changed channel count takes a `ConvBn` of 1x1.
    """

    context: OpContext
    filters: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.stride > 1:
            return FactorizedReduction(self.context, self.filters)(x)
        return x if x.shape[-1] == self.filters else ConvBn(self.context, self.filters)(x)


OpBuilder = Callable[[OpContext, int, int, str], nn.Module]


def _of(module: Callable[..., nn.Module], **options: Any) -> OpBuilder:
    """Returns the builder of a module's class with these options."""
    return lambda context, filters, stride, name: module(
        context=context, filters=filters, stride=stride, name=name, **options
    )


_OPS: dict[str, OpBuilder] = {
    "identity": _of(Identity),
    "conv_1x1": _of(ConvBn),
    "conv_3x3": _of(ConvBn, kernels=((3, 3),)),
    "conv_1x3_3x1": _of(ConvBn, kernels=((1, 3), (3, 1))),
    "conv_1x7_7x1": _of(ConvBn, kernels=((1, 7), (7, 1))),
    **{f"sep_conv_{k}x{k}": _of(SepConv, size=k) for k in (3, 5, 7)},
    "dil_conv_3x3": _of(SepConv, size=3, dilation=2, repeats=1),
    "nor_conv_1x1": _of(ConvBn),
    "nor_conv_3x3": _of(ConvBn, kernels=((3, 3),)),
    **{f"max_pool_{k}x{k}": _of(Pool, kind="max", size=k) for k in (2, 3, 5, 7)},
    **{f"avg_pool_{k}x{k}": _of(Pool, kind="avg", size=k) for k in (2, 3, 5)},
}


def op_names() -> tuple[str, ...]:
    """Returns the names of all known operations."""
    return tuple(sorted(_OPS))


def register_op(name: str, build: OpBuilder) -> None:
    """Adds an operation under a new name; a taken name is a `GenotypeError`."""
    if name in _OPS:
        raise GenotypeError(f"Operation {name!r} exists already; register it under another name.")
    _OPS[name] = build


def build_op(op: str, context: OpContext, filters: int, stride: int, name: str) -> nn.Module:
    """Returns the module of operation `op`, called `name`; `GenotypeError` where there is none."""
    if op not in _OPS:
        raise GenotypeError(
            f"Operation {op!r} is not known to the compiler. Known: {', '.join(op_names())}; "
            "register_op() adds one."
        )
    return _OPS[op](context, filters, stride, name)
