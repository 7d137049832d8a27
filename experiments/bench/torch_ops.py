"""The operations of `xfernas_jax.nn.ops` in PyTorch: the same arithmetic and parameters.

Importing this module imports PyTorch. Modules carry the names that Flax gives to theirs. What
PyTorch cannot say with its own padding (a stride of 2 on an even image pads one side more) is
padded explicitly; everything else is PyTorch's own operation, as its user would write it.

Differs: PyTorch's running variance is the unbiased one, `n / (n - 1)` times Flax's batch variance
for `n` values of a channel; training does not read it.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from xfernas_jax.errors import GenotypeError, MissingExtraError
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.nn.shifts import same_padding

try:
    torch: Any = importlib.import_module("torch")
except ImportError as missing:
    raise MissingExtraError(
        "This comparison needs torch; run `make setup EXTRAS=bench`."
    ) from missing

F = torch.nn.functional


class Shape(NamedTuple):
    """Channels, height and width of an image; sizes are known before the first batch."""

    channels: int
    height: int
    width: int

    def after(self, stride: int, channels: int | None = None) -> "Shape":
        """Returns the shape behind an operation under "SAME" padding."""
        new = self.channels if channels is None else channels
        return Shape(new, -(-self.height // stride), -(-self.width // stride))


class Unit(torch.nn.Module):
    """A module whose children are called as Flax calls those of an `nn.compact` method."""

    def add(self, child: Any, kind: str | None = None) -> str:
        """Registers a child as `KIND_i`, the `i`-th of its class, and returns that name."""
        kind = kind or type(child).__name__
        number = sum(name.rpartition("_")[0] == kind for name in self._modules)
        name = f"{kind}_{number}"
        self.add_module(name, child)
        return name


class Chain(Unit):
    """A unit that applies its children in order."""

    def forward(self, x: Any) -> Any:
        for layer in self.children():
            x = layer(x)
        return x


class Conv(torch.nn.Conv2d):
    """A convolution without bias under "SAME" padding."""

    def __init__(
        self,
        shape: Shape,
        filters: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        (top, bottom), (left, right) = (
            same_padding(*axis, dilation) for axis in zip(shape[1:], kernel, stride, strict=True)
        )
        even = top == bottom and left == right
        super().__init__(
            shape.channels,
            filters,
            kernel,
            stride,
            padding=(top, left) if even else 0,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.extra = None if even else (left, right, top, bottom)

    def forward(self, x: Any) -> Any:
        return super().forward(x if self.extra is None else F.pad(x, self.extra))


def batch_norm(channels: int, config: NetworkConfig) -> Any:
    """Builds a batch norm; PyTorch's momentum is the share of the new statistics."""
    return torch.nn.BatchNorm2d(channels, eps=1e-5, momentum=1.0 - config.bn_momentum)


