import numpy as np

from xfernas_jax.cli.plan_words import collect_lines, recipe_line, search_lines, train_lines
from xfernas_jax.data.base import ImageDataset, Split
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.history.record import Task
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.space.registry import get_space

SPACE, LARGE = get_space("nasbench201"), get_space("nao5")


def test_a_search_says_what_it_evaluates_and_confirms() -> None:
    assert search_lines(SearchPlan(), SPACE, "xfer_nao", 4, 0)[:3] == [
        "plan: xfer_nao chooses 24 architectures of nasbench201 (15,625 in all), 4 at a time",
        "learns from: 4 tasks",
        "then: the 3 best are trained 3 times more (9 trainings); the best is tested once",
    ]


def test_a_search_without_time_to_compare_says_that_it_trains_at_once() -> None:
    lines = search_lines(SearchPlan(0, finishes=True), SPACE, "xfer_nao", 4, 0)
    assert lines[0] == "plan: no short trainings; the full training begins at once"
    assert lines[1].startswith("then: the best is trained by the full recipe")


def test_a_search_that_goes_on_says_what_is_done() -> None:
    lines = search_lines(SearchPlan(schedule="async"), LARGE, "nao", 0, 7)
    assert lines[0] == "plan: nao chooses 24 architectures of nao5, async"
    assert lines[1:3] == [
        "learns from: no other task",
        "done before: 7 evaluations of this study",
    ]


def test_a_search_by_a_function_promises_no_confirmation_and_no_test() -> None:
    plan = SearchPlan(confirm_seeds=0, reads_test=False)
    text = " ".join(search_lines(plan, SPACE, "random", 0, 0))
    assert "trained" not in text
    assert "tested" not in text


def test_every_plan_says_that_the_time_is_not_known() -> None:
    plans = [
        search_lines(SearchPlan(), SPACE, "random", 0, 0),
        collect_lines(SPACE, 60, 30),
        train_lines(SPACE, 6418),
    ]
    assert all(lines[-1].startswith("time: not known") for lines in plans)
    assert plans[1][0].endswith("60 random architectures of nasbench201 (15,625 in all), 30 of "
                                "them twice")  # fmt: skip
    assert "6,418 parameters" in plans[2][0]


def test_a_recipe_says_pixels_epochs_batch_and_size_of_the_network() -> None:
    split = Split(np.zeros((130, 6, 8, 3), np.uint8), np.zeros(130, np.int32))
    dataset = ImageDataset(Task("own", "as given", 2), split, split, split, ("a", "b"))
    assert recipe_line(get_recipe("cpu"), dataset) == (
        "each training (recipe cpu): 130 images of 6x8 pixels, 16 epochs of 2 steps with 64 "
        "images, sgd; network: 1 stage of 2 cells, 8 filters"
    )
