import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from experiments import real_methods, real_page, real_units
from experiments.grid import Unit
from experiments.real_methods import METHODS, SETS, Method, Work
from experiments.real_units import Outcome
from experiments.rivals import autokeras_images
from xfernas_jax.errors import FlagError
from xfernas_jax.history.record import StudySpec, Task
from xfernas_jax.history.sources import RecordedStudy

ROOT = pathlib.Path(__file__).resolve().parents[2]
MADE = {"command": "c", "commit": "1234567", "machine": "m", "versions": {"jax": "1"}, "date": "d"}
USPS = SETS["usps"]


def outcome(test: float | None, valid: float = 0.5, **more: Any) -> Outcome:
    whole = Outcome(test, valid, "found", 100, 180.0, 180.0, "", {}, MADE)
    return dataclasses.replace(whole, **more)


def page_of(outcomes: dict[Unit, Outcome], planned: Sequence[Unit] = ()) -> str:
    summary = real_page.summarize(outcomes, list(planned) or list(outcomes))
    return real_page.page(json.loads(json.dumps(summary)), {}, "command", [])


def cells(text: str, heading: str, row: str) -> list[str]:
    """Returns the cells of a row of the table under a heading."""
    part = text.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    (line,) = [line for line in part.splitlines() if line.startswith(f"| {row} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_set_gets_all_methods_in_a_row_so_that_one_machine_has_them() -> None:
    units = real_units.planned(["10m", "3m"])
    count = len(METHODS)
    assert [unit.optimizer for unit in units[:count]] == list(METHODS)
    assert {(unit.target, unit.seed, unit.variant) for unit in units[:count]} == {
        ("grocery", 0, "3m")
    }
    assert units[count].target == "cifar10_subset"
    of_one = [unit for unit in units if unit.target == "usps" and unit.optimizer != "autokeras"]
    assert len([unit for unit in of_one if unit.variant == "3m"]) == 24
    assert {(unit.optimizer, unit.seed) for unit in of_one if unit.variant == "10m"} == {
        (name, 0)
        for name in (
            *("ours", "plain_convnet", "plain_resnet8"),
            *("known_vgg", "known_resnet", "known_mobilenet"),
        )
    }
    assert len(set(units)) == len(units)


def test_what_was_cut_off_is_done_again_and_nothing_else(tmp_path: pathlib.Path) -> None:
    units, done = real_units.planned(["3m"], [0])[:5], []

    def do(unit: Unit) -> Outcome:
        done.append(unit)
        if len(done) == 3:
            raise KeyboardInterrupt
        return outcome(0.5)

    with pytest.raises(KeyboardInterrupt):
        real_units.do_missing(units, tmp_path, do, lambda: None)
    assert list(real_units.read_outcomes(tmp_path)) == sorted(units[:2])
    written = []
    real_units.do_missing(
        units, tmp_path, do, lambda: written.append(len(real_units.read_outcomes(tmp_path)))
    )
    assert done == [*units[:3], *units[2:]]
    assert written == [3, 4, 5]
    assert real_units.read_outcomes(tmp_path)[units[4]] == outcome(0.5)


def test_the_page_has_means_and_differences_of_runs_with_one_seed() -> None:
    tests = {
        ("usps", "ours"): [0.90, 0.92, 0.94],
        ("usps", "plain_convnet"): [0.88, 0.91],
        ("grocery", "ours"): [0.50],
        ("grocery", "plain_convnet"): [0.53],
    }
    outcomes = {
        Unit(method, name, seed, "3m"): outcome(test)
        for (name, method), values in tests.items()
        for seed, test in enumerate(values)
    }
    details = {"sources": ["mnist_5k@1"], "num_evaluations": 4}
    for seed, network in enumerate(("resnet8", "found", "found")):
        unit, seconds = Unit("ours", "usps", seed, "3m"), 190.0 if seed == 0 else 180.0
        more = {"network": network, "seconds": seconds, "details": details}
        outcomes[unit] = dataclasses.replace(outcomes[unit], **more)
    text = page_of(outcomes)
    ours = cells(text, "### usps, 3m", "`run.py search` with its defaults")
    # The mean of three is .92, their deviation .02; the seconds are 190, 180, 180.
    assert ours == ["92.00 +- 2.00", "3", "", "183 (longest 190) of 180", "found x 2, resnet8"]
    learned = "Ours compared 4, 4, 4 networks before the last training; sources: `mnist_5k@1`."
    assert learned in text
    rival = cells(text, "### usps, 3m", "(b) a ConvNet in plain Flax")
    # Differences .02 and .01: mean .015, half of the interval 12.706 x .00707 / sqrt(2) = .0635.
    assert rival[:3] == ["89.50 +- 2.12", "2", "+1.50 (-4.85 to +7.85), 2 pairs"]
    other = cells(text, "### grocery, 3m", "(b) a ConvNet in plain Flax")
    assert other[:3] == ["53.00", "1", "-3.00, 1 pair"]
    mean = cells(text, "## 3m", "(b) a ConvNet in plain Flax")
    # A set counts once: ours (.91 + .50) / 2, theirs (.895 + .53) / 2, and 12.706 x .0225 = .286.
    assert mean == ["2", "70.50", "71.25", "-0.75 (-29.34 to +27.84)", "1 of 2"]


def test_the_best_known_network_is_chosen_by_validation_and_took_the_time_of_all() -> None:
    values = {"known_vgg": (0.7, 0.6), "known_resnet": (0.6, 0.8), "known_mobilenet": (0.9, 0.7)}
    outcomes = {
        Unit(name, "usps", 0, "3m"): outcome(test, valid, network=name)
        for name, (test, valid) in values.items()
    }
    row = "(a) best of the three known networks, by validation; three times our time"
    assert cells(page_of(outcomes), "### usps, 3m", row) == [
        *("60.00", "1", "", "540 (longest 540) of 180", "known_resnet"),
    ]
    del outcomes[Unit("known_vgg", "usps", 0, "3m")]
    assert "(a)" not in page_of(outcomes)


def test_runs_that_failed_or_are_missing_are_named_and_not_counted() -> None:
    failed, missing = Unit("ours", "usps", 1, "3m"), Unit("nao", "usps", 0, "3m")
    outcomes = {
        Unit("ours", "usps", 0, "3m"): outcome(0.9),
        failed: outcome(None, failure="exit code 1: no memory"),
    }
    text = page_of(outcomes, [*outcomes, missing])
    assert "2 of 3 runs, **1 missing**" in text
    assert "- 3m/ours/usps/1: exit code 1: no memory" in text
    assert "`units/3m/ours/usps-1.json`" in text
    assert "- 3m, nao, seed 0: usps" in text
    assert cells(text, "### usps, 3m", "`run.py search` with its defaults")[:2] == ["90.00", "1"]


def run_stub(
    program: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str = "nao",
) -> Outcome:
    """Runs a Python program in the place of a method's."""

    def command(work: Work) -> list[str]:
        return [sys.executable, "-c", program, str(work.output)]

    monkeypatch.setattr(real_units, "METHODS", {method: Method("", command)})
    folder = tmp_path / "work"
    work = Work("npz:/a/usps.npz", tmp_path / "x", "1s", 0, folder, folder / "output.json")
    found = real_units.run(method, work, tmp_path / "logs" / "log.txt", USPS)
    assert not folder.exists()
    return found


def search_result(sources: list[str], **more: Any) -> str:
    result = {
        "dataset": "usps-c9d9f93a",
        "references": [
            {"name": "vgg_tiny", "is_best": False},
            {"name": "resnet8", "is_best": True},
        ],
        "sources": sources,
        "test_value": 0.9,
        "best_value": 0.8,
        "num_params": 77,
        "num_evaluations": 4,
        "best_genotype": {},
        **more,
    }
    return f"import sys; open(sys.argv[1], 'w').write({json.dumps(result)!r})"


def test_a_search_gives_its_test_accuracy_and_the_network_it_handed_over(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_stub(search_result(["mnist_5k@1"]), tmp_path, monkeypatch)
    assert (found.test, found.valid, found.network) == (0.9, 0.8, "resnet8")
    assert (found.failure, found.budget_seconds) == ("", 1.0)
    assert found.details["num_evaluations"] == 4
    assert str(tmp_path) not in json.dumps(dataclasses.asdict(found))


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        (search_result(["mnist_5k@1", "usps_c9d9f93a@2"]), "learned from usps_c9d9f93a@2"),
        (search_result([], test_value=None), "no test accuracy"),
        ("import sys; sys.exit('no memory')", "exit code 1: no memory"),
        ("pass", "left no result"),
        ("import time; time.sleep(60)", "killed after 0 s"),
    ],
)
def test_what_does_not_count_says_why(
    program: str, failure: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in program:
        monkeypatch.setattr(real_units, "_most_seconds", lambda *_: 0.4)
    assert failure in run_stub(program, tmp_path, monkeypatch).failure


def test_ours_learns_from_no_study_of_the_sets_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def study(name: str, space: str) -> RecordedStudy:
        spec = StudySpec(name, "collect", Task(f"{name}_1", "split", 10), space, "recipe", {})
        return RecordedStudy(spec, lambda: ())

    studies = [study(name, "convnet") for name in ("usps", "mnist_5k", "digits")]
    studies.append(study("notmnist", "nasbench201"))
    monkeypatch.setattr(real_methods, "bundled_histories", lambda: studies)
    monkeypatch.setattr(real_methods, "bundled_last_trainings", lambda: ())
    assert real_methods.source_names(USPS) == "mnist_5k,digits"
    assert real_methods.source_names(SETS["grocery"]) is None
    assert real_methods.source_names(SETS["notmnist_10k"]) is None  # it is of another space
    del studies[1:3]
    assert real_methods.source_names(USPS) == "none"


def test_a_time_that_is_none_is_refused() -> None:
    assert [real_methods.seconds_of(text) for text in ("40s", "3m", "1.5h")] == [40, 180, 5400]
    for text in ("3", "0m", "soon"):
        with pytest.raises(FlagError, match="--times"):
            real_methods.seconds_of(text)


class FakeModel:
    """Names every image's class, but for as many as its weights say."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.wrong = labels, 0

    def get_weights(self) -> int:
        return self.wrong

    def set_weights(self, weights: int) -> None:
        self.wrong = weights

    def count_params(self) -> int:
        return 7

    def predict(self, x: np.ndarray, verbose: int) -> np.ndarray:
        named = self.labels.copy()
        named[: self.wrong] = (named[: self.wrong] + 1) % 3
        return np.eye(3)[named]


def fake_autokeras(fit: Callable[[FakeModel, Any], None], labels: np.ndarray) -> Any:
    class ImageClassifier:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings

        def fit(self, x: np.ndarray, y: np.ndarray, callbacks: list[Any], **_: Any) -> None:
            assert y.shape == (len(x), 3)
            fit(FakeModel(labels), callbacks[0])

    return types.SimpleNamespace(ImageClassifier=ImageClassifier, __version__="1")


def test_autokeras_is_ended_by_the_time_and_its_best_epoch_is_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.arange(10) % 3
    parts: dict[str, Any] = {}
    for key in ("train", "valid", "test"):
        parts[f"x_{key}"], parts[f"y_{key}"] = np.zeros((10, 4, 4, 1), np.uint8), labels
    over = []

    def fit(model: FakeModel, callback: Any) -> None:
        callback.model = model
        epochs = ((0.5, 5), (0.8, 2), (0.7, 3))
        for epoch, (valid, wrong) in enumerate(epochs):
            model.wrong = wrong
            callback.on_train_batch_end(0)
            callback.on_epoch_end(epoch, {"val_accuracy": valid})
        time.sleep(0.3)
        try:
            callback.on_train_batch_end(0)
        except Exception:  # as tuners do with a trial
            over.append("caught")

    class Dense:
        def __init__(self, units: int) -> None:
            if type(units) is not int:
                raise ValueError("units is no int")

    keras = types.SimpleNamespace(
        callbacks=types.SimpleNamespace(Callback=object),
        layers=types.SimpleNamespace(Dense=Dense),
        __version__="3",
    )
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, "autokeras", fake_autokeras(fit, labels))
    found = autokeras_images.search(parts, 0.3, 1, "folder")
    assert (found["valid"], found["test"], found["epochs"]) == (0.8, 0.8, 3)
    assert not over
    keras.layers.Dense(np.int64(3))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "autokeras", fake_autokeras(lambda *_: None, labels))
    with pytest.raises(SystemExit, match="no epoch"):
        autokeras_images.search(parts, 0.3, 1, "folder")


STUB = """#!{python}
import json, os, pathlib, sys, time
words = dict(word[2:].split("=", 1) for word in sys.argv[2:])
folder = pathlib.Path(__file__).parent
assert pathlib.Path(words["images"]).stat().st_size > 0
with (folder / "calls").open("a") as calls:
    calls.write(words["seed"] + "\\n")
if words["seed"] == "1" and not (folder / "hung").exists():
    (folder / "hung").write_text(str(os.getpid()))
    time.sleep(100)
if words["seed"] == "1" and (folder / "fails").exists():
    sys.exit("no memory")
found = {{"test": 0.5, "valid": 0.5, "network": "found", "num_params": 1}}
pathlib.Path(words["output"]).write_text(json.dumps(found))
"""


def write_usps(folder: pathlib.Path) -> None:
    """Writes three classes that differ in brightness, under the name of a real set."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = (rng.integers(0, 100, (300, 8, 8)) + 60 * labels[:, None, None]).astype(np.uint8)
    (folder / "usps").mkdir(parents=True)
    np.savez(folder / "usps" / "usps.npz", x=images, y=labels)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_the_command_goes_on_after_a_kill_and_names_a_run_that_failed(
    tmp_path: pathlib.Path,
) -> None:
    write_usps(tmp_path / "images")
    stub, results = tmp_path / "stub", tmp_path / "results"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    words = [sys.executable, "-m", "experiments.real_tasks", "--sets=usps", "--times=3m"]
    words += [f"--images={tmp_path / 'images'}", f"--results={results}", "--methods=autokeras"]
    words += [f"--autokeras_python={stub}"]
    first = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 100
    while not (hung := tmp_path / "hung").exists() or not hung.read_text():
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    second = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "another run is at work there" in second.stderr
    first.send_signal(signal.SIGTERM)
    assert b"goes on from here" in first.communicate(timeout=60)[1]
    assert first.returncode == 130
    assert not alive(int(hung.read_text()))
    assert "3m, autokeras, seed 1: all sets" in (results / "real_tasks.md").read_text()
    (tmp_path / "fails").touch()
    third = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert third.returncode == 0, third.stderr
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "1"]
    text = (results / "real_tasks.md").read_text()
    assert "- 3m/autokeras/usps/1: exit code 1: no memory" in text
    assert cells(text, "### usps, 3m", "(d) AutoKeras")[:2] == ["50.00", "1"]
    assert "`usps`: 180 + 60 + 60 images" in text
    assert "usps-1" in json.dumps(json.loads((results / "summary.json").read_text())["failed"])


@pytest.mark.slow
def test_other_images_under_the_same_name_are_refused(tmp_path: pathlib.Path) -> None:
    write_usps(tmp_path)
    file = tmp_path / "usps" / "usps.npz"
    address = USPS.dataset(str(tmp_path))
    real_units.prepare("usps", address, tmp_path, with_images=True)
    real_units.prepare("usps", address, tmp_path, with_images=False)
    with np.load(real_units.images_file(tmp_path, "usps")) as parts:
        assert parts["x_test"].shape == (60, 8, 8, 1)
        assert parts["y_train"].shape == (180,)
    with np.load(file) as arrays:
        changed = {"x": 255 - arrays["x"], "y": arrays["y"]}
    np.savez(file, **changed)
    with pytest.raises(FlagError, match="other images of usps"):
        real_units.prepare("usps", address, tmp_path, with_images=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rival", "network", "more"),
    [
        ("known:mobilenet", "mobilenet_like", ("--time_budget=60s", "--set=train.epochs=2")),
        ("plain:convnet", "convnet", ("--time_budget=8s",)),
    ],
)
def test_one_network_is_trained_and_tested(
    rival: str, network: str, more: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    write_usps(tmp_path)
    output = tmp_path / "output.json"
    words = [sys.executable, "-m", "experiments.rivals.one_network", f"--rival={rival}", *more]
    words += [f"--dataset={USPS.dataset(str(tmp_path))}", "--space=convnet"]
    words += [f"--workdir={tmp_path / 'work'}", f"--output={output}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert found["network"] == network
    if "--set=train.epochs=2" in more:
        assert found["epochs"] == 2
    else:  # a third is right by chance; the classes differ in brightness
        assert found["test"] > 0.6
    assert 60 * found["test"] == pytest.approx(round(60 * found["test"]))  # of 60 images
