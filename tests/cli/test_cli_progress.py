"""The lines that a search prints; here is no terminal, so there is no bar."""

import time
from typing import Any

import numpy as np
import pytest

from xfernas_jax.cli.heartbeat import Heartbeat
from xfernas_jax.cli.listening import network_names
from xfernas_jax.cli.progress import EpochProgress, EvaluationProgress, print_curve
from xfernas_jax.cli.sources import _words
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import ACCURACY, SCORE, Metric
from xfernas_jax.history.record import Evaluation, Job, Result, Task
from xfernas_jax.history.sources import Source
from xfernas_jax.search.clock import Clock
from xfernas_jax.search.desk import Listener
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
LOSS = Metric("log_loss", "log loss", "nats", 0.0, None, False)


def evaluation(
    number: int, value: float | None, purpose: Any = "search", **fields: Any
) -> Evaluation:
    genotype = SPACE.sample(np.random.default_rng(number))
    job = Job(number, genotype, f"key{number}", number, purpose)
    status = "complete" if value is not None else "failed"
    return Evaluation(job, Result(**{"status": status, "value": value, **fields}), "r")


def lines(goal: Goal, *evaluations: Evaluation) -> EvaluationProgress:
    progress = EvaluationProgress(4, goal=goal)
    for each in evaluations:
        progress.started(each.job)
        progress.finished(each)
    return progress


def test_it_is_a_listener() -> None:
    assert isinstance(EvaluationProgress(4), Listener)


def test_a_long_silence_says_what_runs(capsys: pytest.CaptureFixture) -> None:
    progress, job = EvaluationProgress(4, silence=0.05), evaluation(0, 0.5).job
    with progress.shown():
        progress.started(job)
        first = waited_for(capsys, "so far")
        progress.epoch(job, 3, 0.25)
        second = waited_for(capsys, "epoch 3")
        progress.finished(evaluation(0, 0.5))
        capsys.readouterr()
        time.sleep(0.2)
        assert capsys.readouterr().out == ""  # nothing runs
    assert first == "    search 1/4  compiling, 0 s so far"
    assert second == "    search 1/4  epoch 3: accuracy 25.00 %, 0 s so far"


def waited_for(capsys: pytest.CaptureFixture, text: str) -> str:
    """Returns the next line that holds a text."""
    for _ in range(200):
        if found := [line for line in capsys.readouterr().out.splitlines() if text in line]:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(text)


def test_what_breaks_the_silence_ends_at_once_and_says_nothing_before_its_time() -> None:
    said: list[str] = []
    begun = time.monotonic()
    with Heartbeat(lambda: "runs", said.append, 600.0) as heartbeat:
        heartbeat.rest()
    assert time.monotonic() - begun < 60.0
    assert not said


def test_a_value_has_its_metrics_name_and_unit(capsys: pytest.CaptureFixture) -> None:
    lines(Goal(metric=LOSS), evaluation(0, 0.5))
    out = capsys.readouterr().out
    assert "search 1/4  log loss 0.5 nats" in out


def test_the_best_is_the_smallest_where_smaller_is_better(capsys: pytest.CaptureFixture) -> None:
    lines(Goal(metric=LOSS), evaluation(0, 0.5), evaluation(1, 0.75))
    assert "best 0.5 nats" in capsys.readouterr().out.splitlines()[-1]


def test_a_best_score_of_zero_is_shown(capsys: pytest.CaptureFixture) -> None:
    lines(Goal(metric=SCORE), evaluation(0, 0.0), evaluation(1, -1.0))
    assert "best        0" in capsys.readouterr().out.splitlines()[-1]


def test_there_is_no_best_before_a_value(capsys: pytest.CaptureFixture) -> None:
    lines(Goal(), evaluation(0, None, failure="The loss is not finite."))
    out = capsys.readouterr().out
    assert "failed: The loss is not finite." in out
    assert "best        -" in out


def test_what_broke_says_so(capsys: pytest.CaptureFixture) -> None:
    lines(Goal(), evaluation(0, None, status="broken", failure="out of memory"))
    assert "broken: out of memory" in capsys.readouterr().out


