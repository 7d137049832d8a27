import dataclasses
import json
import math
import pathlib

import pytest

from experiments.auto_fit import (
    MOST,
    WANTED,
    Curve,
    Training,
    best_known,
    chosen_by_rule,
    curves,
    fit,
    losses,
    read_trainings,
)

SMALL = Curve("small", 32, 1.0, (10, 20, 40), (0.5, 0.6, 0.65))
LARGE = Curve("large", 32, 4.0, (10, 20), (0.6, 0.7))
SHARP = Curve("small", 64, 4.0, (10, 20), (0.7, 0.8))


def training(network: str, epochs: int, accuracy: float, seed: int = 0) -> Training:
    return Training("toy", network, 32, epochs, seed, 100, 0.01, accuracy, 1.0, "c")


def test_accuracy_between_is_interpolated_over_the_logarithm_and_ends_stay() -> None:
    assert SMALL.at(20) == pytest.approx(0.6)
    assert SMALL.at(math.sqrt(10 * 20)) == pytest.approx(0.55)
    assert (SMALL.at(5), SMALL.at(80)) == (0.25, 0.65)


def test_curves_are_means_over_seeds_and_need_two_lengths() -> None:
    found = curves(
        [
            training("a", 10, 0.4),
            training("a", 10, 0.6, seed=1),
            training("a", 20, 0.7),
            training("b", 10, 0.9),
        ]
    )
    assert [(c.network, c.epochs, c.accuracy) for c in found] == [
        ("a", (10, 20), (pytest.approx(0.5), 0.7))
    ]
    assert found[0].epoch_work == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("work", "wanted", "most", "curve", "epochs"),
    [
        (40.0, 25, 80, SMALL, 40.0),  # the large images would get 10
        (40.0, 10, 80, SHARP, 10.0),
        (40.0, 25, 20, SMALL, 20.0),
        (200.0, 25, 80, SHARP, 50.0),
        (5.0, 10, 80, SMALL, 5.0),  # nothing gets them: the smallest
    ],
)
def test_the_rule_takes_the_largest_images_that_get_the_wanted_epochs(
    work: float, wanted: int, most: int, curve: Curve, epochs: float
) -> None:
    assert chosen_by_rule([SMALL, LARGE, SHARP], "small", work, wanted, most) == (curve, epochs)


def test_the_rule_takes_the_largest_network_at_its_size() -> None:
    assert chosen_by_rule([SMALL, LARGE], "small", 80.0, 20, 80) == (LARGE, 20.0)
    assert chosen_by_rule([SMALL, LARGE], "small", 79.0, 20, 80) == (SMALL, 79.0)


def test_the_best_is_never_worse_than_what_the_rule_takes() -> None:
    its = [SMALL, LARGE, SHARP]
    assert best_known(its, 40.0) == pytest.approx(0.7)
    assert best_known([SMALL], 10.0) == pytest.approx(0.5)
    for wanted in WANTED:
        assert (losses(its, "small", wanted, 80) >= -1e-9).all()


def test_the_fit_names_the_pair_that_leaves_least(tmp_path: pathlib.Path) -> None:
    by_set = {"a": [SMALL, LARGE, SHARP], "b": [SMALL, LARGE]}
    found = fit(by_set, "small")
    assert len(found["pairs"]) == len(WANTED) * len(MOST)
    least = min(found["pairs"], key=lambda row: row["loss"])
    assert found["best_loss"] == least["loss"] <= found["present_loss"]
    for its in found["left_out"].values():
        assert its["loss"] >= its["least_loss"]


def test_trainings_come_back_from_their_files(tmp_path: pathlib.Path) -> None:
    its = training("a", 10, 0.4)
    (tmp_path / "trainings").mkdir()
    (tmp_path / "trainings" / "one.json").write_text(json.dumps(dataclasses.asdict(its)))
    assert read_trainings(tmp_path) == [its]
