"""Where --space is left out: whole networks, or the cells that --recipe sizes."""

import pathlib
from collections.abc import Callable

import pytest
from command import given

from xfernas_jax.cli import auto, flags
from xfernas_jax.evaluate.recipes import RECIPES, default_recipe, has_reduction_cell, is_read
from xfernas_jax.evaluate.speed import Speed
from xfernas_jax.space import get_space

ALONE = "--sources=none"  # reading sources takes seconds


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of known speed, which is not measured."""
    monkeypatch.setattr(auto, "training_speed", lambda *_, **__: Speed(2e-4, 8.0))


@pytest.mark.parametrize(
    ("words", "space"),
    [
        ([], "convnet"),
        (["--recipe=auto"], "convnet"),
        (["--recipe=my_recipe:MINE"], "convnet"),
        (["--objective=my_model:score"], "convnet"),
        (["--budget_evaluations=3"], "convnet"),
        (["--recipe=cpu"], "nasbench201"),
        (["--recipe=proxy"], "nasbench201"),
        (["--recipe=final"], "nasbench201"),
        (["--recipe=cpu_two_cell"], "nao5"),
        (["--space=nao11"], "nao11"),
        (["--space=convnet", "--recipe=cpu"], "convnet"),
        (["--space=my_space:SPACE", "--recipe=cpu"], "my_space:SPACE"),
        (["--space="], ""),  # a mistake, which stays one
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_space_that_is_left_out(words: list[str], space: str) -> None:
    with given("search", *words):
        assert flags.space_name() == space


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_recipe_of_cells_brings_a_space_that_it_sizes(recipe: str) -> None:
    with given("search", f"--recipe={recipe}"):
        space = get_space(flags.space_name())
    assert is_read(space, "filters")
    assert has_reduction_cell(space) == (default_recipe(space) == "cpu_two_cell")
    assert has_reduction_cell(space) == (recipe == "cpu_two_cell")


@pytest.mark.parametrize(
    ("words", "shown", "hidden"),
    [
        pytest.param(
            ["search"],
            ["time: 600 s", "references: vgg", "of convnet"],
            ["chooses 24 "],
            marks=pytest.mark.slow,
        ),
        (["search", "--budget_evaluations=3"], ["chooses 3 architectures of convnet"], ["600 s"]),
        (["search", "--recipe=cpu"], ["(recipe cpu)", "chooses 24 architectures of nasb"], ["600"]),
        (
            ["collect"],
            ["(recipe auto)", "60 architectures of convnet, up to 7 of them known networks"],
            [],
        ),
        (["collect", "--recipe=cpu_two_cell"], ["(recipe cpu_two_cell)", "of nao5"], []),
        (
            ["train", "--genotype=published:resnet8", "--recipe=cpu"],
            ["(recipe cpu)", "of conv"],
            [],
        ),
        (["train", "--genotype=published:nasbench201_best"], ["(recipe cpu)", "of nasb"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_planned_without_a_space(
    fast: None,
    words: list[str],
    shown: list[str],
    hidden: list[str],
    run_command: Callable,
    tmp_path: pathlib.Path,
) -> None:
    alone = [ALONE] if words[0] == "search" else []
    done = run_command(*words, *alone, "--dry_run", f"--workdir={tmp_path}")
    assert (done.code, done.err) == (0, "")
    for part in shown:
        assert part in done.out
    for part in hidden:
        assert part not in done.out


def test_a_size_of_cells_without_a_space_says_which_spaces_have_one(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    done = run_command("search", "--set=network.filters=4", f"--workdir={tmp_path}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "give a --space of cells, such as nasbench201" in done.err


def test_the_help_says_what_is_taken_without_a_space(run_command: Callable) -> None:
    words = " ".join(run_command("search", "--help").out.split())
    assert "by default convnet, or where --recipe is one of cells nasbench201" in words
