"""Checkpoints by Orbax: exact resume of a training, and the variables that a search keeps.

Orbax writes beside the final name and renames, so a killed save leaves the earlier ones as they
were. Folders hold arrays and JSON; nothing in them is ever executed.
"""

import contextlib
import json
import logging
import os
import pathlib
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from xfernas_jax.errors import StorageError
from xfernas_jax.files import check_room
from xfernas_jax.train.state import TrainState
from xfernas_jax.types import PyTree

_OVERHEAD_BYTES = 2**19  # of a checkpoint's small files, about; a page or more for each
_STATE, _META, _CHECKSUM = "state", "meta", "checksum"


def _orbax() -> Any:
    """Imports Orbax on first use: it takes a second or two, and most commands need none."""
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax narrates what it also raises
    import orbax.checkpoint

    return orbax.checkpoint


def _for_one_process() -> Any:
    """Returns options with which Orbax waits for no other process of a training on many hosts."""
    if jax.process_count() == 1:
        return _orbax().options.MultiprocessingOptions()
    own = jax.process_index()
    return _orbax().options.MultiprocessingOptions(primary_host=own, active_processes={own})


@contextlib.contextmanager
def _writing(what: str, way_out: str) -> Iterator[None]:
    """Says in one line that something could not be written."""
    try:
        yield
    except (OSError, ValueError) as error:  # as Python and as Orbax's store name a full disk
        reason = " ".join(str(error).split())
        raise StorageError(f"{what} ({reason:.200}); {way_out}") from error


class TrainingCheckpoints:
    """The latest checkpoints of one training in a folder; a `Checkpointer` of the trainer.

    A training that goes on from a checkpoint gives bit for bit what an unbroken one gives, on
    the same machine, jax version and number of devices. A checkpoint's number is that of the steps
    done. On many hosts one process has one of these; see `train/hosts.py`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        identity: Mapping[str, Any],
        every_epochs: int = 1,
        num_kept: int = 2,
        on_restored: Callable[[int], None] | None = None,
    ) -> None:
        """Opens or makes the folder.

        Args:
          folder: of this training alone.
          identity: JSON object of all that decides the result; a checkpoint of another is refused.
          every_epochs: epochs between checkpoints.
          num_kept: latest checkpoints that stay.
          on_restored: called with the epochs done in a state that was restored.

        Raises:
          StorageError: the folder cannot be made.
        """
        ocp = _orbax()
        self._folder = pathlib.Path(folder).absolute()
        self._identity, self._every = dict(identity), every_epochs
        self._on_restored = on_restored
        options = ocp.CheckpointManagerOptions(
            max_to_keep=num_kept, create=False, multiprocessing_options=_for_one_process()
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_names=(_STATE, _META)
            )
        except OSError as error:
            raise StorageError(
                f"{self._folder}: no checkpoints can be written there "
                f"({error.strerror or error}); choose another --workdir."
            ) from error

    def close(self) -> None:
        """Waits for the save in progress; `contextlib.closing` calls it.

        Raises:
          StorageError: it could not be written.
        """
        try:
            with self._writing():
                self._manager.wait_until_finished()
        finally:
            self._manager.close()

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        what = f"{self._folder}: a checkpoint could not be written"
        return _writing(what, "make room. The same command goes on from the one before.")

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, list[float]]] | None:
        """Returns the latest state that can be read, with its curves; None without one.

        A damaged checkpoint is named in the log; the one before it serves, and the damaged one is
        put aside under another name.

        Raises:
          StorageError: a checkpoint is of another training, or none of them can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        damaged: dict[int, str] = {}
        for step in steps:
            try:
                state, curves, identity = self._read(step, like)
            except Exception as error:  # whatever a damaged folder makes Orbax raise
                damaged[step] = " ".join(str(error).split())
                continue
            if identity != self._identity:
                raise StorageError(
                    f"{self._folder}: the checkpoints are of another training; choose another "
                    "--workdir, or delete the folder."
                )
            self._put_aside(damaged, step)
            if self._on_restored is not None:
                self._on_restored(len(curves["curve"]))
            return state, curves
        if steps:
            raise StorageError(
                f"{self._folder}: none of the checkpoints can be read "
                f"({damaged[steps[0]]:.200}); delete the folder to start from the first epoch."
            )
        return None

    def _read(
        self, step: int, like: TrainState
    ) -> tuple[TrainState, dict[str, list[float]], Mapping[str, Any]]:
        """Reads one checkpoint; `ValueError` and whatever Orbax raises where it is damaged."""
        ocp = _orbax()
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = {_STATE: ocp.args.StandardRestore(shapes), _META: ocp.args.JsonRestore()}
        read = self._manager.restore(step, args=ocp.args.Composite(**args))
        meta, state = dict(read[_META]), jax.tree.map(np.asarray, read[_STATE])
        if meta.pop(_CHECKSUM) != _checksum(state, meta):
            raise ValueError("its checksum is wrong")
        curves = {name: [float(x) for x in meta[name]] for name in ("losses", "curve")}
        return state, curves, meta["identity"]

    def _put_aside(self, damaged: Mapping[int, str], used: int) -> None:
        """Renames damaged checkpoints, so that new ones can have their numbers."""
        for step, reason in damaged.items():
            name = f"damaged-{step}-{time.time_ns()}"
            try:
                (self._folder / str(step)).rename(self._folder / name)
            except OSError:
                name = str(step)
            logging.warning(
                "%s/%d: this checkpoint cannot be read (%.200s); it stays as %s, and the one "
                "before it, %d, is used.",
                self._folder,
                step,
                reason,
                name,
                used,
            )
        if damaged:
            self._manager.reload()

    def is_due(self, epoch: int, *, is_last: bool) -> bool:
        """Tells whether the state after an epoch is to be saved; the last one always is."""
        return is_last or epoch % self._every == 0

    def save(self, state: TrainState, curves: dict[str, list[float]]) -> None:
        """Saves in the background; the state is on the host.

        The caller may change `curves` and the state's arrays as soon as this returns.

        Raises:
          StorageError: this one or the one before could not be written.
        """
        ocp, step = _orbax(), int(state.step)
        if step in self._manager.all_steps():
            return
        meta = {"identity": self._identity, **{name: list(x) for name, x in curves.items()}}
        meta[_CHECKSUM] = _checksum(state, meta)
        with self._writing():
            _check_room(self._folder, state)
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    **{_STATE: ocp.args.StandardSave(state), _META: ocp.args.JsonSave(meta)}
                ),
                force=True,  # it is this class that knows when a save is due
            )


