"""Genotypes that others found and published."""

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
