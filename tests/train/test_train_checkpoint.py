import json
import logging
import pathlib
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
import pytest

from xfernas_jax.errors import StorageError
from xfernas_jax.train.checkpoint import TrainingCheckpoints, VariablesStore
from xfernas_jax.train.state import TrainState, initial_state

# A read that fails leaves reads of Orbax's own, whose callbacks find their event loop closed, or
# which were never waited for.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}:pytest.PytestUnraisableExceptionWarning")
    for text in ("Exception ignored in. None", "Exception ignored in. .coroutine object Numpy")
]
IDENTITY = {"genotype": "g", "seed": 1}
OPTIMIZER = optax.flatten(optax.sgd(optax.cosine_decay_schedule(0.1, 10), 0.9))


def state(value: float) -> TrainState:
    params = {"dense": {"kernel": np.full((2, 3), value, np.float32)}}
    fresh = initial_state(params, {"norm": {"mean": np.full(3, value, np.float32)}}, OPTIMIZER, 10)
    return fresh.replace(step=np.asarray(int(value), np.int32))


def save_epochs(folder: pathlib.Path, epochs: int, **kwargs: Any) -> None:
    with closing(TrainingCheckpoints(folder, IDENTITY, **kwargs)) as checkpoints:
        for epoch in range(1, epochs + 1):
            curves = {"losses": [1.0 / e for e in range(1, epoch + 1)], "curve": [0.5] * epoch}
            if checkpoints.is_due(epoch, is_last=False):
                checkpoints.save(state(epoch), curves)


def test_the_latest_state_comes_back_bit_for_bit(tmp_path: pathlib.Path) -> None:
    save_epochs(tmp_path, 3)
    restored: list[int] = []
    opened = TrainingCheckpoints(tmp_path, IDENTITY, on_restored=restored.append)
    with closing(opened) as checkpoints:
        found = checkpoints.restore(state(0))
    assert found is not None
    jax.tree.map(np.testing.assert_array_equal, found[0], state(3))
    assert found[1] == {"losses": [1.0, 0.5, 1.0 / 3.0], "curve": [0.5] * 3}
    assert restored == [3]


def test_an_empty_folder_gives_nothing(tmp_path: pathlib.Path) -> None:
    with closing(TrainingCheckpoints(tmp_path / "new", IDENTITY)) as checkpoints:
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


def files_of(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def largest(folder: pathlib.Path) -> pathlib.Path:
    return max(files_of(folder / "state"), key=lambda p: p.stat().st_size)


def truncate(folder: pathlib.Path) -> None:
    for file in files_of(folder):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder: pathlib.Path) -> None:
    for file in files_of(folder):
        file.write_bytes(b"")


def change_an_accuracy(folder: pathlib.Path) -> None:
    (file,) = (p for p in files_of(folder / "meta") if b"curve" in p.read_bytes())
    file.write_bytes(file.read_bytes().replace(b"0.5", b"0.6"))


def overwrite_meta(folder: pathlib.Path) -> None:
    for file in files_of(folder / "meta"):
        file.write_bytes(b"{]")


def remove_state(folder: pathlib.Path) -> None:
    (folder / "state").rename(folder / "elsewhere")


def remove_an_array_file(folder: pathlib.Path) -> None:
    largest(folder).rename(folder / "elsewhere")


def remove_all(folder: pathlib.Path) -> None:
    for path in folder.iterdir():
        path.rename(folder.parent / f"elsewhere-{path.name}")


@pytest.mark.parametrize(
    "harm",
    [
        damage,
        truncate,
        empty,
        change_an_accuracy,
        overwrite_meta,
        remove_state,
        remove_an_array_file,
        remove_all,
    ],
)
def test_a_damaged_checkpoint_falls_back_is_named_and_stays(
    harm: Callable[[pathlib.Path], None], tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_epochs(tmp_path, 2)
    harm(tmp_path / "2")
    left = sorted(p.read_bytes() for p in files_of(tmp_path))
    with (
        closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints,
        caplog.at_level(logging.WARNING),
    ):
        found = checkpoints.restore(state(0))
        assert found is not None
        jax.tree.map(np.testing.assert_array_equal, found[0], state(1))
        (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert f"{tmp_path / '2'}: this checkpoint cannot be read" in line
        assert "\n" not in line
        (aside,) = tmp_path.glob("damaged-2-*")
        assert aside.name in line
        assert sorted(p.read_bytes() for p in files_of(tmp_path)) == left
        checkpoints.save(state(2), {"losses": [1.0, 0.5], "curve": [0.5] * 2})
    with closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints:
        found = checkpoints.restore(state(0))
    assert found is not None
    jax.tree.map(np.testing.assert_array_equal, found[0], state(2))


@pytest.mark.parametrize("position", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_bit_is_noticed_or_changes_nothing(
    position: float, tmp_path: pathlib.Path
) -> None:
    save_epochs(tmp_path, 2)
    for file in files_of(tmp_path / "2" / "state"):
        data = bytearray(file.read_bytes())
        if data:
            data[int(position * len(data))] ^= 4
            file.write_bytes(bytes(data))
    with closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints:
        found = checkpoints.restore(state(0))
    assert found is not None
    jax.tree.map(np.testing.assert_array_equal, found[0], state(int(found[0].step)))


def test_without_a_readable_checkpoint_all_stay_and_the_way_out_is_named(
    tmp_path: pathlib.Path,
) -> None:
    save_epochs(tmp_path, 2)
    damage(tmp_path / "1")
    damage(tmp_path / "2")
    left = files_of(tmp_path)
    with (
        closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints,
        pytest.raises(StorageError, match="none of the checkpoints"),
    ):
        checkpoints.restore(state(0))
    assert files_of(tmp_path) == left


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
        if isinstance(value, dict) and "checksum" in value:
            assert changed.wait(60.0)
        return dumps(value, *args, **kwargs)

    monkeypatch.setattr(json, "dumps", slow_dumps)
    saved, curves = state(1), {"losses": [0.5], "curve": [0.25]}
    with closing(TrainingCheckpoints(tmp_path, IDENTITY)) as checkpoints:
        checkpoints.save(saved, curves)
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


def test_variables_that_do_not_fit_the_disk_are_refused_in_one_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    store = VariablesStore(tmp_path / "v")
    store.save("small", {"a": np.zeros(1000, np.float32)})
    with pytest.raises(StorageError, match="No space left") as caught:
        store.save("large", {"a": np.zeros(200_000, np.float32)})
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["small"]
