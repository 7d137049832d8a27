"""With which network a search within a time begins."""

from collections.abc import Mapping

import pytest
from command import given

from xfernas_jax.cli import auto
from xfernas_jax.cli.last_training import recommended
from xfernas_jax.cli.scoring import scoring
from xfernas_jax.evaluate.speed import Speed
from xfernas_jax.history import Evaluation, Job, RecordedStudy, Result, StudySpec, Task
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import TaskFacts
from xfernas_jax.space import PUBLISHED, get_space

SPACE = get_space("convnet")
DIGITS = ("--dataset=digits", "--space=convnet")


def studies_of_last_trainings(*rows: Mapping[str, tuple[float, float]]) -> list[RecordedStudy]:
    """Returns studies of known networks, by name: accuracy and epochs of each."""
    studies = []
    for number, row in enumerate(rows):
        facts = TaskFacts(5_000, 10, 32, True, 1.0)
        config = {"last_trainings": {"num_valid": 1_000}}
        task = Task(f"other {number}", "split", 10, facts=facts)
        spec = StudySpec(f"last {number}", "collect", task, SPACE.name, "recipe", config)
        done = []
        for place, (name, (accuracy, epochs)) in enumerate(row.items()):
            genotype = PUBLISHED[name][1]
            job = Job(place, genotype, SPACE.key(genotype), 0, "collect")
            result = Result("complete", accuracy, costs=(("epochs", epochs),))
            done.append(Evaluation(job, result, "recipe"))
        studies.append(RecordedStudy(spec, lambda kept=tuple(done): kept))
    return studies


@pytest.mark.slow
def test_last_trainings_recommend_a_network_by_the_time_that_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {"vgg_tiny": (0.70, 20.0), "vgg_like": (0.69, 4.0), "resnet8": (0.60, 20.0)}
    studies = studies_of_last_trainings(rows, rows)
    found = {}
    for name, seconds in (("slow", 1e-1), ("fast", 2e-5)):
        monkeypatch.setattr(auto, "training_speed", lambda *_, s=seconds, **__: Speed(s, 8.0))
        with given(*DIGITS, "--time_budget=10m"):
            scored = scoring(SPACE, is_search=True)
        found[name] = recommended(scored, SPACE, studies, Goal())
    assert found["slow"].genotype == PUBLISHED["vgg_tiny"][1]  # of more epochs in little time
    assert found["fast"].genotype == PUBLISHED["vgg_like"][1]  # which had 4 epochs there
    assert (found["fast"].num_tasks, found["fast"].num_networks) == (2, 3)
    assert "3 networks" in found["fast"].words("it")
    assert scored.known_costs is not None
    few = scored.known_costs(PUBLISHED["vgg_tiny"][1])["flops"]
    within = recommended(scored, SPACE, studies, Goal((("flops", few),)))
    assert within.genotype == PUBLISHED["vgg_tiny"][1]
    assert recommended(scored, SPACE, studies, Goal((("flops", 1.0),))) is None
    assert recommended(scored, SPACE, studies, Goal(pareto="params")) is None
    assert recommended(scored, SPACE, [], Goal()) is None
    with given(*DIGITS, "--budget_evaluations=3"):
        untimed = scoring(SPACE, is_search=True)
    assert recommended(untimed, SPACE, studies, Goal()) is None


@pytest.mark.slow
def test_the_other_network_is_about_as_good_and_as_unlike_as_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auto, "training_speed", lambda *_, **__: Speed(2e-5, 8.0))
    with given(*DIGITS, "--time_budget=10m"):
        scored = scoring(SPACE, is_search=True)

    def both(**accuracies: float) -> set[str]:
        rows = {name: (value, 20.0) for name, value in accuracies.items()}
        found = recommended(scored, SPACE, studies_of_last_trainings(*[rows] * 4), Goal())
        assert found is not None
        return {name for name in rows if PUBLISHED[name][1] in (found.genotype, found.other)}

    # `vgg_small` differs from `vgg_like` in its width alone, `resnet8` in its block too.
    found = both(vgg_like=0.72, vgg_small=0.72, resnet8=0.70)  # the other `vgg` is better
    assert "resnet8" in found
    assert len(found) == 2
    assert both(vgg_like=0.70, vgg_small=0.70, resnet8=0.40) == {"vgg_like", "vgg_small"}
    assert both(vgg_like=0.70) == {"vgg_like"}
    assert both(vgg_like=0.70, resnet8=0.30) == {"vgg_like"}