def test_what_is_over_a_limit_is_no_best(capsys: pytest.CaptureFixture) -> None:
    goal = Goal((("params", 10.0),))
    lines(goal, evaluation(0, 0.5, costs=(("params", 11.0),)))
    out = capsys.readouterr().out
    assert "over the limit" in out
    assert "best        -" in out


def test_a_resumed_training_counts_once(capsys: pytest.CaptureFixture) -> None:
    stopped = evaluation(0, None, status="stopped", curve=(0.1,), seconds=8.0)
    progress = lines(Goal(), stopped, evaluation(0, 0.5, "resume", seconds=16.0))
    assert progress._seconds == [8.0]
    assert "stopped after epoch 1" in capsys.readouterr().out


def test_an_epoch_of_a_training_names_what_is_measured(capsys: pytest.CaptureFixture) -> None:
    EpochProgress(4, "fitted", LOSS).epoch(1, 0.25)
    assert "epoch 1/4  fitted log loss 0.25 nats" in capsys.readouterr().out


def test_a_curve_is_printed_in_its_unit(capsys: pytest.CaptureFixture) -> None:
    print_curve("Incumbent by evaluation", [None, 0.5], {"study": "s"}, ACCURACY)
    out = capsys.readouterr().out
    assert "Incumbent by evaluation, accuracy in %:\n1:-  2:50.00\n" in out


def test_a_search_that_goes_on_knows_what_was_best_before(capsys: pytest.CaptureFixture) -> None:
    progress = EvaluationProgress(4, [1.0], best=0.75)
    progress.finished(evaluation(1, 0.5))
    assert "best  75.00 %" in capsys.readouterr().out.splitlines()[-1]


def test_a_search_within_a_time_says_what_is_left_of_all_of_it(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_030.0)
    progress = EvaluationProgress(4, clock=Clock(100.0, 40.0, 1_000.0))
    progress.finished(evaluation(0, 0.5, seconds=1.0))
    assert capsys.readouterr().out.splitlines()[-1].endswith("  70 s left in all")


def test_the_time_that_is_left_counts_what_confirms(capsys: pytest.CaptureFixture) -> None:
    progress = EvaluationProgress(2, num_after=2)
    confirming = evaluation(0, 0.5, "confirm", seconds=10.0)
    found = [evaluation(0, 0.5, seconds=10.0), evaluation(1, 0.5, seconds=10.0)]
    for each in (*found, confirming, confirming):
        progress.finished(each)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("about ")[1] for line in lines] == [
        "30 s left",
        "20 s left",
        "10 s left",
        "0 s left",
    ]


def test_a_line_names_its_network_where_that_has_a_name(capsys: pytest.CaptureFixture) -> None:
    space = get_space("convnet")
    known, other, wide = (space.sample(np.random.default_rng(seed)) for seed in (1, 2, 3))
    name_of = network_names(space, [("vgg_small", known)], suggests_first=True)
    progress = EvaluationProgress(4, name_of=name_of)
    for number, (genotype, purpose) in enumerate(
        [(other, "search"), (known, "search"), (other, "search"), (wide, "final")]
    ):
        job = Job(number, genotype, space.key(genotype), 0, purpose)
        progress.started(job)
        progress.finished(Evaluation(job, Result("complete", 0.5), "r"))
    suggested, reference, unnamed, begins, final = capsys.readouterr().out.splitlines()
    assert suggested.endswith("  what the earlier tasks suggest")
    assert reference.endswith("  vgg_small")
    assert unnamed.endswith("left")
    assert begins.endswith(space.describe(wide))
    assert final.endswith(space.describe(wide))


def test_earlier_tasks_are_named_without_digests_where_they_still_differ() -> None:
    def source(dataset: str, count: int) -> Source:
        return Source(dataset, Task(dataset, "none", 2), "r", (evaluation(0, 0.5),) * count, ("s",))

    usps, photos = source("usps-c9d9f93a", 1_000), source("my-photos-0123abcd", 2)
    assert _words((usps, photos)) == (
        "Learns from 2 earlier tasks, 1,002 trainings: usps (1000), my-photos (2)"
    )
    twins = (usps, source("usps-00000000", 1))
    assert "usps-c9d9f93a (1000), usps-00000000 (1)" in _words(twins)
    assert _words((photos,)) == "Learns from one earlier task, 2 trainings: my-photos (2)"
