"""A practical space for image classification: stages of blocks, from tiny to a few million weights.

What decides most on real tasks stands in the tokens: how fast resolution falls, width, depth and
the kind of block, rather than the wiring of a cell. Every network takes any image from 8x8 grey to
224x224 colour. Uniform draws at 32x32x3 have 8 thousand to 6 million parameters (90 % of them): the
widths are nearly a geometric series, two of three stems shrink the image at once, and no stage is
wider than `LARGEST_WIDTH`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from xfernas_jax.errors import GenotypeError
from xfernas_jax.space.base import Space
from xfernas_jax.space.checks import check_fields, check_list, checked_tokens

MAX_STAGES = 4
LARGEST_WIDTH = 256
VALUES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "stem": ("conv_3x3", "conv_3x3_stride_2", "patches_4x4"),
        "stages": (2, 3, 4),
        "width": (8, 12, 16, 24, 32, 48, 64, 96),
        "growth": (1.0, 1.5, 2.0),
        "depth": (1, 2, 3, 4),
        "block": ("plain", "residual", "bottleneck", "separable", "cell"),
        "kernel": (3, 5),
        "downsample": ("max_pool", "avg_pool", "stride"),
        "head": ("mean", "max", "grid", "flat"),
    }
)
"""What each choice may be; `depth` is that of each stage."""

_POSITIONS = (
    *("stem", "stages", "width", "growth", *("depth",) * MAX_STAGES),
    *("block", "kernel", "downsample", "head"),
)
_SYMBOLS = tuple(f"{name}={value}" for name, values in VALUES.items() for value in values)
_FIRST = {name: 1 + _SYMBOLS.index(f"{name}={values[0]}") for name, values in VALUES.items()}


@dataclasses.dataclass(frozen=True)
class ConvNet:
    """A genotype.

    Attributes:
      stem: the first layer: a 3x3 convolution of stride 1 or 2, or patches of 4x4 pixels. In a
        plain network it is the first convolution of the first stage, as in VGG.
      stages: how many there are; resolution is halved between each two.
      width: channels of the first stage.
      growth: of the width from each stage to the next; a width is rounded to a multiple of 4, and
        at most `LARGEST_WIDTH`.
      depths: blocks of each of four stages; those of stages that are not there count for nothing.
      block: "plain" (convolution, batch norm, ReLU), "residual" (two convolutions beside a short
        cut), "bottleneck" (1x1 to half the width, the convolution, 1x1 back, beside a short cut),
        "separable" (inverted residual of expansion 4: depthwise, with squeeze and excite), or
        "cell" (the published best cell of NAS-Bench-201).
      kernel: side of a block's convolution; a cell has its own.
      downsample: between two stages: a pool of 2x2 after the first, or "stride": the first block
        of the second has stride 2.
      head: what the classifier reads: the mean or the maximum of each channel over the image, the
        means of its quarters ("grid"), or all of its places ("flat"), which tells where something
        is: an advantage where images are aligned, such as centred letters.
    """

    stem: str
    stages: int
    width: int
    growth: float
    depths: tuple[int, int, int, int]
    block: str
    kernel: int
    downsample: str
    head: str

    def __post_init__(self) -> None:
        if not isinstance(self.depths, tuple) or len(self.depths) != MAX_STAGES:
            raise GenotypeError(
                f"depths of a convnet are a tuple of {MAX_STAGES}. Got {self.depths!r:.80}."
            )
        for name in VALUES:
            for value in self.depths if name == "depth" else (getattr(self, name),):
                _check_value(name, value)


@dataclasses.dataclass(frozen=True)
class ConvNetPlan:
    """The sizes of a network; equal plans are the same network.

    Attributes:
      stem: see `ConvNet`, as for all but the next two.
      widths: channels of each stage.
      depths: blocks of each stage; the stem is the first one of a plain network.
      kernel: 3 where the blocks are cells.
    """

    builder: ClassVar[str] = "xfernas_jax.nn.convnet:ConvNet"
    reads: ClassVar[frozenset[str]] = frozenset(
        ("dropout_keep", "dtype", "depthwise", "bn_momentum", "remat")
    )

    stem: str
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    block: str
    kernel: int
    downsample: str
    head: str


class ConvNetSpace(Space):
    """The convolutional networks of `VALUES`.

    A token is a choice with its value, such as `width=16`; the depths of the four stages are four
    positions of the same tokens. Dead choices are the depths of stages that are not there and
    the kernel of cells; `canonical` gives them their first value.
    """

    name = "convnet"
    vocabulary = ("<start>", *_SYMBOLS)
    choices = tuple(
        tuple(range(_FIRST[name], _FIRST[name] + len(VALUES[name]))) for name in _POSITIONS
    )

    def encode(self, genotype: ConvNet) -> tuple[int, ...]:
        row = _row(self._checked(genotype))
        return tuple(_FIRST[name] + VALUES[name].index(value) for name, value in row)

    def decode(self, tokens: Sequence[int]) -> ConvNet:
        checked = zip(_POSITIONS, checked_tokens(self, tokens), strict=True)
        values = [(name, VALUES[name][token - _FIRST[name]]) for name, token in checked]
        depths: Any = tuple(value for name, value in values if name == "depth")
        return ConvNet(depths=depths, **{n: v for n, v in values if n != "depth"})

    def mutate(self, genotype: ConvNet, rng: np.random.Generator) -> ConvNet:
        """Changes one random position so that the network is another one."""
        network = self.canonical(genotype)
        while self.canonical(mutant := super().mutate(genotype, rng)) == network:
            pass
        return mutant

    def canonical_tokens(self, tokens: np.ndarray) -> np.ndarray:
        found = np.array(tokens)
        depth, kernel = _POSITIONS.index("depth"), _POSITIONS.index("kernel")
        stages = VALUES["stages"][0] + found[:, _POSITIONS.index("stages")] - _FIRST["stages"]
        is_dead = np.arange(MAX_STAGES) >= stages[:, None]
        found[:, depth : depth + MAX_STAGES][is_dead] = _FIRST["depth"]
        cell = _FIRST["block"] + VALUES["block"].index("cell")
        found[found[:, _POSITIONS.index("block")] == cell, kernel] = _FIRST["kernel"]
        return found

    def sample_tokens(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.canonical_tokens(super().sample_tokens(rng, count))

    def plan(self, genotype: ConvNet) -> ConvNetPlan:
        its = self.canonical(genotype)
        return ConvNetPlan(
            its.stem,
            tuple(_width(its.width * its.growth**stage) for stage in range(its.stages)),
            its.depths[: its.stages],
            its.block,
            its.kernel,
            its.downsample,
            its.head,
        )

    def canonical(self, genotype: ConvNet) -> ConvNet:
        its = self._checked(genotype)
        dead = MAX_STAGES - its.stages
        depths: Any = (*its.depths[: its.stages], *VALUES["depth"][:1] * dead)
        kernel = VALUES["kernel"][0] if its.block == "cell" else its.kernel
        return dataclasses.replace(its, depths=depths, kernel=kernel)

    def wider(self, genotype: ConvNet) -> ConvNet | None:
        """Returns the network with the next width of its first stage; None after the last."""
        later = [width for width in VALUES["width"] if width > self._checked(genotype).width]
        return dataclasses.replace(genotype, width=later[0]) if later else None

    def describe(self, genotype: ConvNet) -> str:
        return describe_plan(self.plan(genotype))

    def to_json(self, genotype: ConvNet) -> dict[str, Any]:
        """Returns `{"space", ...}` with each choice by name; the depths are a list."""
        fields = dataclasses.asdict(self._checked(genotype))
        return {"space": self.name, **fields, "depths": list(genotype.depths)}

    def from_json(self, value: Any) -> ConvNet:
        self.check_json_space(value, "genotype")
        names = [field.name for field in dataclasses.fields(ConvNet)]
        check_fields(value, ("space", *names), "A convnet genotype")
        check_list(value["depths"], int, MAX_STAGES, "depths of a convnet genotype")
        fields = {name: value[name] for name in names if name != "depths"}
        if type(fields["growth"]) is int:  # a person may write 2 for 2.0
            fields["growth"] = float(fields["growth"])
        for name, field in fields.items():
            _check_value(name, field)
        return ConvNet(depths=tuple(value["depths"]), **fields)

    def _checked(self, genotype: ConvNet) -> ConvNet:
        if not isinstance(genotype, ConvNet):
            raise GenotypeError(
                f"A genotype of space {self.name!r} is a ConvNet. Got {genotype!r:.80}."
            )
        return genotype


_STEMS = {
    "conv_3x3": "",
    "conv_3x3_stride_2": ", on a stem of stride 2",
    "patches_4x4": ", on patches of 4x4",
}
_DOWNSAMPLES = {
    "max_pool": "max pooling",
    "avg_pool": "average pooling",
    "stride": "strides",
}
_HEADS = {
    "mean": "global mean",
    "max": "global maximum",
    "grid": "means of quarters",
    "flat": "all places",
}
_BLOCKS = {
    "plain": "plain {0}x{0} convolutions",
    "residual": "residual {0}x{0} blocks",
    "bottleneck": "bottleneck {0}x{0} blocks",
    "separable": "separable {0}x{0} blocks",
    "cell": "NAS-Bench-201 cells",
}


def describe_plan(plan: ConvNetPlan) -> str:
    """Says in words what a network is."""
    depths, widths = ", ".join(map(str, plan.depths)), "-".join(map(str, plan.widths))
    return (
        f"{len(plan.widths)} stages of {depths} {_BLOCKS[plan.block].format(plan.kernel)}, "
        f"{widths} wide{_STEMS[plan.stem]}, {_DOWNSAMPLES[plan.downsample]}, {_HEADS[plan.head]}"
    )


def _row(genotype: ConvNet) -> list[tuple[str, Any]]:
    """Returns the value at each position, with its name."""
    depths = iter(genotype.depths)
    return [(n, next(depths) if n == "depth" else getattr(genotype, n)) for n in _POSITIONS]


def _check_value(name: str, value: Any) -> None:
    known = VALUES[name]
    if type(value) is not type(known[0]) or value not in known:  # True is no 1
        raise GenotypeError(
            f"{name} of a convnet is one of {', '.join(map(str, known))}. Got {value!r:.40}."
        )


def _width(exact: float) -> int:
    return min(4 * int(exact / 4 + 0.5), LARGEST_WIDTH)
