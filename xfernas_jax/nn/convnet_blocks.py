"""The blocks of `space.convnet` as Flax modules: `[B, H, W, C]` to `[B, H / stride, ., filters]`.

All but the cell end in a ReLU or in what was summed with their input, and take such an image.
"""

from collections.abc import Callable

import flax.linen as nn
import jax

from xfernas_jax.nn.cell import build_cell
from xfernas_jax.nn.conv import Conv
from xfernas_jax.nn.initializers import conv_init, dense_init
from xfernas_jax.nn.ops import DepthwiseConv, OpContext, batch_norm
from xfernas_jax.space.nasbench201 import NasBench201Space
from xfernas_jax.space.published import NASBENCH201_BEST

EXPANSION = 4  # of the separable block
STEMS = {"conv_3x3": (3, 1), "conv_3x3_stride_2": (3, 2), "patches_4x4": (4, 4)}  # size, stride
_CELL = NasBench201Space().plan(NASBENCH201_BEST).normal


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, and ReLU where wanted."""

    context: OpContext
    filters: int
    size: int = 1
    stride: int = 1
    relu: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        window, strides = (self.size, self.size), (self.stride, self.stride)
        x = Conv(self.filters, window, strides, self.context.dtype)(x)
        x = batch_norm(self.context)(x)
        return nn.relu(x) if self.relu else x


class Residual(nn.Module):
    """Convolutions beside a short cut, then a ReLU: the basic block, or the bottleneck.

    The short cut is the input, or a 1x1 convolution with batch norm where the shape changes. The
    bottleneck narrows to half the width.
    Source: He et al. (2016), Fig. 5 and option B of Sec. 4.1. Deviates: theirs narrows to a
    quarter, which leaves 2 channels of the smallest width here.
    """

    context: OpContext
    filters: int
    size: int
    stride: int
    bottleneck: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        context, filters = self.context, self.filters
        if self.bottleneck:
            inner = filters // 2
            y = ConvUnit(context, inner, name="narrow")(x)
            y = ConvUnit(context, inner, self.size, self.stride, name="conv")(y)
            y = ConvUnit(context, filters, relu=False, name="widen")(y)
        else:
            y = ConvUnit(context, filters, self.size, self.stride, name="conv1")(x)
            y = ConvUnit(context, filters, self.size, relu=False, name="conv2")(y)
        if self.stride > 1 or x.shape[-1] != filters:
            x = ConvUnit(context, filters, 1, self.stride, relu=False, name="short_cut")(x)
        return nn.relu(x + y)


class Separable(nn.Module):
    """An inverted residual: 1x1 to four times the channels, depthwise, gates, 1x1 back.

    Source: Sandler et al. (2018), Sec. 3.3, and the gates (squeeze and excite) of Howard et al.
    (2019), Sec. 5.3. Deviates: ReLU and sigmoid, which are cheap on every device, in place of
    ReLU6, h-swish and hard sigmoid; expansion 4; gates narrow to a quarter of the block's input.
    """

    context: OpContext
    filters: int
    size: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        context, channels = self.context, x.shape[-1]
        y = ConvUnit(context, EXPANSION * channels, name="expand")(x)
        y = DepthwiseConv(context, self.size, self.stride, name="depthwise")(y)
        y = nn.relu(batch_norm(context, name="depthwise_norm")(y))
        gates = nn.Dense(
            max(channels // 4, 4), dtype=context.dtype, kernel_init=conv_init, name="squeeze"
        )(y.mean(axis=(1, 2)))
        gates = nn.Dense(y.shape[-1], dtype=context.dtype, kernel_init=dense_init, name="excite")(
            nn.relu(gates)
        )
        y = y * nn.sigmoid(gates)[:, None, None]
        y = ConvUnit(context, self.filters, relu=False, name="project")(y)
        return x + y if x.shape == y.shape else y


def build_block(
    block: str, context: OpContext, filters: int, size: int, stride: int, remat: bool, name: str
) -> Callable[[jax.Array], jax.Array]:
    """Returns what a block computes; with `remat` it keeps only its input for the gradient."""
    if block == "cell":
        cell = build_cell(_CELL, context, filters, stride, remat, name)
        return lambda x: cell((x,))
    kind = {"plain": ConvUnit, "separable": Separable}.get(block, Residual)
    more = {"bottleneck": True} if block == "bottleneck" else {}
    kind = nn.remat(kind) if remat else kind
    return kind(context, filters, size, stride, name=name, **more)
