"""What a network of `space.convnet` costs at least, by arithmetic: nothing is built or traced.

A search within a time looks at a thousand networks that are too large; to trace one takes .1 s.
"""

import dataclasses
from collections.abc import Mapping

from xfernas_jax.nn.convnet_blocks import EXPANSION, STEMS
from xfernas_jax.space.convnet import ConvNetPlan
from xfernas_jax.space.published import NASBENCH201_BEST

_CELL_CONVOLUTIONS = NASBENCH201_BEST.ops.count("nor_conv_3x3")


@dataclasses.dataclass
class _Sum:
    """Costs of layers so far, and the shape of the last one's result."""

    height: int
    width: int
    channels: int
    flops: float = 0.0
    activations: float = 0.0

    def convolve(
        self, filters: int, size: int = 1, stride: int = 1, depthwise: bool = False
    ) -> None:
        """Adds a convolution; taps that fall outside of the image are not computed."""
        taps = _taps(self.height, size, stride) * _taps(self.width, size, stride)
        self.flops += 2.0 * taps * filters * (1 if depthwise else self.channels)
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        self.channels = filters
        self.activations += self.height * self.width * filters

    def pool(self) -> None:
        """Halves the sides, rounded down but for a single pixel."""
        self.height, self.width = max(self.height // 2, 1), max(self.width // 2, 1)


def _taps(side: int, size: int, stride: int) -> int:
    """Returns the taps of a convolution along one side, over all its results."""
    count = -(-side // stride)
    before = max((count - 1) * stride + size - side, 0) // 2
    firsts = (i * stride - before for i in range(count))
    return sum(min(first + size, side) - max(first, 0) for first in firsts)


def least_costs(plan: ConvNetPlan, image_shape: tuple[int, int, int]) -> Mapping[str, float]:
    """Returns `flops` and `activations` of the convolutions alone, for one image.

    Of a cell its 3x3 convolutions are counted, as if each had as few channels as its input.

    Args:
      plan: of the network.
      image_shape: (height, width, channels).
    """
    size, stride = STEMS[plan.stem]
    total = _Sum(*image_shape)
    total.convolve(plan.widths[0], size, stride)
    for stage, (filters, depth) in enumerate(zip(plan.widths, plan.depths, strict=True)):
        stride = 2 if stage > 0 and plan.downsample == "stride" else 1
        if stage > 0 and stride == 1:
            total.pool()
        for number in range(1 if plan.block == "plain" and stage == 0 else 0, depth):
            _add_block(total, plan, filters, stride if number == 0 else 1)
    if plan.block == "separable":
        total.convolve(EXPANSION * total.channels)
    return {"flops": total.flops, "activations": total.activations}


def _add_block(total: _Sum, plan: ConvNetPlan, filters: int, stride: int) -> None:
    if plan.block == "plain":
        total.convolve(filters, plan.kernel, stride)
    elif plan.block == "residual":
        total.convolve(filters, plan.kernel, stride)
        total.convolve(filters, plan.kernel)
    elif plan.block == "bottleneck":
        total.convolve(filters // 2)
        total.convolve(filters // 2, plan.kernel, stride)
        total.convolve(filters)
    elif plan.block == "separable":
        wide = EXPANSION * total.channels
        total.convolve(wide)
        total.convolve(wide, plan.kernel, stride, depthwise=True)
        total.convolve(filters)
    else:
        fewest = min(total.channels, filters)
        total.height, total.width = -(-total.height // stride), -(-total.width // stride)
        for _ in range(_CELL_CONVOLUTIONS):
            total.channels = fewest
            total.convolve(fewest, 3)
        total.channels = filters
