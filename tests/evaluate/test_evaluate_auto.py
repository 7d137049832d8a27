"""The rules of the recipe "auto": pure functions of the data, the speed and the time."""

import json
from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from xfernas_jax.data.base import ImageDataset, Split
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.auto import Reference
from xfernas_jax.evaluate.recipes import recipe_from_json
from xfernas_jax.evaluate.unequal import class_weights
from xfernas_jax.history.metric import ACCURACY
from xfernas_jax.history.record import Task
from xfernas_jax.space import PUBLISHED, get_space

REFERENCES = {
    r.name: r
    for r in (
        Reference("small a", "a", 1e6),
        Reference("large b", "b", 4e7),
        Reference("large a", "a", 2e7),
        Reference("small b", "b", 3e6),
        Reference("c", "c", 1e7),
    )
}
BUDGETS = st.floats(1.0, 1e6)
SPEEDS = st.floats(1e-13, 1e-6)  # seconds for a flop
COUNTS = st.integers(1, 10**6)

START = 8.0  # seconds before a training's first step


def dataset(num_images: int, side: int = 32, channels: int = 3, seed: int = 0) -> ImageDataset:
    rng = np.random.default_rng(seed)

    def part(count: int) -> Split:
        pixels = rng.integers(0, 256, (1, side, side, channels), np.uint8)
        images = np.broadcast_to(pixels, (count, side, side, channels))
        return Split(images, np.arange(count, dtype=np.int32) % 2)

    parts = (part(num_images), part(2), part(2))
    return ImageDataset(Task("toy", "none", 2), *parts, ("a", "b"))


SETS = [dataset(3, 8, 1), dataset(1_079, 8, 1), dataset(50_000), dataset(9_000, 96)]


def recipes(data: ImageDataset) -> Iterator[auto.Recipe]:
    for mirror in (False, True):
        yield auto.search_recipe(data, mirror)
        for side in auto.sides(data):
            yield auto.final_recipe(data, mirror, side)


def test_a_recipe_depends_on_the_shape_of_the_data_and_on_nothing_else() -> None:
    first, second = dataset(500, seed=1), dataset(500, seed=2)
    assert list(recipes(first)) == list(recipes(second))
    assert auto.search_recipe(first, True) != auto.search_recipe(dataset(400), True)


def test_a_search_trains_briefly_on_few_small_images() -> None:
    recipe = auto.search_recipe(dataset(50_000, 64), False)
    assert (recipe.data.train_examples, recipe.data.image_size) == (2_000, 16)
    assert recipe.train.epochs == 5
    assert recipe.train.epochs < auto.final_recipe(dataset(50_000, 64), False, 64).train.epochs
    small = auto.search_recipe(dataset(300, 8, 1), False)
    assert (small.data.train_examples, small.data.image_size) == (300, 8)
    assert small.train.epochs == 33  # as many images in all


def test_the_smallest_sets_are_not_trained_for_ever() -> None:
    assert auto.search_recipe(dataset(7, 8, 1), False).train.epochs == auto.MOST_EPOCHS


def test_a_final_training_sees_all_images() -> None:
    assert auto.final_recipe(dataset(50_000), True, 32).data.train_examples is None


@pytest.mark.parametrize("num_images", [80, 108, 340, 680, 5_000])
def test_an_epoch_of_a_small_set_has_steps_enough_to_learn(num_images: int) -> None:
    """Of 108 photos one step of 64 made an epoch, and the network named one class for all."""
    for recipe in recipes(dataset(num_images, 8, 1)):
        assert num_images // recipe.train.batch_size >= auto.LEAST_STEPS
    final = auto.final_recipe(dataset(num_images, 8, 1), False, 8)
    assert final.train.batch_size == {80: 8, 108: 8, 340: 32}.get(num_images, 64)


@pytest.mark.parametrize("num_images", [1, 2, 3, 7, 63, 64, 65, 1_079, 20_000])
def test_a_batch_fits_into_a_small_set(num_images: int) -> None:
    for recipe in recipes(dataset(num_images, 8, 1)):
        batch = recipe.train.batch_size
        assert 1 <= batch <= num_images
        assert batch & (batch - 1) == 0  # a power of two, which devices divide
        assert recipe.train.learning_rate == pytest.approx(0.1 * batch / 64)


def test_images_are_mirrored_in_training_and_tests_only_where_they_keep_their_class() -> None:
    for data in SETS:
        for recipe in recipes(data):
            assert recipe.data.test_flips == (recipe.data.augment == "crop_flip")
        assert auto.search_recipe(data, False).data.augment == "crop"


