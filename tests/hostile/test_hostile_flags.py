"""Command lines: what is asked for, or one line and exit code 2."""

import contextlib
import io
import json
import pathlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import matplotlib.font_manager  # noqa: F401  (it makes its folders, before a case forbids that)
import numpy as np
import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver
from hostile_guard import CANARY, cases, refused, sandbox
from hostile_values import damaged, mutated, names, numbers, to_text
from hypothesis import example, given
from hypothesis import strategies as st

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.outcome import hand_over as hand_over_search
from xfernas_jax.cli.train import _hand_over as hand_over_training
from xfernas_jax.cli.train import _read_result
from xfernas_jax.data import load_dataset
from xfernas_jax.evaluate.recipes import RECIPES, get_recipe
from xfernas_jax.history import ACCURACY, Storage, StudySpec, Task
from xfernas_jax.search.result import read_result
from xfernas_jax.space import SPACES

SPACE = SPACES["nasbench201"]
# What a program can be given as a word: no NUL, and bytes that are not UTF-8 as surrogates.
words = st.one_of(names, numbers.map(str)).map(
    lambda word: word.replace("\0", "").encode("utf-8", "replace").decode()
)
FIELDS = sorted(
    f"{part}.{field}"
    for part in ("network", "data", "train")
    for field in vars(getattr(RECIPES["cpu"], part))
)
FLAGS = (
    "architecture_numbers", "batch_size", "budget_evaluations", "compile_cache_gib",
    "confirm_seeds", "costs", "data_dir", "dataset", "devices_per_evaluation", "early_stop",
    "encoder", "evaluation", "executor", "max_cost", "metric", "no_such_flag", "num_architectures",
    "num_repeated", "optimizer", "output", "output_dir", "pareto", "programs", "recipe",
    "reuse_target", "schedule", "sections", "seed", "set", "sources", "space", "storage", "study",
    "surrogate",
)  # fmt: skip
STORAGES = (
    "sqlite:///", "sqlite:////", "sqlite://h/x.db", "sqlite:///:memory:", "sqlite:///x?mode=ro",
    "sqlite+aiosqlite:///x.db", "postgresql://127.0.0.1:1/db", "postgresql://u:p@127.0.0.1:99999/db",
    "postgresql://[::1", "postgresql://127.0.0.1:x/db", "mysql://h/db", "hostile_canary://h/db",
    "sqlite+hostile_canary:///x.db", "redis://h", "://", "sqlite", "file:///x.db",
)  # fmt: skip
REFUSED = {  # a flag that each verb uses, with a value that it refuses
    "": "--optimizer=nobody",
    "search": "--optimizer=nobody",
    "collect": "--devices_per_evaluation=3",
    "train": "--genotype=absent.json",
    "export": "--storage=mysql://h/db",
    "report": "--storage=mysql://h/db",
    "history list": "--storage=mysql://h/db",
    "history export": "--storage=mysql://h/db",
}
# Verbs that compare images and measure a speed before they refuse, where the space is no cells.
LOOKS = ("", "search", "collect")
ARGUMENTS = (
    [f"--{flag}={{}}" for flag in FLAGS]
    + [f"--set={field}={{}}" for field in FIELDS]
    + ["--dataset=npz:{}", "--dataset=folder:{}", "--dataset={}.npz", "{}", "--{}", "-{}"]
)


@pytest.fixture(autouse=True)
def _no_prepared_sets(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "absent"))


@contextlib.contextmanager
def sandbox_as_current_folder() -> Iterator[pathlib.Path]:
    with sandbox() as work, contextlib.chdir(work):
        yield work


@pytest.mark.slow
@cases(60)
@given(
    st.sampled_from(sorted(REFUSED)),
    st.lists(st.tuples(st.sampled_from(ARGUMENTS), words), min_size=1, max_size=2),
)
@example("search", [("--sources={}", "[/red]")])
@example("search", [("--study={}", "[/red]")])
@example("search", [("--seed={}", str(2**64))])
@example("search", [("--compile_cache_gib={}", "nan")])
def test_a_command_line_is_refused_in_one_line(
    command: Callable, verb: str, given_words: list[tuple[str, str]]
) -> None:
    with sandbox_as_current_folder() as work:
        changed = [form.format(word) for form, word in given_words]
        changed = [word for word in changed if "help" not in word and CANARY not in word]
        changed = [word for word in changed if not (word.startswith("--output") and ".." in word)]
        changed = [word.replace("--output_dir=/", "--output_dir=./") for word in changed]
        changed = [word.replace("--output=/", "--output=./") for word in changed]
        space = [f"--space={SPACE.name}"] if verb in LOOKS else []
        # Whatever fits is refused by the last flag, so that nothing is trained.
        command(*verb.split(), *space, *changed, f"--workdir={work}/runs", REFUSED[verb])


@cases(150)
@given(
    st.sampled_from(FIELDS),
    st.one_of(words, numbers.map(str), st.sampled_from(["null", "true", "inf", "nan", "-inf"])),
    st.sampled_from(sorted(RECIPES)),
)
def test_a_recipe_value_is_set_or_refused(field: str, text: str, name: str) -> None:
    with sandbox():
        was_refused, recipe = refused(lambda: get_recipe(name, [f"{field}={text}"]))
        if not was_refused:
            json.dumps(recipe.to_json(), allow_nan=False)
            part, _, attribute = field.partition(".")
            value = getattr(getattr(recipe, part), attribute)
            assert (
                value is None
                or type(value)(text if text != "true" else 1) == value
                or (text == "false" and value is False)
            )


