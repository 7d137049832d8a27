"""Names of operations, grouped into the op sets of the published search spaces.

A name is all that a space knows of an operation; `nn/ops.py` builds it. An op set's order is
the order of its tokens, so it must never change: histories hold genotypes, caches hold tokens.
"""

IDENTITY = "identity"
NONE = "none"

NAO5 = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "identity")
"""NAO's small set. Source: github renqianluo/NAO_pytorch, `NAO_V1/operations.py`."""

NAO11 = (
    "identity",
    "conv_1x1",
    "conv_3x3",
    "conv_1x3_3x1",
    "conv_1x7_7x1",
    "max_pool_2x2",
    "max_pool_3x3",
    "max_pool_5x5",
    "avg_pool_2x2",
    "avg_pool_3x3",
    "avg_pool_5x5",
)
"""NAO's large set. Source: ids 5 to 15 in github renqianluo/NAO_pytorch, `NAO_V1/model.py`."""

NASNET = (
    "identity",
    "conv_1x3_3x1",
    "conv_1x7_7x1",
    "dil_conv_3x3",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "conv_1x1",
    "conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)
"""The 13 operations of NASNet (Zoph et al., 2018)."""

NASBENCH201 = ("none", "identity", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The set of NAS-Bench-201 in its index order; `identity` is officially `skip_connect`."""

ZERO_KEEPING = frozenset(
    {IDENTITY, NONE}
    | {f"max_pool_{k}x{k}" for k in (2, 3, 5, 7)}
    | {f"avg_pool_{k}x{k}" for k in (2, 3, 5)}
)
"""Operations that turn a node of zeros into zeros.

Those with parameters are not among them: their batch norm adds a learned bias. An operation of
a user's own is taken to be like those.
"""