def _check_room(folder: pathlib.Path, tree: PyTree) -> None:
    """Raises `OSError` where a tree hardly fits: Orbax fails at length, in threads of its own."""
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    check_room(folder, 2 * num_bytes + _OVERHEAD_BYTES)


def _checksum(state: TrainState, meta: Mapping[str, Any]) -> int:
    """Returns a number that damage to either changes; Orbax does not notice every kind."""
    total = zlib.crc32(json.dumps(meta, sort_keys=True).encode())
    for leaf in jax.tree.leaves(state):
        total = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, total)
    return total


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
        path = self._folder / name
        what = f"{path}: parameters cannot be written"
        with _writing(what, "make room or choose another folder."):
            _check_room(self._folder, variables)
            with self._checkpointer() as checkpointer:
                checkpointer.save(path, variables, force=True)

    def load(self, name: str) -> PyTree | None:
        """Returns what was saved, on the host; None where it is absent or damaged."""
        path = self._folder / name
        if not path.is_dir():
            return None
        try:
            with self._checkpointer() as checkpointer:
                return jax.tree.map(np.asarray, checkpointer.restore(path))
        except Exception as error:  # whatever a damaged folder makes Orbax raise
            logging.warning("%s: parameters cannot be read (%.200s).", path, error)
            return None

    def _checkpointer(self) -> Any:
        return _orbax().StandardCheckpointer(multiprocessing_options=_for_one_process())

    def keep_only(self, names: Iterable[str]) -> None:
        """Deletes everything but `names`."""
        wanted = set(names)
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)
