"""`predict`: classes of picture files, by one network or several."""

import csv
import io
import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from exported import rename_classes, write_network
from PIL import Image

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.export.load import load_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Pictures of many sizes and modes in two folders, with other files beside them."""
    folder = tmp_path_factory.mktemp("pictures")
    test = load_dataset("digits", get_recipe("cpu").data).test
    for row in range(70):
        place = folder / ("first" if row % 2 else "second")
        place.mkdir(exist_ok=True)
        image = Image.fromarray(np.asarray(test.images[row])[..., 0])
        image = image.convert("RGB" if row % 3 else "L").resize((8 + row % 5, 8 + row % 4))
        image.save(place / f"{row:02}.{'jpg' if row % 7 == 0 else 'png'}")
    (folder / "first" / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"x")
    return folder


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_gives_a_row_for_each_picture_with_names_and_probabilities(
    run_command: Callable, network: pathlib.Path, pictures: pathlib.Path
) -> None:
    done = run_command("predict", f"--model={network}", str(pictures))
    assert done.code == 0, done.err
    assert done.err == (f"run.py: {pictures}: 1 files are no pictures (notes.txt).\n")
    rows = table(done.out)
    files = sorted(pictures.rglob("[0-9]*"))
    assert [row["file"] for row in rows] == [str(file) for file in files]
    loaded = load_network(network)
    shares = loaded.probabilities(
        [np.asarray(Image.open(f).convert("L"))[..., None] for f in files]
    )
    for row, share in zip(rows, shares, strict=True):
        found = [float(row[name]) for name in loaded.class_names]
        np.testing.assert_allclose(found, share, rtol=1e-5, atol=1e-9)
        assert row["class"] == loaded.class_names[int(share.argmax())]
        assert float(row["probability"]) == max(found)


def test_single_files_and_json(
    run_command: Callable, network: pathlib.Path, pictures: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    files = [str(pictures / "first" / "01.png"), str(pictures / "second" / "02.png")]
    output = tmp_path / "new" / "found.json"
    done = run_command("predict", f"--model={network}", f"--output={output}", *files)
    assert (done.code, done.out) == (0, "")
    rows = json.loads(output.read_text())
    assert [row["file"] for row in rows] == files
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1.0)
    table_file = tmp_path / "found.csv"
    assert run_command("predict", f"--model={network}", f"--output={table_file}", *files).code == 0
    assert [row["class"] for row in table(table_file.read_text())] == [r["class"] for r in rows]


def test_what_cannot_be_read_is_named_and_the_rest_is_predicted(
    run_command: Callable, network: pathlib.Path, pictures: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = shutil.copytree(pictures, tmp_path / "some")
    (folder / "broken.png").write_bytes((folder / "first" / "01.png").read_bytes()[:40])
    (folder / "text.jpg").write_text("no picture")
    output = tmp_path / "found.csv"
    done = run_command("predict", f"--model={network}", f"--output={output}", str(folder))
    assert done.code == 1
    assert len(table(output.read_text())) == 70
    lines = done.err.splitlines()[1:]
    assert len(lines) == 3
    assert "broken.png: is not a readable image" in lines[0]
    assert "text.jpg: is not a readable image" in lines[1]
    assert "2 of 72 pictures could not be read; all others are predicted." in lines[2]


def test_the_mean_of_two_networks_and_two_of_other_classes(
    run_command: Callable, network: pathlib.Path, pictures: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = str(pictures / "first" / "01.png")
    single = run_command("predict", f"--model={network}", file)
    both = run_command("predict", f"--model={network},{network}", file)
    assert both.out == single.out
    other = shutil.copytree(network, tmp_path / "other")
    rename_classes(other, "abcdefghij")
    done = run_command("predict", f"--model={network},{other}", file)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "of different classes (10 and 10; '0' is of one of them)" in done.err
    rename_classes(other, "9876543210")
    assert "in another order" in run_command("predict", f"--model={network},{other}", file).err


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["x.png"], "predict needs --model=FOLDER"),
        (["--model=nowhere", "{picture}"], "nowhere: there is no such folder"),
        (["--model={network}"], "predict needs pictures"),
        (["--model={network}", "nowhere.png"], "nowhere.png: there is no such file or folder"),
        (["--model={network}", "{network}"], "holds no pictures"),
        (["--model={network}", "--output=found.txt", "{picture}"], "a .csv or a .json file"),
        (["--model={network}", "--output=/proc/x/found.csv", "{picture}"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line(
    run_command: Callable,
    network: pathlib.Path,
    pictures: pathlib.Path,
    words: list[str],
    rule: str,
) -> None:
    names = {"network": network, "picture": pictures / "first" / "01.png"}
    done = run_command("predict", *(word.format(**names) for word in words))
    assert done.code == 2
    assert rule in done.err.splitlines()[-1]
    assert done.out == ""
