"""The table of convnet histories: its rows, its values and what is read off it."""

import json
import pathlib
import sys
from unittest import mock

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import convnet_table
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.tabular import load_table
from xfernas_jax.history import Evaluation, Job, Result, StudySpec, Task, write_jsonl
from xfernas_jax.space import get_space
from xfernas_jax.space.published import VGG_TINY

SPACE = get_space("convnet")
RNG = np.random.default_rng(3)
NETWORKS = [VGG_TINY, *(SPACE.sample(RNG) for _ in range(4))]


def write(folder: pathlib.Path, task: str, values: list[list[float]], recipe: str = "r") -> str:
    """Writes the history of a task: the values of each network's trainings."""
    spec = StudySpec(f"convnet-{task}", "collect", Task(task, "s", 10), SPACE.name, recipe, {})
    pairs = [(n, s, v) for n, its in enumerate(values) for s, v in enumerate(its)]
    rows = [
        Evaluation(
            Job(i, NETWORKS[n], SPACE.key(NETWORKS[n]), s, "collect"),
            Result("complete", v, (v,), (("params", 1.0),), 1.0),
            recipe,
        )
        for i, (n, s, v) in enumerate(pairs)
    ]
    file = folder / f"{task}{recipe}.jsonl"
    write_jsonl(file, spec, rows)
    return str(file)


def run(results: pathlib.Path, *files: str) -> dict:
    words = ["x", f"--table_dir={results}", f"--histories={','.join(files)}"]
    with flagsaver.flagsaver(), mock.patch.object(sys, "argv", words):
        flags.FLAGS(words)
        convnet_table.main()
    return json.loads((results / "facts.json").read_text())


def test_common_architectures_become_rows_with_mean_values(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path, "usps-ab12", [[0.5, 0.7], [0.4], [0.8], [0.1], [0.2]])
    second = write(tmp_path, "digits", [[0.3], [0.2], [0.9], [0.05]])  # one architecture less
    found = run(tmp_path / "out", first, second)
    assert found["common_architectures"] == 4
    table = load_table(tmp_path / "out", "convnet")
    assert len(table.space.rows) == 4
    values = table.column("usps", "valid").values
    assert values.tolist() == pytest.approx([0.6, 0.4, 0.8, 0.1])
    assert table.column("digits", "valid").values.tolist() == [0.3, 0.2, 0.9, 0.05]


def test_facts_say_how_tasks_agree_and_where_known_networks_stand(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path, "usps", [[0.5, 0.7], [0.4], [0.8], [0.1]])
    second = write(tmp_path, "digits", [[0.3], [0.2], [0.9], [0.05]])
    row = run(tmp_path / "out", first, second)["tasks"]["usps"]
    assert row["rank_correlation"] == {"digits": pytest.approx(1.0)}
    assert row["noise"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert row["percent_better_than_what_others_recommend"] == 0.0
    assert row["percent_better_than"] == {"vgg_tiny": pytest.approx(100 / 3)}


def test_tasks_without_a_common_architecture_are_refused(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path, "usps", [[0.5]])
    second = write(tmp_path, "digits", [[], [0.2], [0.4]])
    with pytest.raises(FlagError, match="no two architectures in common"):
        run(tmp_path / "out", first, second)


def test_recipes_are_not_mixed(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path, "usps", [[0.5], [0.4]])
    second = write(tmp_path, "usps", [[0.5], [0.4]], recipe="other")
    with pytest.raises(FlagError, match="usps has several recipes"):
        run(tmp_path / "out", first, second)