class ConvBn(Chain):
    """See `nn.ops.ConvBn`."""

    def __init__(
        self,
        config: NetworkConfig,
        shape: Shape,
        filters: int,
        kernels: tuple[tuple[int, int], ...] = ((1, 1),),
        stride: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.relu = relu
        strides = [(stride, stride)] if len(kernels) == 1 else [(1, stride), (stride, 1)]
        for kernel, (down, right) in zip(kernels, strides, strict=True):
            self.add(Conv(shape, filters, kernel, (down, right)))
            shape = Shape(filters, -(-shape.height // down), -(-shape.width // right))
        self.add(batch_norm(filters, config), "BatchNorm")
        self.shape = shape

    def forward(self, x: Any) -> Any:
        return super().forward(F.relu(x) if self.relu else x)


class DepthwiseConv(Conv):
    """See `nn.ops.DepthwiseConv`."""

    def __init__(self, shape: Shape, size: int, stride: int, dilation: int) -> None:
        super().__init__(
            shape, shape.channels, (size, size), (stride, stride), dilation, shape.channels
        )


class SepConv(Unit):
    """See `nn.ops.SepConv`."""

    def __init__(
        self,
        config: NetworkConfig,
        shape: Shape,
        filters: int,
        size: int,
        stride: int,
        dilation: int,
        repeats: int,
    ) -> None:
        super().__init__()
        for i in range(repeats):
            step = stride if i == 0 else 1
            self.add(DepthwiseConv(shape, size, step, dilation))
            shape = shape.after(step)
            self.add(ConvBn(config, shape, filters, relu=False))
            shape = shape.after(1, filters)
        self.shape = shape

    def forward(self, x: Any) -> Any:
        for i, layer in enumerate(self.children()):
            x = layer(F.relu(x) if i % 2 == 0 else x)
        return x


class Pool(Chain):
    """See `nn.ops.Pool`. Padding is never a maximum, and does not count into a mean.

    PyTorch pads both sides alike. Where "SAME" pads the far side by one more, a stride of 2 or
    more reaches it by `ceil_mode`, and a stride of 1 pads both sides by more and drops the first
    row and column.
    """

    def __init__(
        self, config: NetworkConfig, shape: Shape, filters: int, kind: str, size: int, stride: int
    ) -> None:
        super().__init__()
        self.kind, self.size, self.stride = kind, size, stride
        self.shape = shape.after(stride)
        pads = [same_padding(n, size, stride) for n in shape[1:]]
        self.padding = tuple(high if stride == 1 else low for low, high in pads)
        if shape.channels != filters:
            self.add(ConvBn(config, self.shape, filters))
            self.shape = self.shape._replace(channels=filters)

    def forward(self, x: Any) -> Any:
        options = {"stride": self.stride, "padding": self.padding, "ceil_mode": self.stride > 1}
        if self.kind == "max":
            x = F.max_pool2d(x, self.size, **options)
        else:
            x = F.avg_pool2d(x, self.size, count_include_pad=False, **options)
        top, left = x.shape[2] - self.shape.height, x.shape[3] - self.shape.width
        return super().forward(x[:, :, top:, left:] if top or left else x)


class FactorizedReduction(Unit):
    """See `nn.ops.FactorizedReduction`."""

    def __init__(self, config: NetworkConfig, shape: Shape, filters: int) -> None:
        super().__init__()
        self.odd = (0, shape.width % 2, 0, shape.height % 2)  # the shifted image's lost places
        self.two = filters > 1
        for width in (filters - filters // 2, filters // 2):
            if width:
                conv = torch.nn.Conv2d(shape.channels, width, 1, stride=2, bias=False)
                self.add(conv, "Conv")
        self.add(batch_norm(filters, config), "BatchNorm")
        self.shape = shape.after(2, filters)

    def forward(self, x: Any) -> Any:
        x = F.relu(x)
        halves = [self.Conv_0(x)]
        if self.two:
            shifted = (F.pad(x, self.odd) if any(self.odd) else x)[:, :, 1:, 1:]
            halves.append(self.Conv_1(shifted))
        return self.BatchNorm_0(torch.cat(halves, 1))


class Identity(Chain):
    """See `nn.ops.Identity`."""

    def __init__(self, config: NetworkConfig, shape: Shape, filters: int, stride: int) -> None:
        super().__init__()
        self.shape = shape.after(stride, filters)
        if stride > 1:
            self.add(FactorizedReduction(config, shape, filters))
        elif shape.channels != filters:
            self.add(ConvBn(config, shape, filters))


OpBuilder = Callable[[NetworkConfig, Shape, int, int], Any]


def _conv(*kernels: tuple[int, int]) -> OpBuilder:
    return lambda config, shape, filters, stride: ConvBn(config, shape, filters, kernels, stride)


def _sep(size: int, dilation: int = 1, repeats: int = 2) -> OpBuilder:
    return lambda config, shape, filters, stride: SepConv(
        config, shape, filters, size, stride, dilation, repeats
    )


def _pool(kind: str, size: int) -> OpBuilder:
    return lambda config, shape, filters, stride: Pool(config, shape, filters, kind, size, stride)


_OPS: dict[str, OpBuilder] = {
    "identity": Identity,
    "conv_1x1": _conv((1, 1)),
    "conv_3x3": _conv((3, 3)),
    "conv_1x3_3x1": _conv((1, 3), (3, 1)),
    "conv_1x7_7x1": _conv((1, 7), (7, 1)),
    "sep_conv_3x3": _sep(3),
    "sep_conv_5x5": _sep(5),
    "sep_conv_7x7": _sep(7),
    "dil_conv_3x3": _sep(3, dilation=2, repeats=1),
    "nor_conv_1x1": _conv((1, 1)),
    "nor_conv_3x3": _conv((3, 3)),
    **{f"max_pool_{k}x{k}": _pool("max", k) for k in (2, 3, 5, 7)},
    **{f"avg_pool_{k}x{k}": _pool("avg", k) for k in (2, 3, 5)},
}


def build_op(op: str, config: NetworkConfig, shape: Shape, filters: int, stride: int) -> Any:
    """Returns operation `op` on images of `shape`; `GenotypeError` where there is none."""
    if op not in _OPS:
        raise GenotypeError(
            f"Operation {op!r} has no PyTorch twin. Those with one: {', '.join(sorted(_OPS))}."
        )
    return _OPS[op](config, shape, filters, stride)
