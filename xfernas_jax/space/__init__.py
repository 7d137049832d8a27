"""Search spaces: genotypes, their tokens, and the cells that they stand for."""

from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.canonical import canonical_graph, prune
from xfernas_jax.space.categorical import Assignment, CategoricalSpace
from xfernas_jax.space.convnet import ConvNet, ConvNetPlan, ConvNetSpace
from xfernas_jax.space.genotype_file import read_genotype, read_space_name, write_genotype
from xfernas_jax.space.graph import CellGraph, Edge, NetworkPlan, Plan
from xfernas_jax.space.nasbench201 import (
    NasBench201Space,
    TopologyCell,
    format_official,
    parse_official,
)
from xfernas_jax.space.published import NAONET, NAONET_B, NASBENCH201_BEST, PUBLISHED
from xfernas_jax.space.registry import SPACES, get_space
from xfernas_jax.space.two_cell import Block, Cell, TwoCell, TwoCellSpace

__all__ = [
    "NAONET",
    "NAONET_B",
    "NASBENCH201_BEST",
    "PUBLISHED",
    "SPACES",
    "Assignment",
    "Block",
    "CategoricalSpace",
    "Cell",
    "CellGraph",
    "ConvNet",
    "ConvNetPlan",
    "ConvNetSpace",
    "Edge",
    "Genotype",
    "NasBench201Space",
    "NetworkPlan",
    "Plan",
    "Space",
    "TopologyCell",
    "TwoCell",
    "TwoCellSpace",
    "canonical_graph",
    "format_official",
    "get_space",
    "parse_official",
    "prune",
    "read_genotype",
    "read_space_name",
    "write_genotype",
]
