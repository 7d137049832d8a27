"""An evaluator that compiles an architecture, trains it and measures its validation part."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import platform
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import closing, nullcontext
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.data.augment import augment_batch, normalize, normalizer
from xfernas_jax.data.base import ImageDataset, Split
from xfernas_jax.data.pipeline import epoch_indices, eval_indices
from xfernas_jax.data.stream import Residence, is_streamed, read_batches
from xfernas_jax.errors import RecipeError, TrainingDivergedError
from xfernas_jax.evaluate.base import Answer, OnEpoch, Part, Scored, Stop
from xfernas_jax.evaluate.fits import check_fits
from xfernas_jax.evaluate.inference import all_logits, evaluated, inference
from xfernas_jax.evaluate.pace import TimePace
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.history.record import Job, Result
from xfernas_jax.nn.costs import NetworkCosts, find_cost
from xfernas_jax.nn.members import averaged, parted
from xfernas_jax.nn.programs import (
    LARGEST_SHARED_WORK,
    Program,
    ProgramChoice,
    Programs,
    shared_work,
)
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.train.feed import Feed, ResidentFeed, StreamedFeed
from xfernas_jax.train.initial import EarlierVariables
from xfernas_jax.train.loop import Checkpointer, Interrupt, Pace, Trainer, TrainResult
from xfernas_jax.train.losses import balanced_weights
from xfernas_jax.train.parallel import AXIS, own_devices
from xfernas_jax.train.scores import METRICS, TrainedMetric
from xfernas_jax.train.state import TaskFunctions
from xfernas_jax.train.unfinished import UnfinishedTraining
from xfernas_jax.types import Device, PyTree

_KEPT_TRAINERS = 3  # of the evaluation before, of the present one, and of one compiled ahead


class TrainedEvaluator:
    """Scores architectures by training them; see the `Evaluator` protocol."""

    def __init__(
        self,
        space: Space,
        dataset: ImageDataset,
        recipe: Recipe,
        devices: Sequence[Device] | None = None,
        programs: ProgramChoice = "auto",
        residence: Residence = "auto",
        unfinished_dir: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float | None = None,
        costs: Sequence[str] = (),
        metric: TrainedMetric = METRICS["accuracy"],
        initial: EarlierVariables | None = None,
    ) -> None:
        """Takes what all evaluations share.

        Args:
          space: of the genotypes.
          dataset: loaded with `recipe.data`.
          recipe: network size, data handling and training.
          devices: that share each batch; None means all, of all hosts.
          programs: "own" compiles every network; "shared" compiles one program for all networks
            that it can stand for under plain SGD (see `nn/shared.py`); "auto" takes that one where
            trainings are short.
          residence: "device" puts the data on every device, "stream" sends it batch by batch,
            "auto" streams what would take much of a device's memory. Results are the same.
          unfinished_dir: keeps the states of stopped evaluations, which go on from there when
            they are evaluated again; None keeps nothing.
          checkpoint_seconds: between the states that it keeps of an evaluation that runs, which
            goes on from there in any process that sees the folder; None keeps none.
          costs: names for `nn.costs.find_cost`, that each evaluation records beside the
            parameters. What is measured is measured on one image.
          metric: that networks are measured by.
          initial: where a training starts from, as far as it fits; `train.initial` of the recipe is
            its digest.

        Raises:
          DeviceError: when the devices do not divide a batch size.
          RecipeError: when a space has a reduction cell that the recipe never builds.
        """
        self.space, self._dataset, self._recipe = space, dataset, recipe
        self.recipe = recipe.fingerprint()
        self._devices = tuple(devices or jax.devices())
        check_fits(space, recipe, self._devices)
        self.normalizer = normalizer(dataset, recipe.data)
        train, *others = (math.prod(part.images.shape) for part in dataset.parts().values())
        size = train + max(others)
        self._is_streamed = is_streamed(residence, size, own_devices(self._devices))
        examples = recipe.train.epochs * len(dataset.train)
        work = shared_work(recipe.network, dataset.input_shape, examples)
        num_classes = dataset.task.num_classes
        assert num_classes is not None  # an `ImageDataset` has them
        self._metric, self._num_classes = metric, num_classes
        self._initial = initial
        self.task = dataclasses.replace(dataset.task, metric=metric.plain())
        plain_sgd = recipe.train.optimizer == "sgd"  # others may look at whole tensors
        self._programs = Programs(
            recipe.network,
            num_classes,
            dataset.input_shape,
            AXIS if recipe.train.sync_batch_norm else None,
            share=plain_sgd
            and (programs == "shared" or (programs == "auto" and work <= LARGEST_SHARED_WORK)),
        )
        self._trainers: dict[Hashable, Trainer] = {}
        self._unfinished_dir = None if unfinished_dir is None else pathlib.Path(unfinished_dir)
        self._checkpoint_seconds = checkpoint_seconds
        self._lock = threading.Lock()
        self._answering: tuple[Any, Callable[..., jax.Array]] | None = None
        names = tuple(dict.fromkeys(("params", *costs)))
        self._costs = tuple(find_cost(name) for name in names)
        self._network_costs = NetworkCosts(
            space, recipe.network, num_classes, dataset.input_shape, names
        )

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        """Trains and scores one architecture; see `Evaluator.evaluate`.

        Raises:
          RecipeError: the recipe trains on the validation part, so it cannot score.
        """
        if self._recipe.data.valid_in_train:
            raise RecipeError(
                "data.valid_in_train=true leaves no validation images to compare architectures "
                "on; it is for the last training, `run.py train`."
            )
        start, genotype, seed = time.monotonic(), job.genotype, job.seed
        variables = self.initial_variables(genotype, seed)
        result, status, failure = None, "failed", ""
        unfinished = self._unfinished(genotype, seed)
        pace = None
        if job.limit_seconds is not None:
            self.prepare(genotype)
            pace = TimePace(start + job.limit_seconds, self._recipe.train.epochs)
        try:
            with nullcontext() if unfinished is None else closing(unfinished):
                result = self.train(
                    genotype, seed, on_epoch, unfinished, variables, stop, pace=pace
                )
            curve = result.curve
            status = "complete" if len(curve) == result.planned_epochs else "stopped"
        except TrainingDivergedError as error:
            failure, curve = str(error), error.curve
        if unfinished is not None and status != "stopped":
            unfinished.delete()
        costs = self._costs_of(genotype, variables)
        is_complete = result is not None and status == "complete"
        return Scored(
            Result(
                status=status,
                value=curve[-1] if is_complete else None,
                curve=curve,
                costs=costs,
                seconds=time.monotonic() - start,
                failure=failure,
                versions=versions(),
            ),
            result.variables if result is not None and is_complete else None,
        )

    def _costs_of(self, genotype: Genotype, variables: PyTree) -> tuple[tuple[str, float], ...]:
        """Returns the parameters, and what else was asked for, in that order."""
        found = dict(self._network_costs(genotype))
        for cost in self._costs:
            if cost.measure is not None:
                image = self._dataset.valid.images[:1]
                found[cost.name] = float(cost.measure(self.inference(genotype), variables, image))
        return tuple((cost.name, found[cost.name]) for cost in self._costs)

    def train(
        self,
        genotype: Genotype,
        seed: int,
        on_epoch: OnEpoch | None = None,
        checkpointer: Checkpointer | None = None,
        variables: PyTree | None = None,
        stop: Stop | None = None,
        interrupt: Interrupt | None = None,
        pace: Pace | None = None,
    ) -> TrainResult:
        """Trains one architecture; see `Trainer.fit` for the arguments and what it raises.

        `variables` are its initial values, by default those of `seed`.
        """
        program = self._program(genotype)
        result = self._trainer(program).fit(
            program.enter(
                self.initial_variables(genotype, seed) if variables is None else variables
            ),
            self._valid,
            seed,
            on_epoch,
            checkpointer,
            stop,
            interrupt,
            pace,
        )
        return dataclasses.replace(result, variables=program.leave(result.variables))

    def identity(self, genotype: Genotype, seed: int) -> dict[str, Any]:
        """Returns a JSON object of all that decides the result of a training.

        The metric is named where it is not accuracy, which version 0.1.0 knew alone.
        """
        name = self._metric.name
        return {
            "genotype": self.space.to_json(genotype),
            "dataset": self.task.dataset,
            "split": self.task.split,
            "recipe": self.recipe,
            "seed": seed,
            "program": self._program(genotype).name,
            **({} if name == "accuracy" else {"metric": name}),
        }

    def _unfinished(self, genotype: Genotype, seed: int) -> UnfinishedTraining | None:
        """Returns where an evaluation is kept when it stops, and while it runs."""
        if self._unfinished_dir is None:
            return None
        identity = self.identity(genotype, seed)
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return UnfinishedTraining(self._unfinished_dir / digest, identity, self._checkpoint_seconds)

    def prepare(self, genotype: Genotype) -> None:
        """Compiles the training of an architecture, while another thread may train another."""
        program = self._program(genotype)
        variables = program.enter(program.initial_variables(0))
        self._trainer(program).compile(variables, self._valid)

    def initial_variables(self, genotype: Genotype, seed: int) -> PyTree:
        """Draws the initial `params` and `batch_stats` of an architecture on the host.

        Those that fit are the earlier network's, where the recipe starts from one.

        Raises:
          RecipeError: it starts from another one than was given, or from one and none was.
        """
        drawn, initial = self._program(genotype).initial_variables(seed), self._initial
        if self._recipe.train.initial != ("" if initial is None else initial.digest):
            raise RecipeError(
                "Trainings of this study start from an earlier network's variables, which are not "
                "those that were given now; give the same --initial_variables."
            )
        return drawn if initial is None else initial.into(drawn)

    def inference(
        self, genotype: Genotype, num_members: int = 1
    ) -> Callable[[Any, jax.Array], jax.Array]:
        """Returns the function from variables and uint8 images to logits, to be jitted.

        Args:
          genotype: of the network.
          num_members: networks whose logits are averaged; variables are those of
            `nn.members.joined`.
        """
        network = averaged(self._programs.own(self.space.plan(genotype)), num_members)
        return inference(network, self.normalizer, self._recipe.data.test_flips)

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the metric on the test part; None where it is not finite there."""
        if len(parted(variables)) > 1:
            return self.answer(genotype, variables, "test").value
        program = self._program(genotype)
        part = self._feed(self._dataset.test)
        value = self._trainer(program).evaluate(program.enter(variables), part)
        return value if math.isfinite(value) else None

    def answer(self, genotype: Genotype, variables: Any, part: Part) -> Answer:
        """Returns what a network says of a part's images; see `Answering.answer`.

        On one device, since it is asked once; images are read as they are needed. Of several
        networks one is compiled, and they are asked one after the other.
        """
        split, metric, plan = self._dataset.parts()[part], self._metric, self.space.plan(genotype)
        if self._answering is None or self._answering[0] != plan:
            self._answering = plan, jax.jit(self.inference(genotype))
        infer = self._answering[1]  # asked of two parts it is compiled once
        with jax.default_device(own_devices(self._devices)[0]):
            longest = max(len(self._dataset.valid), len(self._dataset.test))
            size = min(self._recipe.train.eval_batch_size, longest)
            members = [all_logits(infer, v, split.images, size) for v in parted(variables)]
            logits = np.mean(members, axis=0)
            labels = jnp.asarray(split.labels)
            sums = metric.batch(jnp.asarray(logits), labels, jnp.ones(len(split), bool))
            value = metric.finish(jax.device_get(sums), len(split))
        return Answer(value if math.isfinite(value) else None, logits)

    @functools.cached_property
    def _train(self) -> Feed:
        """The training part: placed once, whatever is trained on it."""
        return self._feed(self._dataset.train)

    @functools.cached_property
    def _valid(self) -> Feed:
        return self._feed(self._dataset.valid)

    def _feed(self, split: Split) -> Feed:
        part = (split.images, split.labels, self._devices)
        return StreamedFeed(*part, read_batches) if self._is_streamed else ResidentFeed(*part)

    def _program(self, genotype: Genotype) -> Program:
        return self._programs.of(self.space.plan(genotype))

    def _trainer(self, program: Program) -> Trainer:
        """Returns the trainer of a program; the latest ones are kept, compiled."""
        with self._lock:
            trainer = self._trainers.pop(program.key, None) or self._build_trainer(program.module)
            latest = list(self._trainers.items())[1 - _KEPT_TRAINERS :]
            self._trainers = dict([*latest, (program.key, trainer)])
            return trainer

    def _build_trainer(self, network: nn.Module) -> Trainer:
        config, data, scale = self._recipe.train, self._recipe.data, self.normalizer
        weights = None
        if config.class_weights != "none":
            power = 0.5 if config.class_weights == "root" else 1.0
            weights = balanced_weights(self._dataset.train.labels, self._num_classes, power)

        def apply(
            variables: Any,
            images: jax.Array,
            positions: jax.Array | None,
            progress: jax.Array | float,
            train: bool,
            key: jax.Array | None,
        ) -> tuple[jax.Array, jax.Array | None, Any]:
            if not train:
                logits = evaluated(network, variables, images, data.test_flips)
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
            return logits, auxiliary, updated.get("batch_stats", {})

        def augment(images: jax.Array, key: jax.Array, positions: jax.Array) -> jax.Array:
            return augment_batch(normalize(images, scale), key, positions, data)

        return Trainer(
            TaskFunctions(
                apply,
                augment,
                lambda images: normalize(images, scale),
                self._metric,
                self._num_classes,
                self._recipe.network.auxiliary_weight,
                weights,
            ),
            config,
            self._train,
            functools.partial(epoch_indices, len(self._dataset.train), config.batch_size),
            eval_indices,
            self._devices,
        )


def versions() -> tuple[tuple[str, str], ...]:
    """Returns the versions that a record keeps, as (name, version) pairs."""
    return (
        ("python", platform.python_version()),
        ("jax", jax.__version__),
        ("flax", flax.__version__),
        ("device", jax.devices()[0].device_kind),
    )
