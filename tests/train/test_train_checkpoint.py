import json
import logging
import pathlib
import threading
from contextlib import closing
from typing import Any

import jax
import numpy as np
import optax
import pytest

from xfernas_jax.errors import StorageError
from xfernas_jax.train.checkpoint import TrainingCheckpoints, VariablesStore
from xfernas_jax.train.state import TrainState, initial_state

# A read that fails leaves reads of Orbax's own, whose callbacks find their event loop closed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning"
)
IDENTITY = {"genotype": "g", "seed": 1}
OPTIMIZER = optax.flatten(optax.sgd(optax.cosine_decay_schedule(0.1, 10), 0.9))


def state(value: float) -> TrainState:
    params = {"dense": {"kernel": np.full((2, 3), value, np.float32)}}
    fresh = initial_state(params, {"norm": {"mean": np.full(3, value, np.float32)}}, OPTIMIZER)
    return fresh.replace(step=np.asarray(int(value), np.int32))


def save_epochs(folder: pathlib.Path, epochs: int, **kwargs: int) -> None:
    with closing(TrainingCheckpoints(folder, IDENTITY, **kwargs)) as checkpoints:
        for epoch in range(1, epochs + 1):
            curves = {"losses": [1.0 / e for e in range(1, epoch + 1)], "curve": [0.5] * epoch}
            if checkpoints.is_due(epoch, is_last=False):
                checkpoints.save(epoch, state(epoch), curves)


def test_the_latest_state_comes_back_bit_for_bit(tmp_path: pathlib.Path) -> None:
    save_epochs(tmp_path, 3)
    with closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints:
        assert checkpoints.latest_epoch() == 3
        found = checkpoints.restore(state(0))
    assert found is not None
    jax.tree.map(np.testing.assert_array_equal, found[0], state(3))
    assert found[1] == {"losses": [1.0, 0.5, 1.0 / 3.0], "curve": [0.5] * 3}


def test_an_empty_folder_gives_nothing(tmp_path: pathlib.Path) -> None:
    with closing(TrainingCheckpoints(tmp_path / "new", IDENTITY)) as checkpoints:
        assert checkpoints.latest_epoch() == 0
        assert checkpoints.restore(state(0)) is None


def test_checkpoints_come_when_due_and_old_ones_go(tmp_path: pathlib.Path) -> None:
    save_epochs(tmp_path, 9, every_epochs=2, num_kept=2)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.isdigit()) == ["6", "8"]


def test_checkpoints_of_another_training_are_refused(tmp_path: pathlib.Path) -> None:
    save_epochs(tmp_path, 1)
    other = TrainingCheckpoints(tmp_path, {"genotype": "h", "seed": 1})
    with closing(other) as checkpoints, pytest.raises(StorageError, match="another training"):
        checkpoints.restore(state(0))


def damage(folder: pathlib.Path) -> None:
    files = [p for p in folder.rglob("*") if p.is_file() and p.parent.name == "d"]
    assert files
    for file in files:
        file.write_bytes(b"\x00" * 7)


def test_a_damaged_checkpoint_falls_back_and_stays(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_epochs(tmp_path, 2)
    damage(tmp_path / "2")
    with (
        closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints,
        caplog.at_level(logging.WARNING),
    ):
        found = checkpoints.restore(state(0))
    assert found is not None
    assert int(found[0].step) == 1
    assert "cannot be read" in caplog.text
    assert (tmp_path / "2").is_dir()
    damage(tmp_path / "1")
    with (
        closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints,
        pytest.raises(StorageError, match="none of the checkpoints"),
    ):
        checkpoints.restore(state(0))


def test_kept_variables_come_back_and_others_go(tmp_path: pathlib.Path) -> None:
    store = VariablesStore(tmp_path / "v")
    variables = {"params": {"k": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    for name in ("a", "b", "c"):
        store.save(name, variables)
    store.save("a", {"params": {"k": np.zeros((2, 3), np.float32)}})
    store.keep_only(["a", "b"])
    assert store.load("c") is None
    jax.tree.map(np.testing.assert_array_equal, store.load("b"), variables)
    replaced = store.load("a")
    assert replaced is not None
    assert not replaced["params"]["k"].any()
    damage(tmp_path / "v" / "b")
    assert store.load("b") is None


def test_what_changes_during_a_save_is_saved_as_it_was(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Orbax writes while the training goes on: it lengthens its curves, and its next step may
    # write over the arrays. The file of curves waits here until that has happened.
    changed, dumps = threading.Event(), json.dumps

    def slow_dumps(value: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, dict) and "curve" in value:
            assert changed.wait(60.0)
        return dumps(value, *args, **kwargs)

    monkeypatch.setattr(json, "dumps", slow_dumps)
    saved, curves = state(1), {"losses": [0.5], "curve": [0.25]}
    with closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints:
        checkpoints.save(1, saved, curves)
        for values in curves.values():
            values.append(0.125)
        for leaf in jax.tree.leaves(saved.params):
            leaf[...] = 7.0
        changed.set()
    with closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints:
        found = checkpoints.restore(saved)
    assert found is not None
    assert found[1] == {"losses": [0.5], "curve": [0.25]}
    jax.tree.map(np.testing.assert_array_equal, found[0].params, state(1).params)
