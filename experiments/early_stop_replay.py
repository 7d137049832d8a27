"""Replays recorded learning curves: what early stopping saves, and what it loses.

    python -m experiments.early_stop_replay --seeds=20 --output=runs/early_stop  (one line)

Each recorded task is the target once; a search may choose among its recorded architectures. The
transfer search learns from a random half of the others' records, one of five by seed, since all
tasks may have recorded the same architectures. Rules that end in `+sources` have learned their
shares from the curves of that half. `~foretold` is the same rule with stopped evaluations in the
predictor's fit, at the accuracy that their rank foretells. Everything else is
`search.loop.run_search`. Writes `searches.csv` and `summary.json`; searches without early stopping
are the twins of those with. Finished searches are kept in --output, so a run that was killed goes
on; results of other code or histories need another folder.
"""

import csv
import dataclasses
import functools
import io
import json
import os
import pathlib
import statistics as plain_statistics
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from absl import app, flags

import xfernas_jax
from experiments import statistics
from experiments.commands import guarded
from experiments.tabular_units import single_threaded
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.base import Job
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.files import write_atomically
from xfernas_jax.history import Evaluation, Purpose, Storage, Task, read_jsonl
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import Observations
from xfernas_jax.search.early_stop import make_early_stop
from xfernas_jax.search.loop import LoopConfig, run_search
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.space import get_space
from xfernas_jax.space.table import TableSpace, TokenColumn

