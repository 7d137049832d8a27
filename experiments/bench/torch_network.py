"""The networks of `xfernas_jax.nn` in PyTorch: the same plan, arithmetic and parameters.

Importing this module imports PyTorch. Modules carry the names that Flax gives to theirs, so a
parameter has the same path on both sides, and `load_variables` needs no table of names. Left out:
drop path, dropout, auxiliary head, bfloat16. See `torch_ops` for padding and batch norm.
"""

from typing import Any

import numpy as np
from flax import traverse_util

from experiments.bench.torch_ops import (
    ConvBn,
    FactorizedReduction,
    Pool,
    Shape,
    Unit,
    batch_norm,
    build_op,
    torch,
)
from xfernas_jax.errors import RecipeError
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space.graph import CellGraph, NetworkPlan
from xfernas_jax.types import PyTree


class Cell(Unit):
    """See `nn.cell.Cell`."""

    def __init__(
        self,
        graph: CellGraph,
        config: NetworkConfig,
        inputs: tuple[Shape, ...],
        filters: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.output, out = graph.output, inputs[0].after(stride, filters)
        shapes = list(inputs)
        self.calibrations: list[str | None] = [None] * len(inputs)  # names of children, or none
        if graph.num_inputs == 2:
            for i, shape in enumerate(inputs):
                halved = shape.height != inputs[-1].height
                kind = FactorizedReduction if halved else ConvBn
                self.calibrations[i] = self.add(kind(config, shape, filters))
                shapes[i] = inputs[-1]._replace(channels=filters)
            out = shapes[0].after(stride)
        self.zeros = out
        self.branches: list[list[tuple[str, int]]] = []  # of each node: (name, source)
        for i, edges in enumerate(graph.nodes):
            branches = []
            for j, edge in enumerate(edges):
                own = stride if edge.source < graph.num_inputs else 1
                name = f"node{i}_edge{j}_{edge.op}"
                self.add_module(name, build_op(edge.op, config, shapes[edge.source], filters, own))
                branches.append((name, edge.source))
            self.branches.append(branches)
            shapes.append(out)
        self.joined: list[tuple[str | None, int]] = []
        self.shape = out
        if graph.output == "concat_unused":
            for index in graph.unused():
                passes = stride > 1 and index < graph.num_inputs
                reduction = FactorizedReduction(config, shapes[index], filters) if passes else None
                self.joined.append((None if reduction is None else self.add(reduction), index))
            width = sum(filters if name else shapes[i].channels for name, i in self.joined)
            self.shape = out._replace(channels=width)

    def forward(self, *inputs: Any) -> Any:
        states = [
            getattr(self, name)(x) if name else x
            for name, x in zip(self.calibrations, inputs, strict=True)
        ]
        for branches in self.branches:
            total = None
            for name, source in branches:
                branch = getattr(self, name)(states[source])
                total = branch if total is None else total + branch
            if total is None:
                total = states[0].new_zeros((states[0].shape[0], *self.zeros))
            states.append(total)
        if self.output == "last":
            return states[-1]
        joined = [getattr(self, name)(states[i]) if name else states[i] for name, i in self.joined]
        return torch.cat(joined, 1)


class ResidualReduction(Unit):
    """See `nn.cell.ResidualReduction`."""

    def __init__(self, config: NetworkConfig, shape: Shape, filters: int) -> None:
        super().__init__()
        self.shape = shape.after(2, filters)
        self.add(ConvBn(config, shape, filters, ((3, 3),), 2))
        self.add(ConvBn(config, self.shape, filters, ((3, 3),)))
        self.pool = Pool(config, shape, shape.channels, "avg", 2, 2)
        self.add(torch.nn.Conv2d(shape.channels, filters, 1, bias=False), "Conv")

    def forward(self, x: Any) -> Any:
        return self.ConvBn_1(self.ConvBn_0(x)) + self.Conv_0(self.pool(x))


class Network(Unit):
    """See `nn.network.Network`; takes images `[B, C, H, W]` and returns logits."""

    def __init__(
        self,
        plan: NetworkPlan,
        config: NetworkConfig,
        image_shape: tuple[int, int, int],
        num_classes: int,
    ) -> None:
        """Builds the twin of a network.

        Args:
          plan: its cells.
          config: its size.
          image_shape: (height, width, channels).
          num_classes: of the classifier.

        Raises:
          RecipeError: for drop path, dropout, an auxiliary head or bfloat16.
          GenotypeError: for an operation without a twin.
        """
        super().__init__()
        _check(config)
        height, width, channels = image_shape
        two_inputs = plan.normal.num_inputs == 2
        filters = config.filters
        shape = Shape(channels, height, width)
        stem_filters = filters * (config.stem_multiplier if two_inputs else 1)
        self.stem = ConvBn(config, shape, stem_filters, ((3, 3),), relu=False)
        self.two_inputs, self.cells = two_inputs, []
        stage, shape = config.num_cells, self.stem.shape
        reductions = [(stage + 1) * s + stage for s in range(config.num_stages - 1)]
        previous = shape
        for index in range(config.num_stages * stage + len(reductions)):
            reduce = index in reductions
            filters *= 2 if reduce else 1
            graph = plan.reduction if reduce else plan.normal
            name = f"cell{index}"
            if graph is None:
                cell = ResidualReduction(config, shape, filters)
            else:
                inputs = (previous, shape) if graph.num_inputs == 2 else (shape,)
                cell = Cell(graph, config, inputs, filters, 2 if reduce else 1)
            self.add_module(name, cell)
            self.cells.append((name, 1 if graph is None else graph.num_inputs))
            previous, shape = shape, cell.shape
        if not two_inputs:
            self.last_norm = batch_norm(shape.channels, config)
        self.classifier = torch.nn.Linear(shape.channels, num_classes)

    def forward(self, images: Any) -> Any:
        previous = x = self.stem(images)
        for name, num_inputs in self.cells:
            inputs = (previous, x) if num_inputs == 2 else (x,)
            previous, x = x, getattr(self, name)(*inputs)
        if not self.two_inputs:
            x = self.last_norm(x)
        return self.classifier(torch.relu(x).mean((2, 3)))


def _check(config: NetworkConfig) -> None:
    plain = config.drop_path_keep == config.dropout_keep == 1.0 and not config.auxiliary_weight
    if not plain or config.dtype != "float32":
        raise RecipeError(
            "The PyTorch twin has no drop path, dropout, auxiliary head or bfloat16; set "
            "drop_path_keep and dropout_keep to 1, auxiliary_weight to 0, dtype to float32."
        )


_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def load_variables(module: Any, variables: PyTree) -> None:
    """Copies Flax variables into the module's parameters and statistics, path by path.

    Args:
      module: changed in place.
      variables: `params` and `batch_stats`, arrays of any kind.

    Raises:
      RecipeError: when the two do not have the same names and shapes.
    """
    own = {name: value for name, value in module.state_dict().items() if "num_batches" not in name}
    flat: dict[tuple[str, ...], Any] = {}
    for part in ("params", "batch_stats"):
        flat.update(traverse_util.flatten_dict(variables.get(part, {})))  # type: ignore[arg-type]
    given = {".".join((*path[:-1], _LEAVES[path[-1]])): _as_torch(v) for path, v in flat.items()}
    for name in sorted(own.keys() | given.keys()):
        shapes = [tuple(part[name].shape) if name in part else None for part in (own, given)]
        if shapes[0] != shapes[1]:
            raise RecipeError(
                f"{name} has the shape {shapes[0]} in PyTorch and {shapes[1]} in Flax; "
                "None means absent."
            )
        own[name].copy_(given[name])


def _as_torch(value: Any) -> Any:
    """Turns kernels from HWIO to OIHW and dense ones from (in, out) to (out, in)."""
    array = np.asarray(value)
    order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)
    return torch.from_numpy(np.array(array if order is None else array.transpose(order)))


def count_params(module: Any) -> int:
    """Returns the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
