"""The first lines of the commands that train, and `--dry_run`, which ends after them."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from xfernas_jax.cli import inputs
from xfernas_jax.space import get_space, write_genotype
from xfernas_jax.space.nasbench201 import TopologyCell

HERE = str(pathlib.Path(__file__).parent)  # the folder of the user's module
CELLS = "--space=nasbench201"  # a search of whole networks first measures a speed
ALONE = "--sources=none"  # reading sources takes seconds
CELL = TopologyCell(("nor_conv_1x1", "none", "identity", "none", "none", "identity"))
QUICK = [
    "--set=train.epochs=1",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
    "--study=mine",
    CELLS,
]


def words_of(verb: str, folder: pathlib.Path) -> list[str]:
    if verb != "train":
        return [verb, CELLS, *([ALONE] if verb == "search" else [])]
    write_genotype(folder / "cell.json", get_space("nasbench201"), CELL)
    return [verb, f"--genotype={folder / 'cell.json'}"]


@pytest.mark.parametrize("verb", ["search", "collect", "train"])
def test_a_dry_run_says_data_recipe_and_plan_and_writes_nothing(
    verb: str, run_command: Callable, tmp_path: pathlib.Path
) -> None:
    work, output, events = (tmp_path / name for name in ("work", "out", "events"))
    words = [*words_of(verb, tmp_path), f"--workdir={work}", "--dry_run"]
    words += [f"--tensorboard_dir={events}"]
    words += [] if verb == "collect" else [f"--output={output / 'o.json'}"]
    done = run_command(*words)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("digits: 1,079 training, 359 validation and 359 test images")
    assert any(line.startswith("used: 8x8 pixels, 512 of 1,079") for line in lines)
    assert any(line.startswith("each training (recipe cpu)") for line in lines)
    assert any(line.startswith("plan: ") for line in lines)
    assert lines[-1] == "Dry run: nothing was trained and nothing written."
    assert not any(path.exists() for path in (work, output, events))


def test_a_dry_run_keeps_no_compiled_programs(
    run_command: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(inputs, "use_compiled_programs", lambda: opened.append(1))
    done = run_command("collect", CELLS, "--dry_run", f"--workdir={tmp_path}")
    assert (done.code, opened) == (0, [])


def test_a_dry_run_of_a_users_function_has_a_plan_and_no_data(
    run_command: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(HERE)
    words = ["search", "--objective=objective_cases:distance", "--space=objective_cases:SPACE"]
    done = run_command(*words, f"--workdir={tmp_path}", ALONE, "--dry_run")
    assert done.code == 0, done.err
    assert "plan: xfer_nao chooses 24 architectures of four_letters" in done.out
    assert "image" not in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_verb_that_cannot_run_dry_refuses_to(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    done = run_command("export", "--study=mine", "--dry_run", f"--workdir={tmp_path}")
    assert done.code == 2
    assert "--dry_run is for `search`, `collect`, `train`" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--optimizer=xfer_nap"], "xfer_nap"),
        (["--dataset=folder:absent"], "absent"),
        (["--set=train.batch_size=30", "--devices_per_evaluation=4"], "train.batch_size"),
        (["--sources=nobody"], "nobody"),
    ],
)
def test_a_dry_run_shows_a_mistake_as_the_run_would(
    words: list[str], part: str, run_command: Callable, tmp_path: pathlib.Path
) -> None:
    shared = [] if any("sources" in word for word in words) else [ALONE]
    done = run_command("search", CELLS, *words, *shared, "--dry_run", f"--workdir={tmp_path}")
    assert done.code == 2
    assert part in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_names_of_classes_cannot_command_the_terminal(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "toy.npz"
    names = np.array(["a\x1b[2J", "b\nc"])
    pixels = rng.integers(0, 256, (40, 4, 4), np.uint8)
    np.savez(file, x=pixels, y=np.arange(40) % 2, class_names=names)
    done = run_command(
        "collect", CELLS, f"--dataset={file}", "--dry_run", f"--workdir={tmp_path / 'w'}"
    )
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert "\\x1b[2J" in done.out


@pytest.mark.slow
def test_a_run_begins_with_the_same_lines_and_a_dry_run_says_what_is_done(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    words = ["search", "--optimizer=random", ALONE, "--budget_evaluations=2", "--batch_size=1"]
    words += [*QUICK, "--confirm_seeds=1", f"--workdir={tmp_path}"]
    first = run_command(*words)
    assert first.code == 0, first.err
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    dry = run_command(*words, "--budget_evaluations=3", "--dry_run")
    assert dry.code == 0, dry.err
    data = [line for line in dry.out.splitlines() if line.startswith(("digits:", "used:"))]
    assert len(data) == 2
    assert all(line in first.out.splitlines() for line in data)
    assert "done before: 2 evaluations of this study" in dry.out
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before
