"""The state of a training that stops early or is cut off, kept only while it is of use."""

import logging
import os
import pathlib
import shutil
import time
from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import StorageError
from xfernas_jax.train.checkpoint import TrainingCheckpoints
from xfernas_jax.train.state import TrainState


class UnfinishedTraining:
    """Checkpoints of one training by time; a `Checkpointer` of the trainer.

    A training that is done before the first is due never touches the disk.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        identity: Mapping[str, Any],
        every_seconds: float | None = None,
    ) -> None:
        """Names the folder; it is made with the first save.

        Args:
          folder: of this training alone.
          identity: JSON object of all that decides the result; a checkpoint of another is refused.
          every_seconds: between checkpoints; None saves only the state in which it stops.
        """
        self._folder, self._identity = pathlib.Path(folder), dict(identity)
        self._every = float("inf") if every_seconds is None else every_seconds
        self._latest = time.monotonic()
        self._checkpoints: TrainingCheckpoints | None = None

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, list[float]]] | None:
        """Returns the latest state, with its curves; None without one.

        A state that cannot be read is named in the log and deleted: the training begins anew.
        """
        if not self._folder.is_dir():
            return None
        try:
            return self._open().restore(like)
        except StorageError as error:
            logging.warning("%s This evaluation begins anew.", error)
            self.delete()
            return None

    def is_due(self, epoch: int, *, is_last: bool) -> bool:
        """Tells whether enough time has passed, or the training stops here."""
        del epoch
        return is_last or time.monotonic() - self._latest >= self._every

    def save(self, state: TrainState, curves: dict[str, list[float]]) -> None:
        """Saves in the background; the state is on the host."""
        self._open().save(state, curves)
        self._latest = time.monotonic()

    def close(self) -> None:
        """Waits for the save in progress; `contextlib.closing` calls it."""
        checkpoints, self._checkpoints = self._checkpoints, None
        if checkpoints is not None:
            checkpoints.close()

    def delete(self) -> None:
        """Deletes what was kept; the training is over."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self) -> TrainingCheckpoints:
        if self._checkpoints is None:
            self._checkpoints = TrainingCheckpoints(self._folder, self._identity, num_kept=1)
        return self._checkpoints