_RULES = ["none", "median", "asha", "median+sources", "asha+sources"]
_HISTORIES = flags.DEFINE_list("histories", [], "History files; by default the bundled ones.")
_SEEDS = flags.DEFINE_integer("seeds", 20, "Searches of each target and rule.", lower_bound=1)
_BUDGET = flags.DEFINE_integer("budget", 24, "Evaluations of a search.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 4, "Suggestions at once.", lower_bound=1)
_OPTIMIZERS = flags.DEFINE_list("optimizers", ["random", "xfer_nao"], "Orders of evaluation.")
_RULES_FLAG = flags.DEFINE_list("rules", _RULES, "Rules; `none` is always among them.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results.")

_NUM_HALVES = 5  # different halves of the sources for each target; each costs a fit


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """What one task has recorded: `[N, L]` tokens and `[N, epochs]` accuracies, complete ones."""

    name: str
    tokens: np.ndarray
    curves: np.ndarray


def read_record(file: str | os.PathLike[str]) -> tuple[TableSpace, Record]:
    """Reads a history file; its architectures become the rows of a space of their own."""
    spec, evaluations = read_jsonl(file)
    space = get_space(spec.space)
    first: dict[str, Evaluation] = {}  # one seed of each architecture
    for evaluation in evaluations:
        if evaluation.status == "complete":
            first.setdefault(space.key(evaluation.genotype), evaluation)
    epochs = {len(e.curve) for e in first.values()}
    if len(epochs) != 1:
        raise FlagError(f"{file}: the curves have different lengths ({sorted(epochs)}).")
    tokens = np.array([space.encode(e.genotype) for e in first.values()], np.int32)
    symbols = tuple(str(token) for token in range(len(space.vocabulary)))
    column = TokenColumn("token", ",", symbols, tokens.shape[1], tokens.shape[1])
    rows = TableSpace(f"{spec.space} of {spec.task.dataset}", [column], tokens + 1)
    return rows, Record(spec.task.dataset, tokens + 1, np.array([e.curve for e in first.values()]))


class Replay:
    """A `Evaluator` whose trainings are recorded curves."""

    recipe = "recorded"

    def __init__(self, space: TableSpace, record: Record) -> None:
        self.space, self._record = space, record
        self.task = Task(record.name, "recorded", 2)

    def evaluate(
        self,
        genotype: Any,
        seed: int,
        purpose: Purpose = "search",
        on_epoch: Callable[[int, float], None] | None = None,
        stop: Callable[[Sequence[float]], bool] | None = None,
    ) -> Scored:
        """Reads the curve up to where the rule stops it."""
        whole = tuple(float(x) for x in self._record.curves[self.space.row_of(genotype)])
        epoch = len(whole)
        if stop is not None:
            epoch = next((k for k in range(1, epoch) if stop(whole[:k])), epoch)
        status = "complete" if epoch == len(whole) else "stopped"
        score = whole[-1] if status == "complete" else None
        return Scored(
            Evaluation(genotype, "recorded", seed, status, score, whole[:epoch], 0, 0.0, purpose)
        )

    def test_accuracy(self, genotype: Any, variables: Any) -> float:
        """Nothing was recorded of the test part."""
        return 0.0


class _Memory:
    """What `run_search` needs of a `Storage`, for one study."""

    def __init__(self) -> None:
        self.recorded: list[Evaluation] = []

    def evaluations(self, study: str) -> tuple[Evaluation, ...]:
        return tuple(self.recorded)

    def append(self, study: str, evaluation: Evaluation) -> None:
        self.recorded.append(evaluation)


class _Quiet:
    def started(self, job: Job) -> None: ...

    def epoch(self, job: Job, epoch: int, valid_accuracy: float) -> None: ...

    def finished(self, job: Job, evaluation: Evaluation) -> None: ...


class _Foretold(Observations):
    """Observations of which the predictor sees the stopped ones too, at a foretold accuracy.

    That is the final one of the same quantile among the complete evaluations as the best so far
    had among theirs when the training stopped.
    """

    def history(self, numbers: tuple[float, ...] = ()) -> TaskHistory:
        complete = self.complete()
        final = np.sort([e.curve[-1] for e in complete])
        foretold = Observations(self.space)
        for e in self.evaluations:
            if e.status == "stopped":
                then = np.sort([max(other.curve[: len(e.curve)]) for other in complete])
                score = float(np.interp(max(e.curve), then, final))
                e = dataclasses.replace(e, status="complete", valid_accuracy=score)
            foretold.add([e])
        return foretold.history(numbers)


def search(
    optimizer_name: str, rule: str, target: int, seed: int, cache_dir: str
) -> dict[str, str | float]:
    """Runs one search; returns a row of the CSV."""
    spaces, records = zip(*_records(), strict=True)
    space, record = spaces[target], records[target]
    rng = np.random.default_rng([seed % _NUM_HALVES, target])
    halves = [
        rng.permutation(len(other.curves))[: len(other.curves) // 2]
        for i, other in enumerate(records)
        if i != target
    ]
    others = [other for i, other in enumerate(records) if i != target]
    histories = [
        TaskHistory(other.name, other.tokens[half], other.curves[half, -1])
        for other, half in zip(others, halves, strict=True)
    ]
    base, _, fit = rule.partition("~")
    name, _, with_sources = base.partition("+")
    curves = [
        [tuple(map(float, curve)) for curve in other.curves[half]]
        for other, half in zip(others, halves, strict=True)
    ]
    num_epochs = record.curves.shape[1]
    early_stop = make_early_stop(name, num_epochs, curves if with_sources else ())
    optimizer = make_optimizer(
        optimizer_name,
        space,
        histories,
        SearchConfig(predictor=PredictorConfig(cache_dir=cache_dir)),
    )
    if fit:
        cast(Any, optimizer)._observations = _Foretold(space)
    memory = _Memory()
    config = LoopConfig(_BUDGET.value, _BATCH.value, seed, confirm_seeds=1)
    outcome = run_search(
        optimizer,
        InProcessExecutor(Replay(space, record)),
        cast(Storage, memory),
        "replay",
        config,
        _Quiet(),
        early_stop=early_stop,
    )
    assert outcome is not None
    final = [e for e in memory.recorded if e.purpose in ("search", "resume")]
    scores = sorted((e.valid_accuracy for e in final if e.valid_accuracy is not None), reverse=True)
    whole = outcome.num_evaluations * num_epochs
    return {
        "optimizer": optimizer_name,
        "rule": rule,
        "target": record.name,
        "seed": seed,
        "evaluations": outcome.num_evaluations,
        "stopped": outcome.num_evaluations - len(scores),
        "epochs": outcome.epochs_trained,
        "saved": 1.0 - outcome.epochs_trained / whole,
        "best": scores[0],
        "top3": plain_statistics.fmean(scores[:3]),
    }


def search_once(
    optimizer: str, rule: str, target: int, seed: int, output: pathlib.Path
) -> dict[str, Any]:
    """Runs one search, or reads what an earlier run of the same settings left of it."""
    name = f"{optimizer}-{rule}-{target}-{seed}-{_BUDGET.value}-{_BATCH.value}.json"
    file = output / "searches" / name
    if not file.exists():
        row = search(optimizer, rule, target, seed, str(output / "source_fits"))
        write_atomically(file, json.dumps(row).encode())
    return json.loads(file.read_text())


@functools.cache
def _records() -> list[tuple[TableSpace, Record]]:
    bundled = sorted(pathlib.Path(xfernas_jax.__file__).parent.glob("bundled/*.jsonl.gz"))
    return [read_record(file) for file in _HISTORIES.value or bundled]


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns for each order and rule the saved share and the loss against `none`.

    Losses are fractions of accuracy; positive is worse. Intervals are 95 %, over seeds within
    targets.
    """
    targets = sorted({row["target"] for row in rows})
    summary: dict[str, Any] = {}
    for optimizer in dict.fromkeys(row["optimizer"] for row in rows):
        own = [row for row in rows if row["optimizer"] == optimizer]

        def grid(rule: str, field: str, own: list[dict[str, Any]] = own) -> np.ndarray:
            return np.array(
                [
                    [r[field] for r in own if (r["rule"], r["target"]) == (rule, target)]
                    for target in targets
                ]
            )

        for rule in dict.fromkeys(row["rule"] for row in own):
            saved = grid(rule, "saved")
            entry: dict[str, Any] = {
                "saved": float(saved.mean()),
                "saved_interval": statistics.interval(saved),
                "complete_share": float(
                    1 - (grid(rule, "stopped") / grid(rule, "evaluations")).mean()
                ),
            }
            for field in ("best", "top3"):
                losses = statistics.compare(-grid(rule, field), -grid("none", field))
                entry[f"{field}_loss"] = losses.difference
                entry[f"{field}_loss_interval"] = [losses.low, losses.high]
                by_target = (grid("none", field) - grid(rule, field)).mean(1)
                entry[f"{field}_loss_by_target"] = dict(
                    zip(targets, by_target.tolist(), strict=True)
                )
            summary.setdefault(optimizer, {})[rule] = entry
    return summary


def main(argv: Sequence[str]) -> None:
    """Runs all searches and writes the results."""
    if len(argv) > 1 or not _OUTPUT.value:
        raise FlagError("This experiment takes flags only and needs --output.")
    output = pathlib.Path(_OUTPUT.value).absolute()
    rules = list(dict.fromkeys(["none", *_RULES_FLAG.value]))
    rows: list[dict[str, Any]] = []
    for optimizer in _OPTIMIZERS.value:
        for target in range(len(_records())):
            for seed in range(_SEEDS.value):
                rows += [search_once(optimizer, rule, target, seed, output) for rule in rules]
            print(f"{optimizer}: {rows[-1]['target']}", flush=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(output / "searches.csv", text.getvalue().encode())
    summary = summarize(rows)
    write_atomically(output / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    for optimizer, entries in summary.items():
        for rule, entry in entries.items():
            line = f"{optimizer:>10} {rule:<24} saved {100 * entry['saved']:5.1f} %"
            for field in ("best", "top3"):
                low, high = entry[f"{field}_loss_interval"]
                line += f"  {field} loses {100 * entry[f'{field}_loss']:5.2f} points"
                line += f" [{100 * low:.2f}, {100 * high:.2f}]"
            print(line)


if __name__ == "__main__":
    single_threaded()
    app.run(guarded("early_stop_replay", main))