@pytest.mark.slow
@cases(40)
@given(st.one_of(st.sampled_from(STORAGES), words.map("sqlite:///{}".format), words))
@example("sqlite:///~nobody_here/x.db")
@example(f"sqlite:///{'x' * 5000}")
def test_a_storage_url_is_opened_where_it_says_or_refused(url: str) -> None:
    with sandbox_as_current_folder():
        if not url.startswith(("sqlite:////", "sqlite:///..")) and url != "sqlite:///~":
            was_refused, storage = refused(lambda: Storage(url))
            if not was_refused:
                with closing(storage):
                    assert storage.studies() == ()


@cases(40)
@given(words)
def test_a_study_of_any_name_stays_in_its_folder(name: str) -> None:
    with sandbox() as work, flagsaver.flagsaver():
        absl_flags.FLAGS.unparse_flags()
        flags.parse(["run.py", f"--workdir={work}"])
        folder = inputs.folder_of("studies", name)
        assert folder.resolve().is_relative_to(work / "studies")
        assert len(folder.name.encode()) < 256


def test_the_record_lies_beside_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox() as work, flagsaver.flagsaver():
        monkeypatch.setenv("HOME", str(work))
        absl_flags.FLAGS.unparse_flags()
        flags.parse(["run.py", "--workdir=~/runs"])
        assert inputs.storage_url() == f"sqlite:///{work}/runs/history.db"
        assert inputs.folder_of("studies", "s") == work / "runs" / "studies" / "s"
        assert inputs.compile_cache_folder() == str(work / "runs" / "compile_cache")


RESULT = {
    "valid_value": 0.5,
    "test_value": 0.5,
    "num_params": 10,
    "curve": [0.25, 0.5],
}


@cases(60)
@given(st.one_of(mutated(RESULT).map(to_text), damaged(json.dumps(RESULT).encode())))
def test_a_changed_result_of_a_training_is_shown_or_refused(content: str | bytes) -> None:
    with sandbox() as work:
        file = work / "result.json"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        was_refused, result = refused(lambda: _read_result(file))
        if not was_refused:
            with contextlib.redirect_stdout(io.StringIO()):
                hand_over_training(result, work, ACCURACY, ())


FOUND = {
    "study": "s",
    "num_evaluations": 1,
    "num_confirmations": 1,
    "best_genotype": SPACE.to_json(SPACE.sample(np.random.default_rng(0))),
    "best_value": 0.5,
    "test_value": 0.5,
    "finalists": [{"genotype": {}, "values": [0.25, 0.75], "mean": 0.5}],
    "selection_bias": None,
    "num_params": 10,
    "seconds": 1.5,
    "sources": ["t@r"],
    "incumbent_curve": [None, 0.5],
    "epochs_trained": 8,
    "epochs_saved": 0,
    "variables": "v",
}


@pytest.mark.parametrize(
    ("record", "optimizer", "shown"),
    [
        ({"dataset_flag": f"{CANARY}:NAME"}, "sgd", "--dataset"),
        ({"dataset_flag": 7}, "sgd", "damaged"),
        ({"dataset_flag": "npz:absent.npz"}, f"{CANARY}:NAME", "--set=train.optimizer"),
        ({"variables": "../../outside-0", "dataset_flag": "digits"}, "sgd", "training of its own"),
        ({"num_evaluations": "1"}, "sgd", "damaged"),
    ],
)
def test_export_runs_no_code_that_a_record_names(
    command: Callable, record: dict[str, Any], optimizer: str, shown: str
) -> None:
    recipe = get_recipe("cpu", [f"train.optimizer={optimizer}"])
    task = load_dataset("digits", recipe.data).task
    spec = StudySpec("s", "search", task, SPACE.name, "r", {"recipe": recipe.to_json()})
    with sandbox() as work:
        with Storage(f"sqlite:///{work}/history.db") as storage:
            storage.create_or_open(spec)
            storage.set_result("s", {**FOUND, **record})
        done = command("export", f"--output_dir={work}/out", f"--workdir={work}")
        assert shown in done.err
        assert not (work / "out").exists()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A record with one study."""
    with Storage(f"sqlite:///{tmp_path_factory.mktemp('record')}/history.db") as opened:
        opened.create_or_open(StudySpec("s", "search", Task("d", "s", 2), SPACE.name, "r", {}))
        yield opened


@cases(60)
@given(mutated(FOUND).filter(lambda value: isinstance(value, dict)))
def test_a_changed_result_of_a_search_is_shown_or_refused(
    storage: Storage, value: dict[str, Any]
) -> None:
    with sandbox() as work, flagsaver.flagsaver():
        absl_flags.FLAGS.unparse_flags()
        flags.parse(["run.py", f"--workdir={work}"])
        if refused(lambda: storage.set_result("s", value))[0]:
            return
        was_refused, result = refused(lambda: read_result(storage.result("s"), "Study 's'"))
        if not was_refused and result["study"] == "s":
            with contextlib.redirect_stdout(io.StringIO()):
                refused(lambda: hand_over_search(SPACE, result, ACCURACY))
