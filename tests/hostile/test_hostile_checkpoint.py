"""Folders of checkpoints and fits: what was saved, nothing, or one line; never a pickle."""

import pathlib
import pickle
import shutil
from contextlib import closing

import jax
import numpy as np
import optax
import pytest
from hostile_guard import Bait, cases, refused, sandbox
from hostile_values import damaged
from hypothesis import given
from hypothesis import strategies as st

from xfernas_jax.predictor import cache
from xfernas_jax.train.checkpoint import TrainingCheckpoints, VariablesStore
from xfernas_jax.train.state import TrainState, initial_state

# A read that fails leaves reads of Orbax's own, whose callbacks find their event loop closed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning"
)
IDENTITY = {"genotype": "g", "seed": 1}
OPTIMIZER = optax.flatten(optax.sgd(0.1, 0.9))
PARAMS = {"dense": {"kernel": np.ones((2, 3), np.float32)}}
_DIGEST = "0" * 32


def state() -> TrainState:
    return initial_state(PARAMS, {"norm": {"mean": np.ones(3, np.float32)}}, OPTIMIZER, 10)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with two checkpoints, kept variables and a fit of the predictor."""
    folder = tmp_path_factory.mktemp("saved")
    with closing(TrainingCheckpoints(folder / "checkpoints", IDENTITY)) as checkpoints:
        for epoch in (1, 2):
            curves = {"losses": [0.5] * epoch, "curve": [0.5] * epoch}
            checkpoints.save(state().replace(step=np.asarray(epoch, np.int32)), curves)
    VariablesStore(folder / "variables").save("v", {"params": PARAMS})
    cache.save(_DIGEST, str(folder / "fits"), PARAMS)
    return folder


def files_of(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def check_restored(folder: pathlib.Path) -> None:
    """Reads everything in the folder; what is found must be what was saved."""
    with closing(TrainingCheckpoints(folder / "checkpoints", IDENTITY)) as checkpoints:
        was_refused, found = refused(lambda: checkpoints.restore(state()))
    if not was_refused and found is not None:
        assert jax.tree.structure(found[0]) == jax.tree.structure(state())
    variables = VariablesStore(folder / "variables").load("v")
    assert variables is None or isinstance(variables, dict)
    cache.clear_memory()
    fit = cache.load(_DIGEST, str(folder / "fits"), PARAMS)
    assert fit is None or fit["dense"]["kernel"].shape == (2, 3)


@cases(12)
@given(st.integers(0, 5), st.booleans())
def test_pickles_in_place_of_files_are_never_loaded(
    saved: pathlib.Path, protocol: int, is_added: bool
) -> None:
    with sandbox() as work:
        shutil.copytree(saved, work / "saved")
        bait = pickle.dumps(Bait(work / "sprung"), protocol)
        for file in files_of(work / "saved"):
            path = work / "saved" / file
            (path.with_suffix(".pkl") if is_added else path).write_bytes(bait)
            if is_added:
                (path.parent / "checkpoint").write_bytes(bait)  # the name of an older format
        check_restored(work / "saved")
        assert not (work / "sprung").exists()


@cases(20)
@given(st.data())
def test_a_damaged_file_is_read_around_or_refused(saved: pathlib.Path, data: st.DataObject) -> None:
    with sandbox() as work:
        shutil.copytree(saved, work / "saved")
        files = files_of(work / "saved")
        path = work / "saved" / files[data.draw(st.integers(0, len(files) - 1))]
        path.write_bytes(data.draw(damaged(path.read_bytes())))
        check_restored(work / "saved")


@cases(60)
@given(st.data())
def test_a_damaged_fit_counts_as_absent(saved: pathlib.Path, data: st.DataObject) -> None:
    with sandbox() as work:
        shutil.copytree(saved / "fits", work / "fits")
        (file,) = (work / "fits").iterdir()
        file.write_bytes(data.draw(damaged(file.read_bytes())))
        cache.clear_memory()
        fit = cache.load(_DIGEST, str(work / "fits"), PARAMS)
        assert fit is None or np.isfinite(fit["dense"]["kernel"]).all()