def test_a_few_epochs_of_a_large_set_are_of_images_as_they_are() -> None:
    assert not auto.changes_images(auto.LARGE, auto.CHANGED_EPOCHS - 0.1)
    assert auto.changes_images(auto.LARGE, auto.CHANGED_EPOCHS)
    assert auto.changes_images(auto.LARGE - 1, 1.0)
    for mirror in (True, False):
        changed = auto.final_recipe(dataset(500), mirror, 32)
        plain = auto.final_recipe(dataset(500), mirror, 32, change=False)
        assert (plain.data.augment, plain.data.test_flips) == ("none", False)
        assert plain.train == changed.train


def test_grey_digits_of_8_pixels_are_cropped_by_one_and_have_one_size() -> None:
    digits = dataset(1_079, 8, 1)
    assert auto.sides(digits) == (8,)
    for recipe in recipes(digits):
        assert (recipe.data.image_size, recipe.data.crop_padding) == (8, 1)


@pytest.mark.parametrize(
    ("side", "sides"), [(8, (8,)), (32, (32,)), (40, (40, 32)), (64, (64, 48, 32))]
)
def test_no_image_is_enlarged_and_the_largest_size_comes_first(
    side: int, sides: tuple[int, ...]
) -> None:
    assert auto.sides(dataset(2, side)) == sides
    assert auto.sides(dataset(2, 300)) == (64, 48, 32)


def within(seconds: float) -> auto.Budget:
    return auto.Budget(seconds, START)


@given(st.floats(1e-5, 1.0), COUNTS)
def test_the_least_time_is_that_of_the_least_training(speed: float, count: int) -> None:
    least = within(1.0).least_seconds(speed, count)
    assert within(least).epochs(speed, count) == pytest.approx(auto.LEAST_EPOCHS)


@given(SPEEDS, st.floats(1e4, 1e9), COUNTS, BUDGETS, st.floats(1.0, 100.0))
def test_more_time_never_gives_fewer_evaluations_or_smaller_limits(
    speed: float, flops: float, count: int, budget: float, times: float
) -> None:
    recipe = auto.search_recipe(SETS[2], False)
    less = auto.shares(speed, flops, recipe, count, within(budget))
    more = auto.shares(speed, flops, recipe, count, within(times * budget))
    assert 0 <= less.num_evaluations <= more.num_evaluations
    assert 0.0 < less.max_work <= more.max_work
    assert less.search_seconds <= more.search_seconds < more.budget_seconds


@given(SPEEDS, COUNTS, BUDGETS)
def test_a_network_of_the_largest_size_has_time_for_the_fewest_epochs(
    speed: float, count: int, budget: float
) -> None:
    found = auto.shares(speed, 1e6, auto.search_recipe(SETS[2], False), count, within(budget))
    epochs = within(budget).epochs(speed * found.max_work, count)
    assert found.max_work == 1.0 or epochs == pytest.approx(auto.FEWEST_EPOCHS)


@given(SPEEDS, COUNTS, BUDGETS, st.floats(1.0, 100.0))
def test_each_family_has_one_reference_and_more_time_never_a_smaller_one(
    speed: float, count: int, budget: float, times: float
) -> None:
    less = auto.choose_references(REFERENCES, speed, count, within(budget))
    more = auto.choose_references(REFERENCES, speed, count, within(times * budget))
    for names in (less, more):
        assert [REFERENCES[name].family for name in names] == ["a", "b", "c"]
    assert all(REFERENCES[a].work <= REFERENCES[b].work for a, b in zip(less, more, strict=True))


def test_references_are_the_largest_that_can_be_trained_for_long_or_else_the_smallest() -> None:
    no_time = auto.choose_references(REFERENCES, 1e-9, 1_000, within(1.0))
    assert no_time == ("small a", "small b", "c")
    assert auto.choose_references(REFERENCES, 1e-9, 1_000, within(1e9)) == (
        "large a",
        "large b",
        "c",
    )
    seconds = (auto.WANTED_EPOCHS * 2e7 * 1e-9 * 1_000 + START) / auto.FINAL_SHARE
    names = auto.choose_references(REFERENCES, 1e-9, 1_000, within(seconds * 1.001))
    assert names == ("large a", "small b", "c")


def test_known_networks_are_compared_as_time_allows_and_the_first_always() -> None:
    assert [auto.num_compared(3, count) for count in (0, 2, 7, 8, 12, 100)] == [1, 1, 1, 2, 3, 3]
    assert auto.num_compared(0, 5) == 0


