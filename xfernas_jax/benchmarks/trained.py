"""A benchmark that compiles an architecture, trains it and measures its validation accuracy."""

import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import flax
import jax
import numpy as np

from xfernas_jax.benchmarks.base import Scored
from xfernas_jax.benchmarks.recipes import Recipe, has_reduction_cell
from xfernas_jax.data.augment import augment_batch, normalize, normalizer
from xfernas_jax.data.base import ImageDataset, Split
from xfernas_jax.data.pipeline import epoch_indices, eval_indices
from xfernas_jax.errors import RecipeError, TrainingDivergedError
from xfernas_jax.history.record import Evaluation, Purpose, Task
from xfernas_jax.nn.compile import compile_network, count_params, initial_variables
from xfernas_jax.nn.network import Network
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.train.loop import Checkpointer, Part, Trainer, TrainResult
from xfernas_jax.train.parallel import AXIS, check_divides
from xfernas_jax.train.state import TaskFunctions
from xfernas_jax.types import Device, PyTree


class TrainedBenchmark:
    """Scores architectures by training them; see the `Benchmark` protocol."""

    def __init__(
        self,
        space: Space,
        dataset: ImageDataset,
        recipe: Recipe,
        devices: Sequence[Device] | None = None,
    ) -> None:
        """Takes what all evaluations share.

        Args:
          space: of the genotypes.
          dataset: loaded with `recipe.data`.
          recipe: network size, data handling and training.
          devices: that share each batch; None means all local ones.

        Raises:
          DeviceError: when the devices do not divide a batch size.
          RecipeError: when a space has a reduction cell that the recipe never builds.
        """
        if recipe.network.num_stages == 1 and has_reduction_cell(space):
            raise RecipeError(
                f"Recipe {recipe.name!r} has network.num_stages=1, which builds no reduction cell, "
                f"but genotypes of {space.name!r} hold one; take --recipe=cpu_two_cell or "
                "--set=network.num_stages=2."
            )
        self._space, self._dataset, self._recipe = space, dataset, recipe
        self._devices = tuple(devices or jax.local_devices())
        check_divides(recipe.train.batch_size, self._devices, "train.batch_size")
        check_divides(recipe.train.eval_batch_size, self._devices, "train.eval_batch_size")
        self._normalizer = normalizer(dataset, recipe.data)
        self._latest: tuple[str, Trainer] | None = None

    @property
    def task(self) -> Task:
        """The task that the data set poses."""
        return self._dataset.task

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        return self._space

    @property
    def recipe(self) -> str:
        """The recipe's fingerprint."""
        return self._recipe.fingerprint()

    def evaluate(
        self,
        genotype: Genotype,
        seed: int,
        purpose: Purpose = "search",
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Scored:
        """Trains and scores one architecture; a divergence gives a failed evaluation."""
        start = time.monotonic()
        variables = self.initial_variables(genotype, seed)
        result, failure, curve = None, "", ()
        try:
            result = self.train(genotype, seed, on_epoch, variables=variables)
            curve = result.curve
        except TrainingDivergedError as error:
            failure, curve = str(error), error.curve
        evaluation = Evaluation(
            genotype=genotype,
            recipe=self.recipe,
            seed=seed,
            status="failed" if result is None else "complete",
            valid_accuracy=None if result is None else result.curve[-1],
            curve=curve,
            num_params=count_params(variables),
            seconds=time.monotonic() - start,
            purpose=purpose,
            failure=failure,
            versions=versions(),
        )
        return Scored(evaluation, None if result is None else result.variables)

    def train(
        self,
        genotype: Genotype,
        seed: int,
        on_epoch: Callable[[int, float], None] | None = None,
        checkpointer: Checkpointer | None = None,
        variables: PyTree | None = None,
    ) -> TrainResult:
        """Trains one architecture; `TrainingDivergedError` when its loss is not finite.

        `variables` are its initial values, by default those of `seed`.
        """
        return self._trainer(genotype).fit(
            self.initial_variables(genotype, seed) if variables is None else variables,
            _part(self._dataset.valid),
            seed,
            None if on_epoch is None else lambda r: on_epoch(r.epoch, r.valid_accuracy),
            checkpointer,
        )

    def initial_variables(self, genotype: Genotype, seed: int) -> PyTree:
        """Draws the initial `params` and `batch_stats` of an architecture on the host."""
        return initial_variables(self.network(genotype), self._dataset.input_shape, seed)

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float:
        """Returns the accuracy on the test part, a fraction."""
        return self._trainer(genotype).evaluate(variables, _part(self._dataset.test))

    def network(self, genotype: Genotype) -> Network:
        """Returns the module of a genotype."""
        axis = AXIS if self._recipe.train.sync_batch_norm else None
        classes = self._dataset.task.num_classes
        return compile_network(self._space, genotype, self._recipe.network, classes, axis)

    def _trainer(self, genotype: Genotype) -> Trainer:
        """Returns the trainer of a genotype; the latest one is kept with its programs."""
        plan = self._space.plan(genotype)
        key = repr(plan)
        if self._latest is None or self._latest[0] != key:
            self._latest = (key, self._build_trainer(genotype))
        return self._latest[1]

    def _build_trainer(self, genotype: Genotype) -> Trainer:
        network, config = self.network(genotype), self._recipe.train
        data, scale = self._recipe.data, self._normalizer

        def apply(
            variables: Any,
            images: jax.Array,
            positions: jax.Array | None,
            progress: jax.Array | float,
            train: bool,
            key: jax.Array | None,
        ) -> tuple[jax.Array, jax.Array | None, Any]:
            if not train:
                logits, _ = network.apply(variables, images)
                return logits, None, variables["batch_stats"]
            (logits, auxiliary), updated = network.apply(
                variables,
                images,
                positions,
                progress,
                True,
                mutable=["batch_stats"],
                rngs={} if key is None else {"dropout": key},
            )
            return logits, auxiliary, updated["batch_stats"]

        def augment(images: jax.Array, key: jax.Array, positions: jax.Array) -> jax.Array:
            return augment_batch(normalize(images, scale), key, positions, data)

        num_train = len(self._dataset.train)
        return Trainer(
            TaskFunctions(
                apply,
                augment,
                lambda images: normalize(images, scale),
                self._recipe.network.auxiliary_weight,
            ),
            config,
            _part(self._dataset.train),
            lambda seed, epoch: epoch_indices(num_train, config.batch_size, seed, epoch),
            eval_indices,
            self._devices,
        )


def _part(split: Split) -> Part:
    return Part(np.asarray(split.images), np.asarray(split.labels))


def versions() -> tuple[tuple[str, str], ...]:
    """Returns the versions that a record keeps, as (name, version) pairs."""
    return (
        ("python", platform.python_version()),
        ("jax", jax.__version__),
        ("flax", flax.__version__),
        ("device", jax.devices()[0].device_kind),
    )
