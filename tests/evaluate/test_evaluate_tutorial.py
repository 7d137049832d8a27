"""The network of a tutorial: it learns, keeps its best epoch and ends in time."""

import itertools
import types

import numpy as np
import pytest

from xfernas_jax.data.base import ImageDataset, Split
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate import tutorial
from xfernas_jax.history.record import Task


def bright_or_dark(seed: int, count: int) -> Split:
    labels = np.arange(count, dtype=np.int32) % 2
    noise = np.random.default_rng(seed).integers(0, 60, (count, 8, 8, 1))
    return Split((noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels)


DATA = ImageDataset(
    Task("light", "s", 2),
    bright_or_dark(0, 160),
    bright_or_dark(1, 40),
    bright_or_dark(2, 40),
    ("dark", "bright"),
)


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(tutorial.NETWORKS))
def test_it_learns_what_is_easy(network: str) -> None:
    found = tutorial.train_tutorial(network, DATA, epochs=12)
    assert found.epochs == 12
    assert found.valid == 1.0
    assert found.test == 1.0


@pytest.mark.slow
def test_it_ends_in_time_and_keeps_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count(0.0, 10.0)  # each look at the clock is ten seconds later
    clock = types.SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr(tutorial, "time", clock)
    shown = iter([0.25, 0.75, 0.5, 0.5, 0.625])
    monkeypatch.setattr(tutorial, "_accuracy", lambda *_: next(shown))
    found = tutorial.train_tutorial("convnet", DATA, seconds=70.0)
    assert found.epochs == 4
    assert found.valid == 0.75
    assert found.test == 0.625  # the reading after the last epoch


def test_an_unknown_network_names_those_there_are() -> None:
    with pytest.raises(FlagError, match="Known: convnet, resnet8"):
        tutorial.train_tutorial("vgg", DATA)
