"""What --recipe=auto and --time_budget decide, and what they refuse."""

import dataclasses
import itertools
import json
import math
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from command import given

from xfernas_jax.cli import auto
from xfernas_jax.cli.last_training import growing, outlook
from xfernas_jax.cli.scoring import scoring
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.spec import TrainedSpec
from xfernas_jax.evaluate.speed import Speed
from xfernas_jax.history import (
    Storage,
    default_storage_url,
)
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import SCORE
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space import PUBLISHED, get_space
from xfernas_jax.train.scores import METRICS

SPACE = get_space("convnet")
DIGITS = ("--dataset=digits", "--space=convnet")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of known speed, which is not measured."""
    monkeypatch.setattr(auto, "training_speed", lambda *_, **__: Speed(2e-4, 8.0))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), ("600", 600.0), (" 0.5m ", 30.0)],
)
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert auto.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5s", "10x", "m", "1h30m", "1e3", "nan", "inf", "10 m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(FlagError, match=r"--time_budget=.*such as 90s, 10m or 1.5h") as refused:
        auto.parse_seconds(text)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("time", ["1m", "10m", "10h"])
def test_the_recipe_of_the_search_does_not_depend_on_the_time(fast: None, time: str) -> None:
    with given(*DIGITS, f"--time_budget={time}"):
        timed = auto.decide(SPACE)
    with given(*DIGITS, "--budget_evaluations=3"):
        untimed = auto.decide(SPACE)
    assert timed.search == untimed.search
    assert timed.shares is not None
    assert untimed.shares is None
    assert timed.config["recipe"] == untimed.config["recipe"]


@pytest.mark.slow
def test_a_few_epochs_of_many_images_are_of_images_as_they_are_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xfernas_jax.evaluate.auto.LARGE", 1_000)
    monkeypatch.setattr(auto, "training_speed", lambda *_, **__: Speed(2e-2, 8.0))
    wanted = "images are trained on as they are: "
    for time, augment in (("1m", "none"), ("10m", "crop")):
        with given(*DIGITS, f"--time_budget={time}"):
            decided = auto.decide(SPACE)
        assert decided.final.data.augment == augment
        assert decided.search.data.augment == "crop"
        assert any(line.startswith(wanted) for line in decided.lines) == (augment == "none")
    with given(*DIGITS, "--time_budget=1m", "--set=data.augment=crop"):
        decided = auto.decide(SPACE)
    assert decided.final.data.augment == "crop"
    assert not any("trained on" in line for line in decided.lines)


@pytest.mark.slow
def test_more_time_gives_more_evaluations_and_larger_references(fast: None) -> None:
    found = []
    for time in ("30s", "10m", "10h"):
        with given(*DIGITS, f"--time_budget={time}"):
            found.append(auto.decide(SPACE))
    counts = [decided.shares.num_evaluations for decided in found if decided.shares]
    assert counts == sorted(set(counts))
    assert [name for name, _ in found[-1].references] == ["vgg_like", "resnet20", "mobilenet_like"]


@pytest.mark.slow
@pytest.mark.parametrize("change", [(), ("--set=data.train_examples=200",)], ids=str)
def test_workers_load_the_data_that_was_decided_on(fast: None, change: tuple[str, ...]) -> None:
    with given(*DIGITS, "--time_budget=5m", *change):
        scored = scoring(SPACE, is_search=True)
    assert isinstance(scored.spec, TrainedSpec)
    assert scored.dataset is not None
    loaded = scored.spec.load()
    assert loaded.task == scored.dataset.task
    for own, other in zip(loaded.parts().values(), scored.dataset.parts().values(), strict=True):
        np.testing.assert_array_equal(own.images[:], other.images[:])
        np.testing.assert_array_equal(own.labels, other.labels)


@pytest.fixture
def large_photos(tmp_path: pathlib.Path) -> str:
    """A data set of images of 240x200 pixels."""
    rng, labels = np.random.default_rng(0), np.arange(60) % 2
    images = rng.integers(0, 256, (60, 240, 200, 3), np.uint8)
    np.savez(tmp_path / "large.npz", x=images, y=labels)
    return f"--dataset=npz:{tmp_path / 'large.npz'}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "shape"), [("224", (224, 187)), ("null", (240, 200)), ("64", (64, 53))]
)
def test_a_size_that_is_asked_for_is_that_of_the_network_and_not_of_the_search(
    fast: None, large_photos: str, side: str, shape: tuple[int, int]
) -> None:
    with given(large_photos, "--time_budget=1h", f"--set=data.image_size={side}"):
        decided = auto.decide(SPACE)
    assert decided.dataset.input_shape == (*shape, 3)
    assert decided.search.data.image_size == 16
    assert decided.shrunk == pytest.approx((16 / shape[0]) ** 2)


@pytest.mark.slow
def test_known_flops_are_in_the_scale_of_the_searchs_images(fast: None) -> None:
    with given("--dataset=mnist_5k", "--space=convnet", "--time_budget=5m"):
        scored = scoring(SPACE, is_search=True)
    assert scored.decided is not None
    assert scored.known_costs is not None
    assert scored.decided.shrunk == pytest.approx((16 / 28) ** 2)
    of_search = NetworkCosts(SPACE, scored.decided.search.network, 10, (16, 16, 1))
    for name in ("vgg_small", "resnet8", "mobilenet_like"):
        genotype = PUBLISHED[name][1]
        found, own = scored.known_costs(genotype), of_search(genotype)
        assert found["flops"] == pytest.approx(own["flops"], rel=0.2)


@pytest.mark.slow
def test_a_finalist_grows_with_the_time_that_is_left_and_within_limits(fast: None) -> None:
    tiny = PUBLISHED["vgg_tiny"][1]
    with given(*DIGITS, "--time_budget=10m"):
        scored = scoring(SPACE, is_search=True)
    goal = Goal((("flops", 1e12),))
    grow = growing(SPACE, scored, goal)
    assert grow is not None
    widths = [grow(tiny, seconds).width for seconds in (9.0, 30.0, 60.0, 600.0)]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (tiny.width, 96)
    assert scored.known_costs is not None
    most = scored.known_costs(dataclasses.replace(tiny, width=24))["flops"]
    limited = growing(SPACE, scored, Goal((("flops", most),)))
    assert limited is not None
    assert limited(tiny, 600.0).width == 24
    unknown = growing(SPACE, scored, Goal((("flops", 1e12), ("latency_ms", 5.0))))
    assert unknown is not None
    assert unknown(tiny, 600.0) == tiny  # what it would take is measured, not known
    assert growing(SPACE, scored, Goal(pareto="params")) is None


@pytest.mark.slow
def test_what_does_not_fit_in_memory_is_not_proposed(
    fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = PUBLISHED["vgg_tiny"][1], PUBLISHED["resnet20"][1]
    recipe_batch, of_each = 64, 16
    costs = NetworkCosts(SPACE, NetworkConfig(), 10, (28, 28, 1), ("activations",))
    between = (costs(small)["activations"] + costs(large)["activations"]) / 2
    monkeypatch.setattr(auto, "free_on", lambda _: int(between * recipe_batch * of_each))
    with given("--dataset=mnist_5k", "--space=convnet", "--time_budget=5m"):
        scored = scoring(SPACE, is_search=True)
    assert scored.known_costs is not None
    assert math.isfinite(scored.known_costs(small)["flops"])
    assert scored.known_costs(large)["flops"] == math.inf


@pytest.mark.slow
def test_without_references_none_is_named_where_there_is_time_for_the_optimizer(
    fast: None,
) -> None:
    with given(*DIGITS, "--time_budget=5m", "--references=none"):
        assert auto.decide(SPACE).references == ()


@pytest.mark.slow
def test_a_study_is_named_by_what_was_asked_for_and_not_by_the_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for seconds in (1e-4, 1e-3):
        monkeypatch.setattr(auto, "training_speed", lambda *_, s=seconds, **__: Speed(s, 1.0))
        with given(*DIGITS, "--time_budget=5m"):
            config = scoring(SPACE, is_search=True).config
            found.append((config, auto.wishes({"seed": 1, **config})))
    (first, wishes), (second, same) = found
    assert first != second
    assert wishes == same == {"seed": 1, "recipe": "auto", "set": [], "time": 300.0}


@pytest.mark.slow
def test_what_gets_few_epochs_in_the_time_counts_with_more_error(fast: None) -> None:
    light, heavy = PUBLISHED["vgg_tiny"][1], PUBLISHED["vgg_like"][1]
    accuracy, loss = METRICS["accuracy"], METRICS["log_loss"]
    found = []
    for time in ("18s", "5m", "10h"):
        with given(*DIGITS, f"--time_budget={time}", "--members=1"):
            promises = outlook(scoring(SPACE, is_search=True), SPACE)
        assert promises is not None
        assert promises(heavy, 0.8, accuracy) <= promises(light, 0.8, accuracy) <= 0.8
        assert promises(heavy, 0.5, loss) >= promises(light, 0.5, loss) >= 0.5
        assert promises(heavy, 7.0, SCORE) == 7.0  # whose best value nobody knows
        found.append(promises(heavy, 0.8, accuracy))
    assert found == sorted(found)
    assert found[0] < 0.795
    assert found[-1] == 0.8
    with given(*DIGITS, "--time_budget=10h"):
        of_several = outlook(scoring(SPACE, is_search=True), SPACE)
    assert of_several is not None
    assert 0.8 < of_several(heavy, 0.8, accuracy) < 0.85  # the mean of four trainings
    with given(*DIGITS, "--budget_evaluations=3"):
        assert outlook(scoring(SPACE, is_search=True), SPACE) is None


@pytest.mark.slow
def test_unequal_classes_are_named_and_count_equally_where_the_metric_says_so(
    fast: None, tmp_path: pathlib.Path
) -> None:
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], [180, 20])
    images = rng.integers(0, 256, (200, 8, 8), np.uint8)
    np.savez(tmp_path / "unequal.npz", x=images, y=labels)
    words = (f"--dataset=npz:{tmp_path / 'unequal.npz'}", "--space=convnet", "--time_budget=5m")
    with given(*words):
        plain = auto.decide(SPACE)
    assert (plain.search.train.class_weights, plain.final.train.class_weights) == ("none", "none")
    assert any("9 times the images of the smallest" in line for line in plain.lines)
    with given(*words, "--metric=balanced_accuracy"):
        equal = auto.decide(SPACE)
    assert equal.search.train.class_weights == equal.final.train.class_weights == "root"
    assert any("rare classes count more" in line for line in equal.lines)
    with given(*words, "--metric=balanced_accuracy", "--set=train.class_weights=none"):
        assert auto.decide(SPACE).final.train.class_weights == "none"


@pytest.mark.slow
def test_time_that_is_spent_already_is_none_for_short_trainings(
    fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for spent in (0.0, 105.0):
        clock = itertools.chain([1000.0], itertools.repeat(1000.0 + spent))
        monkeypatch.setattr(auto.time, "time", lambda clock=clock: next(clock))
        with given(*DIGITS, "--time_budget=7m"):
            shares = auto.decide(SPACE).shares
        assert shares is not None
        counts.append(shares.num_evaluations)
    assert counts == [8, 0]


def check_refused(done: Any, *parts: str) -> None:
    assert done.code == 2, done.out + done.err
    assert done.err.startswith("run.py: ")
    assert done.err.count("\n") == 1, done.err
    for part in parts:
        assert part in done.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["--space=convnet", "--recipe=cpu", "--time_budget=5m"],
            ["--time_budget=5m", "--recipe=auto", "with cpu give --budget_evaluations"],
        ),
        (
            ["--space=nasbench201", "--time_budget=5m"],
            ["--time_budget=5m", "--space=convnet", "--budget_evaluations"],
        ),
        (
            ["--space=nasbench201", "--references=none"],
            ["--references=none", "--recipe=auto", "leave it out"],
        ),
        (
            ["--space=nasbench201", "--members=2"],
            ["--members=2", "--recipe=auto", "leave it out"],
        ),
        *(
            pytest.param(
                ["--space=convnet", "--members=2", other],
                ["--members=2", "--time_budget", "no --pareto", "leave it out"],
                marks=pytest.mark.slow,
            )
            for other in ("--budget_evaluations=3", "--pareto=params")
        ),
        (["--space=nasbench201", "--recipe=auto"], ["--recipe=auto", "'nasbench201'", "cpu"]),
        (["--space=convnet", "--time_budget=soon"], ["--time_budget=soon", "90s, 10m or 1.5h"]),
        *(
            pytest.param(
                ["--space=convnet", "--time_budget=5m", f"--{flag}=2"],
                [f"--{flag}", "eave it out"],
                marks=pytest.mark.slow,
            )
            for flag in ("confirm_seeds", "batch_size")
        ),
        pytest.param(
            ["--space=convnet", "--time_budget=9s"],
            ["--time_budget=9s is too short", "give at least", "data.train_examples"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    fast: None,
    words: list[str],
    parts: list[str],
    run_command: Callable,
    tmp_path: pathlib.Path,
) -> None:
    done = run_command("search", "--dataset=digits", *words, f"--workdir={tmp_path}")
    check_refused(done, *parts)
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.slow
def test_the_time_that_is_asked_for_instead_suffices(fast: None) -> None:
    with given(*DIGITS, "--time_budget=9s"), pytest.raises(FlagError) as refused:
        auto.decide(SPACE)
    words = str(refused.value).split()
    least = words[words.index("least") + 1].rstrip(",")
    with given(*DIGITS, f"--time_budget={least}"):
        assert auto.decide(SPACE).shares is not None


@pytest.mark.slow
def test_a_search_within_a_time_ends_with_a_tested_network_to_take_away(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    few = "--set=train.epochs=3"  # so that even a slow machine has time for several trainings
    common = ["search", *DIGITS, "--sources=none", "--study=s", few]
    work, words = tmp_path, common
    result: dict[str, Any] = {"member_values": []}
    seconds = 25
    while len(result["member_values"]) < 2 and seconds < 400:  # a busy machine is given more time
        work = tmp_path / f"work{seconds}"
        words = [*common, f"--time_budget={seconds}s", f"--workdir={work}"]
        done = run_command(*words)
        if done.code == 2:
            check_refused(done, "give at least")
        else:
            assert done.code == 0, done.err
            result = json.loads((work / "studies" / "s" / "result.json").read_text())
        seconds *= 2
    assert 0.0 < result["test_value"] <= 1.0
    num_members = len(result["member_values"])
    with Storage(default_storage_url(work)) as storage:
        recorded = storage.evaluations("s")
    members = [e for e in recorded if e.purpose == "final" and e.value in result["member_values"]]
    assert num_members > 1
    assert all(each.job.limit_seconds is not None for each in members)
    assert result["variables"].endswith(f"-mean-of-{num_members}")

    again = run_command(*words)
    assert again.code == 0, again.err
    assert "nothing is trained" in again.err + again.out
    with Storage(default_storage_url(work)) as storage:
        assert storage.evaluations("s") == recorded

    report = run_command("report", "--study=s", f"--workdir={work}")
    assert report.code == 0, report.err
    assert (work / "studies" / "s" / "report" / "report.html").is_file()

    folder = tmp_path / "taken"
    exported = run_command("export", "--study=s", f"--workdir={work}", f"--output_dir={folder}")
    assert exported.code == 0, exported.err
    words = f"(the mean of the answers of {num_members} trainings; read once)"
    assert words in (folder / "model_card.md").read_text()
    reloaded = subprocess.run(
        [sys.executable, "reload.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert reloaded.stdout == f"test_accuracy: {result['test_value']}\n"
