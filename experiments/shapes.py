"""Named networks of space `convnet` whose short and last trainings are compared."""

import dataclasses
from typing import Any

from xfernas_jax.space.convnet import ConvNet, ConvNetSpace
from xfernas_jax.space.published import PUBLISHED

SPACE = ConvNetSpace()
_BASE = PUBLISHED["vgg_small"][1]


def _lean(width: int, *depths: int, head: str = "grid", block: str = "plain") -> ConvNet:
    """Returns a network that convolves little at full size: `depths` of its stages."""
    filled: Any = (*depths, *(1,) * (4 - len(depths)))
    shape = ("conv_3x3", len(depths), width, 2.0, filled, block, 3, "max_pool", head)
    return ConvNet(*shape)


NETWORKS = {
    "vgg_small": _BASE,
    "k5": dataclasses.replace(_BASE, kernel=5),
    "grid": dataclasses.replace(_BASE, head="grid"),
    "k5 grid": dataclasses.replace(_BASE, kernel=5, head="grid"),
    "max": dataclasses.replace(_BASE, head="max"),
    "wider": SPACE.wider(_BASE),
    "vgg_tiny": PUBLISHED["vgg_tiny"][1],
    "resnet8": PUBLISHED["resnet8"][1],
    "vgg_like": PUBLISHED["vgg_like"][1],
    "two stages": dataclasses.replace(_BASE, stages=2, depths=(1, 2, 1, 1), head="grid"),
    "two stages k5": ConvNet(
        *("conv_3x3", 2, 16, 1.5, (1, 2, 1, 1), "plain", 5, "max_pool", "grid")
    ),
    "residual grid": ConvNet(
        *("conv_3x3", 3, 16, 2.0, (1, 1, 1, 1), "residual", 3, "max_pool", "grid")
    ),
    "residual max": ConvNet(
        *("conv_3x3", 3, 12, 2.0, (1, 1, 1, 1), "residual", 3, "max_pool", "max")
    ),
    "k5 stem of stride 2": ConvNet(
        *("conv_3x3_stride_2", 3, 32, 1.0, (2, 3, 1, 1), "plain", 5, "max_pool", "grid")
    ),
    "four stages": ConvNet(*("conv_3x3", 4, 12, 2.0, (2, 4, 3, 1), "plain", 3, "stride", "mean")),
    "deep avg_pool": ConvNet(
        *("conv_3x3", 4, 12, 1.5, (4, 3, 2, 4), "plain", 3, "avg_pool", "mean")
    ),
    "shallow": ConvNet(*("conv_3x3", 2, 32, 1.5, (1, 1, 1, 1), "plain", 3, "max_pool", "grid")),
    "bottleneck": ConvNet(
        *("conv_3x3_stride_2", 2, 64, 1.5, (1, 3, 1, 1), "bottleneck", 3, "stride", "mean")
    ),
    "lean 1 2 2": _lean(16, 1, 2, 2),
    "lean 1 2 2 tiny flat": _lean(8, 1, 2, 2, head="flat"),
    "lean 1 2 2 small flat": _lean(12, 1, 2, 2, head="flat"),
    "lean 1 2 2 flat": _lean(16, 1, 2, 2, head="flat"),
    "lean 1 2 2 mean": _lean(16, 1, 2, 2, head="mean"),
    "lean 1 2 2 wider": _lean(24, 1, 2, 2),
    "lean 1 2 2 tiny": _lean(8, 1, 2, 2),
    "lean 1 2 2 small": _lean(12, 1, 2, 2),
    "lean 1 2 2 widest": _lean(32, 1, 2, 2),
    "lean 1 1 2": _lean(24, 1, 1, 2),
    "lean 1 2 3": _lean(16, 1, 2, 3),
    "lean 1 1 1 wide": _lean(32, 1, 1, 1),
    "lean 1 2 2 2": _lean(16, 1, 2, 2, 2),
    "lean residual": _lean(16, 1, 1, 1, block="residual"),
    "strided 2 2": ConvNet(
        *("conv_3x3_stride_2", 2, 48, 2.0, (2, 2, 1, 1), "plain", 3, "max_pool", "grid")
    ),
    "strided 2 2 2": ConvNet(
        *("conv_3x3_stride_2", 3, 32, 2.0, (2, 2, 2, 1), "plain", 3, "max_pool", "grid")
    ),
}
"""By a short name: what differs from `vgg_small`, a known network's name, or a shape.

The last nine are what a search of 3 minutes found on `grocery`, a network like it of 3x3 kernels,
and shapes of a high mean rank in the bundled short trainings.
"""
