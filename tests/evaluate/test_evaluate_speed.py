"""The speed of a device: measured once, and again where the measurement is none of this."""

import dataclasses
import pathlib
import types
from typing import Any

import jax
import pytest

from xfernas_jax.evaluate import speed
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.speed import Gauge, Speed, training_speed
from xfernas_jax.space import PUBLISHED, get_space

SPACE = get_space("convnet")
ASKED: dict[str, Any] = {
    "space": SPACE,
    "genotype": PUBLISHED["vgg_tiny"][1],
    "recipe": get_recipe("cpu"),
    "input_shape": (8, 8, 1),
    "num_classes": 10,
    "devices": [types.SimpleNamespace(device_kind="chip")],
}
OTHERS: dict[str, Any] = {
    "genotype": PUBLISHED["resnet8"][1],
    "recipe": get_recipe("cpu", ["train.batch_size=16"]),
    "input_shape": (8, 8, 3),
    "num_classes": 11,
    "devices": [types.SimpleNamespace(device_kind="other chip")],
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Speed]:
    """What was measured, in order; each measurement gives another number."""
    found: list[Speed] = []

    def measure(*_: Any) -> Speed:
        found.append(Speed(0.1 / (len(found) + 3), 1.0 / 3.0))
        return found[-1]

    monkeypatch.setattr(speed, "_measure", measure)
    return found


def test_a_measurement_is_read_again_with_every_bit(
    measured: list[Speed], tmp_path: pathlib.Path
) -> None:
    first = training_speed(Gauge(**ASKED), tmp_path / "new" / "folder")
    assert training_speed(Gauge(**ASKED), tmp_path / "new" / "folder") == first
    assert measured == [first]


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_another_of_what_decides_it_is_another_measurement(
    name: str, measured: list[Speed], tmp_path: pathlib.Path
) -> None:
    first = training_speed(Gauge(**ASKED), tmp_path)
    other = training_speed(Gauge(**{**ASKED, name: OTHERS[name]}), tmp_path)
    assert other != first
    assert training_speed(Gauge(**ASKED), tmp_path) == first
    assert len(measured) == 2


def test_another_number_of_devices_is_another_measurement(
    measured: list[Speed], tmp_path: pathlib.Path
) -> None:
    training_speed(Gauge(**ASKED), tmp_path)
    training_speed(Gauge(**{**ASKED, "devices": 2 * ASKED["devices"]}), tmp_path)
    assert len(measured) == 2


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"seconds_per_image": 0.1}',
        b'{"seconds_per_image": NaN, "compile_seconds": 1.0}',
        b'{"seconds_per_image": -0.1, "compile_seconds": 1.0}',
        b'{"seconds_per_image": [0.1], "compile_seconds": 1.0}',
        b'{"seconds_per_image": 0.1, "compile_seconds": Infinity}',
        b'{"seconds_per_image": 0.1, "compile_seconds": -1.0}',
    ],
    ids=repr,
)
def test_a_damaged_measurement_is_made_again(
    text: bytes, measured: list[Speed], tmp_path: pathlib.Path
) -> None:
    training_speed(Gauge(**ASKED), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(text)
    again = training_speed(Gauge(**ASKED), tmp_path)
    assert measured[1:] == [again]
    assert training_speed(Gauge(**ASKED), tmp_path) == again
    assert len(measured) == 2


def test_without_a_folder_it_is_measured_each_time(measured: list[Speed]) -> None:
    training_speed(Gauge(**ASKED))
    training_speed(Gauge(**ASKED))
    assert len(measured) == 2


@pytest.mark.slow
def test_what_is_measured_is_a_short_time() -> None:
    asked = {**ASKED, "devices": jax.devices()[:1]}
    found = training_speed(Gauge(**asked))
    assert 0.0 < found.seconds_per_image < 1.0
    assert found.compile_seconds > 0.0
    assert dataclasses.asdict(found).keys() == {"seconds_per_image", "compile_seconds"}
