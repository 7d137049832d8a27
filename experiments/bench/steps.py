"""One network's training step twice: the project's own, and its PyTorch twin's.

Both start from the same values and take the same batches, SGD with momentum and a rate that stays.
PyTorch is imported when the first twin is built.
"""

import dataclasses
import functools
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.errors import FlagError
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import count_params, initial_variables
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.published import NAONET, NASBENCH201_BEST
from xfernas_jax.space.registry import get_space
from xfernas_jax.train.config import TrainConfig
from xfernas_jax.train.parallel import (
    AXIS,
    compile_step,
    parallel,
    replicate,
    shard_table,
    unreplicate,
)
from xfernas_jax.train.schedule import make_optimizer
from xfernas_jax.train.scores import METRICS
from xfernas_jax.train.state import TaskFunctions, TrainState, initial_state
from xfernas_jax.train.step import train_step
from xfernas_jax.types import PyTree

NUM_CLASSES = 10
NUM_CHECKED_STEPS = 3
_MEAN, _STD = 127.5, 64.0  # of the pixels, about
_STEADY_EPOCHS = 10**6  # period of the cosine: the rate is the first one for all our steps

Layout = Literal["contiguous", "channels_last"]
LAYOUTS: tuple[Layout, ...] = ("contiguous", "channels_last")


class TwinError(Exception):
    """The two frameworks do not compute the same: a defect of the comparison or of a network."""


@dataclasses.dataclass(frozen=True)
class Case:
    """An architecture by a name of its own."""

    name: str
    space: Space
    genotype: Genotype


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all networks share.

    Attributes:
      network: size; without drop path, dropout and auxiliary head.
      batch_size: examples in a step.
      image_size: pixels of a side; there are three channels.
      learning_rate: of every step. Small, for some networks start with losses above 10: at 0.05
        they diverge, and a rounding error in the first step is large in the third.
      momentum: of SGD.
      seed: of initial values and images.
    """

    network: NetworkConfig
    batch_size: int = 64
    image_size: int = 32
    learning_rate: float = 0.002
    momentum: float = 0.9
    seed: int = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.image_size, self.image_size, 3)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws uint8 images `[3 B, H, W, 3]` and int32 labels: three different batches.

        An image is half noise and half its class' own picture, so that training learns from the
        first step on, and a wrong rate or momentum shows in the losses.
        """
        rng = np.random.default_rng(self.seed)
        labels = rng.integers(0, NUM_CLASSES, NUM_CHECKED_STEPS * self.batch_size, np.int32)
        pictures = rng.integers(0, 128, (NUM_CLASSES, *self.image_shape), np.uint8)
        noise = rng.integers(0, 128, (len(labels), *self.image_shape), np.uint8)
        return pictures[labels] + noise, labels


def all_cases() -> tuple[Case, ...]:
    """Returns the seven networks: two published ones, and five drawn with fixed seeds."""
    published = [("naonet", "nao11", NAONET), ("nasbench201_best", "nasbench201", NASBENCH201_BEST)]
    cases = [Case(name, get_space(space), genotype) for name, space, genotype in published]
    for name, seed in (
        ("nasbench201", 0),
        ("nasbench201", 1),
        ("nao5", 0),
        ("nao5", 1),
        ("nao11", 0),
    ):
        space = get_space(name)
        genotype = space.sample(np.random.default_rng(seed))
        cases.append(Case(f"{name}_random{seed}", space, genotype))
    return tuple(cases)


def choose_cases(names: Sequence[str]) -> tuple[Case, ...]:
    """Returns the cases of these names, all for none; `FlagError` for an unknown name."""
    known = {case.name: case for case in all_cases()}
    for name in names:
        if name not in known:
            raise FlagError(f"--networks: {name!r} is unknown. Known: {', '.join(known)}.")
    return tuple(known[name] for name in dict.fromkeys(names)) or tuple(known.values())


class Steps(Protocol):
    """A training that goes on step by step."""

    num_params: int

    def advance(self) -> None:
        """Takes one step and waits until it is done."""
        ...

    def loss(self) -> float:
        """Returns the loss of the latest step, in nats."""
        ...


