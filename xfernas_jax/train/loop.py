"""The training loop: epochs, evaluation, divergence, checkpoints."""

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from xfernas_jax.errors import TrainingDivergedError, TrainingInterruptedError
from xfernas_jax.train.config import TrainConfig
from xfernas_jax.train.course import revised
from xfernas_jax.train.feed import Batch, Feed, StreamedFeed
from xfernas_jax.train.memory import check_step
from xfernas_jax.train.parallel import (
    AXIS,
    compile_step,
    own_devices,
    parallel,
    replicate,
    unreplicate,
)
from xfernas_jax.train.schedule import make_optimizer
from xfernas_jax.train.state import TaskFunctions, TrainState, initial_state
from xfernas_jax.train.step import eval_on_batch, eval_step, train_on_batch, train_step
from xfernas_jax.types import Device, PyTree

EpochTable = Callable[[int, int], np.ndarray]  # (seed, epoch) -> [steps, B] int32 indices
Stop = Callable[[Sequence[float]], bool]  # values so far -> whether to stop now
Interrupt = Callable[[int], bool]  # steps done -> whether to save and leave before the next one
Pace = Callable[[int, int], int]  # (epochs done, epochs planned) -> epochs to end after
EvalTables = tuple[np.ndarray, np.ndarray]  # [steps, B] int32 indices, [steps, B] bool counted


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Outcome of a training: final variables on the host and the learning curve.

    Attributes:
      variables: `params` and `batch_stats`; their averages where the recipe asks for them.
      curve: the metric after each epoch that was done.
      losses: their mean training losses.
      planned_epochs: after which the training was to end, at last; a stopped one did fewer.
    """

    variables: PyTree
    curve: tuple[float, ...]
    losses: tuple[float, ...]
    planned_epochs: int


@dataclasses.dataclass(frozen=True)
class _Evaluation:
    """A part ready to be evaluated: its batches, zero sums and step on the devices, its size."""

    batches: Callable[[], Iterator[Batch]]
    start: tuple[PyTree, jax.Array]
    num_examples: int


@runtime_checkable
class Checkpointer(Protocol):
    """Saves states of a training and gives the latest back; see `train/checkpoint.py`."""

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, list[float]]] | None: ...

    def is_due(self, epoch: int, *, is_last: bool) -> bool: ...

    def save(self, state: TrainState, curves: dict[str, list[float]]) -> None: ...


class Trainer:
    """Trains one network on one data set, any number of times with one compilation.

    `fit` with another seed reuses the compiled steps. With feeds that live on the devices an epoch
    and its evaluation take one transfer to the devices, the table of indices, and two back, the
    loss and the sums of the metric.
    """

    def __init__(
        self,
        task: TaskFunctions,
        config: TrainConfig,
        train: Feed,
        epoch_table: EpochTable,
        eval_tables: Callable[[int, int], EvalTables],
        devices: Sequence[Device],
    ) -> None:
        """Prepares the steps; they compile on first use.

        Args:
          task: network and data functions, and the metric.
          config: of the training.
          train: the training part; the parts that are evaluated are fed in the same way.
          epoch_table: indices of an epoch's batches by (seed, epoch).
          eval_tables: indices and mask that cover `num_examples` in batches of `batch_size`.
          devices: that share each batch; they divide the batch sizes.
        """
        self._config, self._devices = config, tuple(devices)
        self._metric, self._zeros = task.metric, task.metric.zeros(task.num_classes)
        self._epoch_table, self._eval_tables = epoch_table, eval_tables
        self._train, self._steps_per_epoch = train, epoch_table(0, 0).shape[0]
        self._optimizer = make_optimizer(config)
        step, score = train_step, eval_step
        if isinstance(train, StreamedFeed):
            step = partial(train_on_batch, steps_per_epoch=self._steps_per_epoch)
            score = eval_on_batch
        options = {"config": config, "optimizer": self._optimizer}
        self._train_step = parallel(
            partial(step, task=task, axis_name=AXIS, **options), self._devices, donate=(0,)
        )
        self._eval_step = parallel(partial(score, task=task, axis_name=AXIS), self._devices)
        self._compiling, self._is_compiled = threading.Lock(), False

    def compile(self, variables: PyTree, valid: Feed) -> None:
        """Compiles both steps, once; a second thread waits for the first.

        Raises `MemoryError` where one of them takes more than is free.

        Args:
          variables: of the shapes that `fit` will be given.
          valid: the part that `fit` will be given.
        """
        with self._compiling:
            if self._is_compiled:
                return
            state, key = replicate((self._initial(variables), jax.random.key(0)), self._devices)
            batch = next(self._train.epoch(self._epoch_table(0, 0)))
            train_step = compile_step(self._train_step, self._devices, state, *batch, key)
            evaluation = self._evaluation(valid)
            batch = next(evaluation.batches())
            # It keeps what is compiled here: calling it for this part compiles nothing.
            score = self._eval_step.lower(*evaluation.start, state.variables, *batch).compile()
            check_step(score, own_devices(self._devices))
            self._train_step, self._is_compiled = train_step, True

    def fit(
        self,
        variables: PyTree,
        valid: Feed,
        seed: int,
        on_epoch: Callable[[int, float], None] | None = None,
        checkpointer: Checkpointer | None = None,
        stop: Stop | None = None,
        interrupt: Interrupt | None = None,
        pace: Pace | None = None,
    ) -> TrainResult:
        """Trains from initial values and evaluates `valid` after every epoch.

        Args:
          variables: `params` and `batch_stats`; not changed.
          valid: the part whose values make the learning curve.
          seed: of batches and augmentation.
          on_epoch: called after every epoch with its number from 1 and the metric's value.
          checkpointer: saves after epochs that are due; training goes on from the latest state.
          stop: asked after every epoch but the last, also about a curve that was restored. A
            stopped training has a shorter curve, and its state is saved.
          interrupt: asked before every step. An interrupted training saves the state after the
            step before, from which another `fit` gives the bits of an unbroken one.
          pace: asked after every epoch but the last; it answers after how many epochs the training
            is to end, at least those done. Where that is another number than was planned, what is
            left of the schedule is compressed or stretched, so that the learning rate still ends
            where it was to end. Checkpoints keep the plan. Processes of one training answer alike.

        Raises:
          TrainingDivergedError: when an epoch's loss, or the metric after it, is not finite.
          TrainingInterruptedError: `interrupt` said so.
        """
        self.compile(variables, valid)
        state = self._initial(variables)
        losses: list[float] = []
        curve: list[float] = []
        if checkpointer is not None and (saved := checkpointer.restore(state)) is not None:
            state, curves = saved
            losses, curve = list(curves["losses"]), list(curves["curve"])
        first = int(state.step) - len(curve) * self._steps_per_epoch  # of its epoch
        course = np.asarray(state.course)
        planned = self._epochs_of(course)
        state, key = replicate((state, jax.random.key(seed)), self._devices)
        evaluation = self._evaluation(valid)
        stopped = _stops(stop, curve, planned)
        while len(curve) < planned and not stopped:
            epoch = len(curve)
            state, is_whole = self._run_epoch(state, key, seed, epoch, first, interrupt)
            if not is_whole:
                if checkpointer is not None:
                    checkpointer.save(unreplicate(state), {"losses": losses, "curve": curve})
                raise TrainingInterruptedError(len(curve))
            first, loss = 0, float(unreplicate(state.loss_sum)) / self._steps_per_epoch
            if not math.isfinite(loss):
                raise TrainingDivergedError(epoch + 1, tuple(curve))
            value = self._value(state.variables, evaluation)
            if not math.isfinite(value):
                raise TrainingDivergedError(epoch + 1, tuple(curve), self._metric.label)
            losses.append(loss)
            curve.append(value)
            if pace is not None and len(curve) < planned:
                course = self._paced(course, pace, len(curve))
                if self._epochs_of(course) != planned:
                    planned = self._epochs_of(course)
                    state = state.replace(course=replicate(course, self._devices))
            stopped = _stops(stop, curve, planned)
            if checkpointer is not None and checkpointer.is_due(epoch + 1, is_last=stopped):
                checkpointer.save(unreplicate(state), {"losses": losses, "curve": curve})
            if on_epoch is not None:
                on_epoch(epoch + 1, value)
        return TrainResult(unreplicate(state.variables), tuple(curve), tuple(losses), planned)

    def evaluate(self, variables: PyTree, part: Feed) -> float:
        """Returns the metric over every example of `part`."""
        return self._value(replicate(variables, self._devices), self._evaluation(part))

    def _initial(self, variables: PyTree) -> TrainState:
        return initial_state(
            variables["params"],
            variables["batch_stats"],
            self._optimizer,
            self._config.epochs * self._steps_per_epoch,
            averages=self._config.average_decay > 0.0,
        )

    def _epochs_of(self, course: np.ndarray) -> int:
        return int(course[2]) // self._steps_per_epoch

    def _paced(self, course: np.ndarray, pace: Pace, done: int) -> np.ndarray:
        """Returns the course after `pace` was asked; the same one where nothing changes."""
        planned = self._epochs_of(course)
        total = pace(done, planned)
        if total < done:
            raise ValueError(f"A training ends after the {done} epochs done or later. Got {total}.")
        if total == planned:
            return course
        return revised(course, done * self._steps_per_epoch, total * self._steps_per_epoch)

    def _evaluation(self, part: Feed) -> _Evaluation:
        tables = self._eval_tables(part.num_examples, self._config.eval_batch_size)
        start = replicate((self._zeros, np.zeros((), np.int32)), self._devices)
        return _Evaluation(part.evaluation(*tables), start, part.num_examples)

    def _run_epoch(
        self,
        state: TrainState,
        key: jax.Array,
        seed: int,
        epoch: int,
        first: int,
        interrupt: Interrupt | None,
    ) -> tuple[TrainState, bool]:
        """Takes an epoch's steps from `first` on; returns False where it was interrupted."""
        done = epoch * self._steps_per_epoch + first
        for batch in self._train.epoch(self._epoch_table(seed, epoch), first):
            if interrupt is not None and interrupt(done):
                return state, False
            state, done = self._train_step(state, *batch, key), done + 1
        return state, True

    def _value(self, variables: PyTree, evaluation: _Evaluation) -> float:
        sums, step = evaluation.start
        for batch in evaluation.batches():
            sums, step = self._eval_step(sums, step, variables, *batch)
        return float(self._metric.finish(unreplicate(sums), evaluation.num_examples))


def _stops(stop: Stop | None, curve: list[float], epochs: int) -> bool:
    return stop is not None and 0 < len(curve) < epochs and stop(tuple(curve))
