"""Checkpoints by Orbax: exact resume of a training, and the variables that a search keeps.

Orbax writes beside the final name and renames, so a killed save leaves the earlier ones as they
were. Folders hold arrays and JSON; nothing in them is ever executed.
"""

import logging
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from xfernas_jax.errors import StorageError
from xfernas_jax.train.state import TrainState
from xfernas_jax.types import PyTree

_STATE, _META = "state", "meta"


def _orbax() -> Any:
    """Imports Orbax on first use: it takes a second or two, and most commands need none."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax narrates every save
    import orbax.checkpoint

    return orbax.checkpoint


class TrainingCheckpoints:
    """The latest checkpoints of one training in a folder; a `Checkpointer` of the trainer.

    A training that goes on from a checkpoint gives bit for bit what an unbroken one gives, on
    the same machine, jax version and number of devices.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        identity: Mapping[str, Any],
        every_epochs: int = 1,
        num_kept: int = 2,
    ) -> None:
        """Opens or makes the folder.

        Args:
          folder: of this training alone.
          identity: JSON object of all that decides the result; a checkpoint of another is refused.
          every_epochs: epochs between checkpoints.
          num_kept: latest checkpoints that stay.

        Raises:
          StorageError: the folder cannot be made.
        """
        ocp = _orbax()
        self._folder = pathlib.Path(folder).absolute()
        self._identity, self._every = dict(identity), every_epochs
        options = ocp.CheckpointManagerOptions(max_to_keep=num_kept, create=True)
        try:
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_names=(_STATE, _META)
            )
        except OSError as error:
            raise StorageError(
                f"{self._folder}: no checkpoints can be written there "
                f"({error.strerror or error}); choose another --workdir."
            ) from error

    def close(self) -> None:
        """Waits for the save in progress; `contextlib.closing` calls it."""
        self._manager.wait_until_finished()
        self._manager.close()

    def latest_epoch(self) -> int:
        """Returns the epochs done at the latest checkpoint, 0 without one."""
        return self._manager.latest_step() or 0

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, list[float]]] | None:
        """Returns the latest state that can be read, with its curves; None without one.

        A damaged checkpoint is named in the log and left where it is; the one before it serves.

        Raises:
          StorageError: a checkpoint is of another training, or none of them can be read.
        """
        ocp = _orbax()
        steps = sorted(self._manager.all_steps(), reverse=True)
        args = ocp.args.Composite(
            **{
                _STATE: ocp.args.StandardRestore(
                    jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
                ),
                _META: ocp.args.JsonRestore(),
            }
        )
        for step in steps:
            try:
                read = self._manager.restore(step, args=args)
                meta, state = read[_META], jax.tree.map(np.asarray, read[_STATE])
                curves = {name: [float(x) for x in meta[name]] for name in ("losses", "curve")}
                found = meta["identity"]
            except Exception as error:  # whatever a damaged folder makes Orbax raise
                reason = " ".join(str(error).split())
                logging.warning(
                    "%s/%d: this checkpoint cannot be read (%.200s); trying the one before.",
                    self._folder,
                    step,
                    reason,
                )
                continue
            if found != self._identity:
                raise StorageError(
                    f"{self._folder}: the checkpoints are of another training; choose another "
                    "--workdir, or delete the folder."
                )
            return state, curves
        if steps:
            raise StorageError(
                f"{self._folder}: none of the checkpoints can be read; delete the folder to start "
                "from the first epoch."
            )
        return None

    def is_due(self, epoch: int, *, is_last: bool) -> bool:
        """Tells whether the state after an epoch is to be saved; the last one always is."""
        return is_last or epoch % self._every == 0

    def save(self, epoch: int, state: TrainState, curves: dict[str, list[float]]) -> None:
        """Saves in the background; the state is on the host.

        The caller may change `curves` and the state's arrays as soon as this returns.
        """
        ocp = _orbax()
        meta = {"identity": self._identity, **{name: list(x) for name, x in curves.items()}}
        self._manager.save(
            epoch,
            args=ocp.args.Composite(
                **{_STATE: ocp.args.StandardSave(state), _META: ocp.args.JsonSave(meta)}
            ),
        )


class VariablesStore:
    """Trained `params` and `batch_stats` in a folder, each under a name."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Names the folder; it is made with the first save."""
        self._folder = pathlib.Path(folder).absolute()

    def save(self, name: str, variables: PyTree) -> None:
        """Saves under a name, in place of what was there.

        Raises:
          StorageError: the folder cannot be written.
        """
        try:
            with _orbax().StandardCheckpointer() as checkpointer:
                checkpointer.save(self._folder / name, variables, force=True)
        except OSError as error:
            raise StorageError(
                f"{self._folder / name}: parameters cannot be written ({error.strerror or error}); "
                "make room or choose another --workdir."
            ) from error

    def load(self, name: str) -> PyTree | None:
        """Returns what was saved, on the host; None where it is absent or damaged."""
        path = self._folder / name
        if not path.is_dir():
            return None
        ocp = _orbax()
        try:
            with ocp.StandardCheckpointer() as checkpointer:
                return jax.tree.map(np.asarray, checkpointer.restore(path))
        except Exception as error:  # whatever a damaged folder makes Orbax raise
            logging.warning("%s: parameters cannot be read (%.200s).", path, error)
            return None

    def keep_only(self, names: Iterable[str]) -> None:
        """Deletes everything but `names`."""
        wanted = set(names)
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)
