"""Genotypes that others found and published, and networks that everybody knows, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from xfernas_jax.errors import GenotypeError
from xfernas_jax.registry import near_hint
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.convnet import ConvNet
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.space.two_cell import Block, Cell, TwoCell

NAONET = TwoCell(
    normal=Cell(
        (
            Block((0, 1), ("conv_3x3", "avg_pool_5x5")),
            Block((2, 1), ("conv_1x3_3x1", "conv_3x3")),
            Block((0, 1), ("conv_1x1", "conv_3x3")),
            Block((0, 4), ("conv_1x3_3x1", "conv_3x3")),
            Block((1, 0), ("identity", "conv_3x3")),
        )
    ),
    reduction=Cell(
        (
            Block((0, 1), ("conv_3x3", "avg_pool_2x2")),
            Block((0, 0), ("conv_1x1", "avg_pool_3x3")),
            Block((1, 0), ("conv_1x7_7x1", "max_pool_2x2")),
            Block((0, 2), ("avg_pool_3x3", "conv_1x1")),
            Block((1, 0), ("max_pool_3x3", "conv_3x3")),
        )
    ),
)
"""NAONet, the cell pair that NAO found on CIFAR-10; of space `nao11`.

Source: github renqianluo/NAO, `NAO/cnn/dag.NAONet.json` at
db751a0fde0890b501efab64527e44d7906c94d5. NAONet-A of the PyTorch repository
(github renqianluo/NAO_pytorch, `NAO_V1/train_NAONet_A_36_cifar10.sh` at
43870038cb159d19c59f7672b228112ebbdcb866) is not quite the same: in block 2 of its reduction cell
the convolution reads input 0 and the pooling input 1.
"""

NAONET_B = TwoCell(
    normal=Cell(
        (
            Block((0, 0), ("sep_conv_5x5", "avg_pool_3x3")),
            Block((0, 2), ("sep_conv_5x5", "avg_pool_3x3")),
            Block((1, 0), ("max_pool_3x3", "avg_pool_3x3")),
            Block((4, 1), ("sep_conv_3x3", "max_pool_3x3")),
            Block((2, 0), ("sep_conv_5x5", "max_pool_3x3")),
        )
    ),
    reduction=Cell(
        (
            Block((1, 1), ("sep_conv_5x5", "sep_conv_3x3")),
            Block((2, 2), ("sep_conv_5x5", "identity")),
            Block((1, 2), ("sep_conv_3x3", "max_pool_3x3")),
            Block((3, 2), ("sep_conv_5x5", "avg_pool_3x3")),
            Block((0, 0), ("avg_pool_3x3", "avg_pool_3x3")),
        )
    ),
)
"""NAONet-B, found by NAO with weight sharing on CIFAR-10; of space `nao5`.

Source: github renqianluo/NAO_pytorch, `NAO_V1/train_NAONet_B_36_cifar10.sh` at
04fc420f0df6b13770686b0dd29027414e334e89.
"""

NASBENCH201_BEST = TopologyCell(
    (
        "nor_conv_3x3",
        "nor_conv_3x3",
        "nor_conv_3x3",
        "identity",
        "nor_conv_3x3",
        "nor_conv_1x1",
    )
)
"""The cell with the highest CIFAR-10 validation accuracy (91.61 %) of space `nasbench201`.

Source: index 6111 of NAS-Bench-201 (Dong & Yang, 2020), mean over the benchmark's seeds, 200
epochs.
"""


def _vgg(width: int) -> ConvNet:
    return ConvNet("conv_3x3", 3, width, 2.0, (2, 2, 2, 1), "plain", 3, "max_pool", "mean")


VGG_TINY, VGG_SMALL, VGG_LIKE = _vgg(8), _vgg(16), _vgg(32)
"""Pairs of 3x3 convolutions with max pooling between them; of space `convnet`.

After Simonyan & Zisserman (2015), Sec. 2.1. Deviates: three stages that begin 32 wide (the smaller
ones 16 and 8; theirs has five from 64), batch norm, and a global mean in place of three dense
layers with dropout.
"""


def _resnet(depth: int) -> ConvNet:
    blocks = (depth, depth, depth, 1)
    return ConvNet("conv_3x3", 3, 16, 2.0, blocks, "residual", 3, "stride", "mean")


RESNET8, RESNET14, RESNET20 = _resnet(1), _resnet(2), _resnet(3)
"""The residual networks of 6n + 2 layers for CIFAR-10, n = 1, 2, 3; of space `convnet`.

Source: He et al. (2016), Sec. 4.2. Deviates: short cuts between stages are 1x1 convolutions with
batch norm (option B) in place of zeros for the new channels (option A), which adds 2,752
parameters. Theirs begins at n = 3; ResNet-8 and ResNet-14 are the common smaller ones.
"""

MOBILENET_LIKE = ConvNet(
    *("conv_3x3_stride_2", 3, 16, 1.5, (1, 2, 2, 1), "separable", 3, "stride", "mean")
)
"""Inverted residuals with squeeze and excite; of space `convnet`.

After Sandler et al. (2018), Table 2, and Howard et al. (2019), Table 2. Deviates: three stages of 5
blocks from 16 to 36 channels where theirs have 17 and 15 from 16 to 320 and 160; one expansion, of
4; activations and gates as `nn.convnet_blocks.Separable` says.
"""

PUBLISHED: Mapping[str, tuple[str, Genotype]] = MappingProxyType(
    {
        "naonet": ("nao11", NAONET),
        "naonet_b": ("nao5", NAONET_B),
        "nasbench201_best": ("nasbench201", NASBENCH201_BEST),
        "vgg_tiny": ("convnet", VGG_TINY),
        "vgg_small": ("convnet", VGG_SMALL),
        "vgg_like": ("convnet", VGG_LIKE),
        "resnet8": ("convnet", RESNET8),
        "resnet14": ("convnet", RESNET14),
        "resnet20": ("convnet", RESNET20),
        "mobilenet_like": ("convnet", MOBILENET_LIKE),
    }
)
"""The name of the space, and the genotype, by name."""


def find_published(name: str) -> tuple[str, Genotype]:
    """Returns the space's name and the genotype; `GenotypeError` for an unknown name."""
    if name not in PUBLISHED:
        raise GenotypeError(
            f"No published architecture has the name {name!r:.80}. {near_hint(name, PUBLISHED)}"
            f"Known: {', '.join(PUBLISHED)}."
        )
    return PUBLISHED[name]
