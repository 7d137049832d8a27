"""Replays recorded learning curves: what early stopping saves, and what it loses.

    python -m experiments.early_stop_replay --seeds=20 --output=runs/early_stop  (one line)

Each recorded task is the target once; a search may choose among its recorded architectures. The
transfer search learns from a random half of the others' records, one of five by seed, since all
tasks may have recorded the same architectures. Rules that end in `+sources` have learned their
shares from the curves of that half. `~foretold` is the same rule with stopped evaluations in the
predictor's fit, at the accuracy that their rank foretells. Everything else is a
`search.search.Search`. Writes `searches.csv` and `summary.json`; searches without early stopping
are the twins of those with. Finished searches are kept in --output, so a run that was killed goes
on; results of other code or histories need another folder.
"""

import dataclasses
import functools
import os
import pathlib
import statistics as plain_statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments import commands, grid, statistics
from experiments.grid import Unit
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import OnEpoch, Scored, Stop
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Evaluation, Job, MemoryRecord, Result, Task, read_jsonl
from xfernas_jax.options import define_flags, from_flags, option
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import Optimizer
from xfernas_jax.search.desk import Desk
from xfernas_jax.search.early_stop import make_early_stop
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.search import Search
from xfernas_jax.search.seen import Seen, Suggestion
from xfernas_jax.space import get_space
from xfernas_jax.space.table import TableSpace, TokenColumn

_GRID = grid.GridFlags()
_RULES = ["none", "median", "asha", "median+sources", "asha+sources"]
_HISTORIES = flags.DEFINE_list("histories", [], "History files; by default experiments/histories.")
_OPTIMIZERS = flags.DEFINE_list("optimizers", ["random", "xfer_nao"], "Orders of evaluation.")
_RULES_FLAG = flags.DEFINE_list("rules", _RULES, "Rules; `none` is always among them.")

_NUM_HALVES = 5  # different halves of the sources for each target; each costs a fit


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all searches share; written beside the results. The rule is a unit's variant."""

    histories: tuple[str, ...]
    budget: int = option(24, "Evaluations of a search.", low=1)
    batch_size: int = option(4, "Suggestions at once.", low=1)


define_flags(flags, Setting)


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
    """An `Evaluator` whose trainings are recorded curves."""

    recipe = "recorded"

    def __init__(self, space: TableSpace, record: Record) -> None:
        self.space, self._record = space, record
        self.task = Task(record.name, "recorded", None)

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        """Reads the curve up to where the rule stops it."""
        whole = tuple(float(x) for x in self._record.curves[self.space.row_of(job.genotype)])
        epoch = len(whole)
        if stop is not None:
            epoch = next((k for k in range(1, epoch) if stop(whole[:k])), epoch)
        if epoch < len(whole):
            return Scored(Result("stopped", curve=whole[:epoch]))
        return Scored(Result("complete", whole[-1], whole))

    def test(self, genotype: Any, variables: Any) -> None:
        """Nothing was recorded of the test part."""


@dataclasses.dataclass(frozen=True)
class Foretelling:
    """An optimizer that sees stopped evaluations too, at a foretold accuracy.

    That is the final one of the same quantile among the complete evaluations as the best so far
    had among theirs when the training stopped.
    """

    optimizer: Optimizer

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> Sequence[Suggestion]:
        shown = tuple(_foretold(e, seen.complete) for e in seen.evaluations)
        return self.optimizer.suggest(dataclasses.replace(seen, evaluations=shown), rng, count)


def _foretold(evaluation: Evaluation, complete: Sequence[Evaluation]) -> Evaluation:
    if evaluation.status != "stopped":
        return evaluation
    curve = evaluation.curve
    then = np.sort([max(other.curve[: len(curve)]) for other in complete])
    value = float(np.interp(max(curve), then, np.sort([e.curve[-1] for e in complete])))
    result = dataclasses.replace(evaluation.result, status="complete", value=value)
    return dataclasses.replace(evaluation, result=result)