class JaxSteps:
    """The project's network and train step on the first device."""

    def __init__(self, case: Case, setup: Setup, variables: PyTree, fused: int = 1) -> None:
        """Prepares; the first step compiles.

        Args:
          case: the architecture.
          setup: shared by all networks.
          variables: initial values.
          fused: steps that one call of the compiled program takes, in a loop inside it.
        """
        config = TrainConfig(
            epochs=1,
            schedule_epochs=_STEADY_EPOCHS,
            batch_size=setup.batch_size,
            learning_rate=setup.learning_rate,
            momentum=setup.momentum,
            weight_decay=0.0,
            clip_norm=0.0,
        )
        network = build_network(case.space.plan(case.genotype), setup.network, NUM_CLASSES, AXIS)

        def apply(
            variables: Any,
            images: jax.Array,
            positions: jax.Array | None,
            progress: jax.Array | float,
            train: bool,
            key: jax.Array | None,
        ) -> tuple[jax.Array, jax.Array | None, Any]:
            del key  # nothing random
            (logits, auxiliary), updated = network.apply(
                variables, images, positions, progress, train, mutable=["batch_stats"]
            )
            return logits, auxiliary, updated["batch_stats"]

        def normalize(images: jax.Array, *_: jax.Array) -> jax.Array:
            return (images.astype(jnp.float32) - _MEAN) / _STD

        images, labels = setup.data()
        table = np.arange(len(labels), dtype=np.int32).reshape(NUM_CHECKED_STEPS, -1)
        devices = jax.local_devices()[:1]
        optimizer = make_optimizer(config)
        self.num_params = count_params(variables)
        step = partial(
            train_step,
            task=TaskFunctions(apply, normalize, normalize, METRICS["accuracy"], NUM_CLASSES),
            config=config,
            optimizer=optimizer,
            axis_name=AXIS,
        )

        def chunk(state: TrainState, *fixed: jax.Array) -> TrainState:
            return jax.lax.fori_loop(0, fused, lambda _, s: step(s, *fixed), state)

        self.fused = fused
        self._step = parallel(step if fused == 1 else chunk, devices, donate=(0,))
        state = initial_state(
            variables["params"], variables["batch_stats"], optimizer, NUM_CHECKED_STEPS
        )
        self._state = replicate(state, devices)
        self._fixed = (
            replicate(images, devices),
            replicate(labels, devices),
            shard_table(table, devices),
            replicate(jax.random.key(setup.seed), devices),
        )
        self._sums, self._devices = (0.0, 0.0), devices

    @functools.cached_property
    def _compiled(self) -> Callable[..., TrainState]:
        return compile_step(self._step, self._devices, self._state, *self._fixed)

    def advance(self) -> None:
        self._state = jax.block_until_ready(self._compiled(self._state, *self._fixed))

    def take(self, count: int) -> None:
        """Takes `count` steps, a multiple of the fused ones, and waits once at their end."""
        for _ in range(count // self.fused):
            self._state = self._compiled(self._state, *self._fixed)
        jax.block_until_ready(self._state)

    def loss(self) -> float:
        """See `Steps`; asked after every step, for the state keeps only the sum."""
        self._sums = (self._sums[1], float(unreplicate(self._state.loss_sum)))
        return self._sums[1] - self._sums[0]


class TorchSteps:
    """The PyTorch twin on the CPU, eager or by `torch.compile`."""

    def __init__(
        self, case: Case, setup: Setup, variables: PyTree, layout: Layout, compiled: bool = False
    ) -> None:
        """Prepares; see `JaxSteps`. `MissingExtraError` without PyTorch.

        Args:
          case: the architecture.
          setup: shared by all networks.
          variables: initial values.
          layout: of images and kernels in memory.
          compiled: whether the network is compiled on its first step.
        """
        twin = importlib.import_module("experiments.bench.torch_network")
        torch = self._torch = twin.torch
        plan = case.space.plan(case.genotype)
        model = twin.Network(plan, setup.network, setup.image_shape, NUM_CLASSES)
        twin.load_variables(model, variables)
        self._format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        model = model.to(memory_format=self._format).train()
        self.num_params = twin.count_params(model)
        self._model = torch.compile(model) if compiled else model
        self._optimizer = torch.optim.SGD(
            model.parameters(), lr=setup.learning_rate, momentum=setup.momentum
        )
        images, labels = setup.data()
        channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        self._images = torch.from_numpy(channels_first).to(memory_format=self._format)
        self._labels = torch.from_numpy(labels.astype(np.int64))
        self._table = torch.arange(len(labels)).reshape(NUM_CHECKED_STEPS, -1)
        self._count, self._loss = 0, None

    def advance(self) -> None:
        rows = self._table[self._count % NUM_CHECKED_STEPS]
        batch = (self._images[rows].float() - _MEAN) / _STD
        batch = batch.contiguous(memory_format=self._format)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._torch.nn.functional.cross_entropy(self._model(batch), self._labels[rows])
        loss.backward()
        self._optimizer.step()
        self._count, self._loss = self._count + 1, loss.detach()

    def loss(self) -> float:
        assert self._loss is not None, "no step was taken"
        return float(self._loss)


def start(case: Case, setup: Setup) -> tuple[JaxSteps, PyTree]:
    """Returns the JAX side and the initial values that the twins are to take."""
    network = build_network(case.space.plan(case.genotype), setup.network, NUM_CLASSES)
    variables = initial_variables(network, setup.image_shape, setup.seed)
    return JaxSteps(case, setup, variables), variables


def first_losses(steps: Steps) -> tuple[list[float], float]:
    """Takes the three checked steps; returns their losses, and the seconds of the first."""
    losses, begin = [], time.perf_counter()
    steps.advance()
    first_seconds = time.perf_counter() - begin
    losses.append(steps.loss())
    for _ in range(NUM_CHECKED_STEPS - 1):
        steps.advance()
        losses.append(steps.loss())
    return losses, first_seconds


def check_losses(
    name: str, losses: Mapping[str, Sequence[float]], tolerance: float = 1e-3
) -> float:
    """Returns the largest difference of the others' losses from `"jax"`'s.

    Raises:
      TwinError: it is above the tolerance, or a loss is not finite.
    """
    largest = 0.0
    for other, own in losses.items():
        for step, (a, b) in enumerate(zip(losses["jax"], own, strict=True), start=1):
            if not abs(a - b) <= tolerance:
                raise TwinError(
                    f"{name}: the loss of step {step} is {a:.6f} in JAX and {b:.6f} in {other}, "
                    f"which differ by more than {tolerance}."
                )
            largest = max(largest, abs(a - b))
    return largest


def check_num_params(name: str, jax_steps: Steps, other: str, steps: Steps) -> None:
    """Raises `TwinError` unless both have the same number of parameters."""
    if jax_steps.num_params != steps.num_params:
        raise TwinError(
            f"{name}: {jax_steps.num_params:,} parameters in JAX and {steps.num_params:,} in "
            f"{other}."
        )