def test_memory_bounds_the_activations_and_is_shared_by_a_batch() -> None:
    recipe = auto.final_recipe(dataset(500), True, 32)
    room = auto.most_activations(2**30, recipe, 1)
    assert room * recipe.train.batch_size * auto.BYTES_PER_ACTIVATION == 2**30
    assert auto.most_activations(2**30, recipe, 4) == 4 * room
    assert auto.most_activations(None, recipe, 1) == float("inf")


def test_a_network_grows_as_far_as_it_fits_and_never_shrinks() -> None:
    space, tiny = get_space("convnet"), PUBLISHED["vgg_tiny"][1]
    assert auto.widest(space, tiny, lambda its: its.width <= 30).width == 24
    assert auto.widest(space, tiny, lambda _: False) == tiny
    assert auto.widest(space, tiny, lambda _: True).width == 96


@given(seconds=BUDGETS, speed=SPEEDS, count=COUNTS)
def test_a_network_of_the_most_work_gets_the_epochs_of_a_grown_one(
    seconds: float, speed: float, count: int
) -> None:
    room = auto.most_work(seconds, speed, count, within(1e6))
    taken = START + auto.GROWN_EPOCHS * room * speed * count
    assert taken == pytest.approx(max(seconds, START))


def test_activations_count_as_operations_that_take_as_long() -> None:
    plain, separable = {"flops": 1e6, "activations": 0.0}, {"flops": 1e6, "activations": 1e4}
    assert auto.work(plain) == 1e6
    assert auto.work(separable) == 1e6 + auto.FLOPS_PER_ACTIVATION * 1e4


@pytest.mark.parametrize(
    ("metric", "counts", "weights"),
    [
        ("balanced_accuracy", (10, 40), "root"),
        ("macro_f1", (15, 10), "root"),
        ("balanced_accuracy", (14, 10), "none"),
        ("accuracy", (10, 400), "none"),
        ("log_loss", (10, 400), "none"),
        ("balanced_accuracy", (10, 0, 10), "none"),  # a class without images has no weight
    ],
)
def test_rare_classes_count_more_in_the_loss_where_they_do_in_the_metric(
    metric: str, counts: tuple[int, ...], weights: str
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    assert class_weights(metric, labels) == weights


def test_few_epochs_are_more_where_an_epoch_has_many_images() -> None:
    assert auto.enough_epochs(100) == auto.enough_epochs(5_000) == 20.0
    assert auto.enough_epochs(40_000) == pytest.approx(10.0)
    assert auto.error_factor(10.0, 40_000) == 1.0
    assert auto.error_factor(5.0, 40_000) == pytest.approx(auto.error_factor(10.0, 5_000))
    assert auto.error_factor(3.0, 5_000) > auto.error_factor(5.0, 5_000) > 1.0


def test_so_many_trainings_share_the_epochs_that_each_has_enough() -> None:
    each = auto.ENOUGH_OF_A_MEMBER * auto.enough_epochs(1_000)
    assert [auto.num_members(share * each, 1_000, 4) for share in (0.1, 1.9, 2.0, 3.5, 9.0)] == [
        *(1, 1, 2, 3, 4)
    ]
    assert auto.num_members(9.0 * each, 1_000, 1) == 1
    assert auto.num_members(2.0 * each, 40_000, 4) == 4  # an epoch has more images


def test_what_can_be_trained_several_times_counts_with_less_error() -> None:
    many = 4.0 * auto.ENOUGH_OF_A_MEMBER * auto.enough_epochs(1_000)
    factors = [auto.error_factor(many, 1_000, most) for most in (1, 2, 4)]
    assert factors[0] == 1.0
    assert factors[1] ** 2 == pytest.approx(factors[2])
    assert 0.8 < factors[2] < factors[1] < 1.0
    assert auto.promised(0.5, ACCURACY, many, 1_000, 2) == pytest.approx(1 - 0.5 * factors[1])
    assert auto.error_factor(3.0, 1_000, 4) == auto.error_factor(3.0, 1_000)


def test_what_was_decided_comes_back_from_the_configuration_of_a_study() -> None:
    search, final = auto.search_recipe(SETS[1], True), auto.final_recipe(SETS[1], True, 8)
    planned = auto.shares(1e-10, 1e6, search, 1_079, within(60.0))
    config = json.loads(json.dumps(auto.to_config(search, final, planned)))
    assert recipe_from_json(config["recipe"]).fingerprint() == search.fingerprint()
    assert recipe_from_json(config["final_recipe"]).fingerprint() == final.fingerprint()
    assert auto.Shares(**config["time"]) == planned
    assert auto.to_config(search, final, None)["time"] is None