def search(setting: Setting, output: pathlib.Path, unit: Unit) -> dict[str, str | float]:
    """Runs one search; returns a row of the CSV."""
    known = {record.name: (space, record) for space, record in _records(setting.histories)}
    space, record = known[unit.target]
    others = [other for name, (_, other) in known.items() if name != unit.target]
    rng = np.random.default_rng([unit.seed % _NUM_HALVES, list(known).index(unit.target)])
    halves = [rng.permutation(len(x.curves))[: len(x.curves) // 2] for x in others]
    pairs = list(zip(others, halves, strict=True))
    base, _, fit = unit.variant.partition("~")
    rule, _, with_sources = base.partition("+")
    curves = [[tuple(map(float, curve)) for curve in x.curves[half]] for x, half in pairs]
    num_epochs = record.curves.shape[1]
    early_stop = make_early_stop(rule, num_epochs, curves if with_sources else ())
    histories = [TaskHistory(x.name, x.tokens[half], x.curves[half, -1]) for x, half in pairs]
    config = SearchConfig(predictor=PredictorConfig(cache_dir=str(output / "source_fits")))
    optimizer = make_optimizer(unit.optimizer, space, histories, config)
    memory = MemoryRecord()
    plan = SearchPlan(setting.budget, setting.batch_size, unit.seed, confirm_seeds=0)
    outcome = Search(
        Foretelling(optimizer) if fit else optimizer,
        Desk(InProcessExecutor(Replay(space, record)), memory, Replay.recipe),
        plan,
        Seen(space),
        early_stop,
    ).run()
    assert outcome is not None
    scores = sorted((e.value for e in memory.evaluations() if e.value is not None), reverse=True)
    return {
        "optimizer": unit.optimizer,
        "rule": unit.variant,
        "target": record.name,
        "seed": unit.seed,
        "evaluations": outcome.num_evaluations,
        "stopped": outcome.num_evaluations - len(scores),
        "epochs": outcome.epochs_trained,
        "saved": 1.0 - outcome.epochs_trained / (outcome.num_evaluations * num_epochs),
        "best": scores[0],
        "top3": plain_statistics.fmean(scores[:3]),
    }


@functools.cache
def _records(files: tuple[str, ...]) -> list[tuple[TableSpace, Record]]:
    own = sorted((pathlib.Path(__file__).parent / "histories").glob("*.jsonl.gz"))
    return [read_record(file) for file in files or own]


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns for each order and rule the saved share and the loss against `none`.

    Losses are fractions of accuracy; positive is worse. Intervals are 95 %, over seeds within
    targets.
    """
    targets = sorted({row["target"] for row in rows})
    summary: dict[str, Any] = {}
    for optimizer, rule in dict.fromkeys((row["optimizer"], row["rule"]) for row in rows):

        def of(field: str, rule: str = rule, optimizer: str = optimizer) -> np.ndarray:
            own = [r for r in rows if (r["optimizer"], r["rule"]) == (optimizer, rule)]
            return np.array([[r[field] for r in own if r["target"] == t] for t in targets])

        saved = of("saved")
        entry: dict[str, Any] = {
            "saved": float(saved.mean()),
            "saved_interval": statistics.interval(saved),
            "complete_share": float(1 - (of("stopped") / of("evaluations")).mean()),
        }
        for field in ("best", "top3"):
            ours, whole = of(field), of(field, "none")
            losses = statistics.compare(-ours, -whole)
            by_target = (whole - ours).mean(1).tolist()
            entry[f"{field}_loss"] = losses.difference
            entry[f"{field}_loss_interval"] = [losses.low, losses.high]
            entry[f"{field}_loss_by_target"] = dict(zip(targets, by_target, strict=True))
        summary.setdefault(optimizer, {})[rule] = entry
    return summary


def main() -> None:
    """Runs all searches and writes the results."""
    output = _GRID.output
    setting = from_flags(flags.FLAGS, Setting, histories=tuple(_HISTORIES.value))
    grid.check_setting(setting, output)
    targets = [record.name for _, record in _records(setting.histories)]
    rules = list(dict.fromkeys(["none", *_RULES_FLAG.value]))
    units: list[Unit] = []
    for optimizer in _OPTIMIZERS.value:
        units += grid.units_of([optimizer], targets, _GRID.seeds, rules)
    work = functools.partial(search, setting, output)
    if not grid.run(work, units, output, _GRID, "(target, seed) pairs"):
        return
    rows = [unit.read(output) for unit in units]
    commands.write_csv(output / "searches.csv", list(rows[0]), [list(row.values()) for row in rows])
    summary = summarize(rows)
    commands.write_json(output / "summary.json", summary)
    for optimizer, entries in summary.items():
        for rule, entry in entries.items():
            line = f"{optimizer:>10} {rule:<24} saved {100 * entry['saved']:5.1f} %"
            for field in ("best", "top3"):
                low, high = entry[f"{field}_loss_interval"]
                line += f"  {field} loses {100 * entry[f'{field}_loss']:5.2f} points"
                line += f" [{100 * low:.2f}, {100 * high:.2f}]"
            print(line)


if __name__ == "__main__":
    commands.start("early_stop_replay", main)
