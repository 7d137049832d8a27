"""How much source and target data matter: one factor at a time around the default.

    python -m experiments.data_amount --benchmark_dir=DIR --seeds=20 --jobs=2 --output=runs/amount

Factors: random evaluations of each source (0 to 400), number of source tasks (0 to all), target
observations (0 to 200). For each level and for `nao` and `xfer_nao`:

- `incumbent_percentile` of `tabular_search`; `budget` is the evaluations on the target. For target
  observations, these are the level.
- `rank_correlation`, Spearman's, of the surrogate's mean with the table's values over all rows that
  it has not observed; `budget` is the random observations it has. 0 where the mean is constant.

`nao` has no sources, so no amount of them changes it. Means over targets and seeds, with 95 %
bootstrap intervals. Writes `data_amount.csv`, `data_amount.png` and `data_amount.svg`: the same
bytes for any --jobs. What is finished is kept in --output, one folder for each amount of sources.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags
from scipy.stats import spearmanr

from experiments import commands, figures, grid, statistics
from experiments.grid import Unit
from experiments.incumbents import percentile_matrix
from experiments.tabular_units import (
    Setting,
    TableFlags,
    cached_table,
    source_histories,
    table_step,
    task_index,
)
from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.registry import make_surrogate

_GRID, _TABLE = grid.GridFlags(least_seeds=2, shards=False), TableFlags()
_BUDGET = flags.DEFINE_integer(
    "budget", 100, "Evaluations of a search; with default sources at least the last level.", 1
)
_EVALUATIONS = flags.DEFINE_list(
    "source_evaluations", ["0", "25", "50", "100", "200", "400"], "Levels, for each source."
)
_NUM_SOURCES = flags.DEFINE_list("num_sources", ["all"], "Levels; all means 0 to all others.")
_OBSERVATIONS = flags.DEFINE_list(
    "target_observations", ["0", "5", "10", "20", "50", "100", "200"], "Levels."
)
_DEFAULT_EVALUATIONS = flags.DEFINE_integer(
    "default_source_evaluations", 200, "Of each source, while others vary.", lower_bound=1
)
_DEFAULT_OBSERVATIONS = flags.DEFINE_integer(
    "default_target_observations", 20, "Of rank correlations while sources vary.", lower_bound=0
)
_PASS = flags.DEFINE_multi_string("pass", [], "More flags for tabular_search, without the dashes.")

_BUDGETS = (20, 50, 100)
_COLUMNS = ["factor", "level", "optimizer", "metric", "budget", "mean", "ci95_low", "ci95_high"]


@dataclasses.dataclass(frozen=True, order=True)
class Amount:
    """What a surrogate has of sources: how many, and random evaluations of each."""

    num_sources: int
    source_evaluations: int

    def folder(self) -> pathlib.Path:
        """Returns where its searches and correlations lie."""
        name = f"sources_{self.num_sources}_evaluations_{self.source_evaluations}"
        return _GRID.output / name


_ALONE = Amount(0, 0)


@dataclasses.dataclass(frozen=True)
class Level:
    """A level of a factor: the sources then, and the random observations of the correlation."""

    factor: str
    level: int
    amount: Amount
    observations: int


def levels_from_flags(num_tasks: int, num_rows: int) -> list[Level]:
    """Returns all levels in the order of the CSV; every mistake is a `UserError`."""
    every = num_tasks - 1
    source_tasks = _NUM_SOURCES.value
    if source_tasks == ["all"]:
        source_tasks = range(every + 1)
    evaluations = _numbers("source_evaluations", _EVALUATIONS.value, num_rows)
    num_sources = _numbers("num_sources", source_tasks, every)
    # Two rows at least must stay unobserved for a correlation.
    observations = _numbers("target_observations", _OBSERVATIONS.value, num_rows - 2)
    seen = _DEFAULT_OBSERVATIONS.value
    _numbers("default_target_observations", [seen], num_rows - 2)
    usual = _DEFAULT_EVALUATIONS.value

    def amount(number: int, each: int) -> Amount:
        return Amount(number, each) if number and each else _ALONE

    return [
        *(Level("source_evaluations", n, amount(every, n), seen) for n in evaluations),
        *(Level("source_tasks", n, amount(n, usual), seen) for n in num_sources),
        *(Level("target_observations", n, amount(every, usual), n) for n in observations),
    ]


def _numbers(flag: str, values: Sequence[Any], most: int) -> list[int]:
    """Returns distinct levels, sorted."""
    texts = [str(value) for value in values]
    if not all(text.isdecimal() and int(text) <= most for text in texts):
        raise FlagError(f"--{flag}={','.join(texts)}: here it takes numbers from 0 to {most}.")
    return sorted({int(text) for text in texts})


def search(amount: Amount, optimizers: Sequence[str], budget: int) -> Setting:
    """Runs what is missing of the searches; returns their setting."""
    print(f"searching with {amount.num_sources} x {amount.source_evaluations}", flush=True)
    values = {**dataclasses.asdict(amount), "budget": budget}
    table_step(amount.folder(), optimizers, _TABLE, _GRID, values, _PASS.value)
    return Setting(**json.loads((amount.folder() / "setting.json").read_text()))


def rank_correlation(
    setting: Setting, benchmark_dir: str, folder: pathlib.Path, unit: Unit
) -> dict[str, float]:
    """Returns the correlation of a surrogate after a variant's number of random observations.

    Fewer observations are the first of more, and the same for every amount of sources.
    """
    table, target = cached_table(benchmark_dir, setting.table), unit.target
    sources = source_histories(unit, setting, table)
    config = PredictorConfig(encoder=setting.encoder, cache_dir=str(folder / "source_fits"))
    surrogate = make_surrogate(setting.surrogate, table.space, sources, config)
    rng = np.random.default_rng([unit.seed, task_index(table, target), 6])
    order = rng.permutation(len(table.space.rows))
    values = table.column(target, setting.split).values
    seen, unseen = order[: int(unit.variant)], order[int(unit.variant) :]
    history = TaskHistory(target, table.space.rows[seen], values[seen])
    mean = surrogate.condition(history).mean(table.space.rows[unseen])
    is_constant = np.ptp(mean) == 0.0 or np.ptp(values[unseen]) == 0.0
    found = 0.0 if is_constant else float(np.asarray(spearmanr(mean, values[unseen]))[0])
    return {"rank_correlation": found}


def measure_ranks(levels: Sequence[Level], settings: dict[Amount, Setting]) -> None:
    """Computes the correlations that are missing."""
    for amount, setting in settings.items():
        wanted = {x.observations for x in levels if amount in (_ALONE, x.amount)}
        counts = [str(n) for n in sorted(wanted)]
        units = grid.units_of(["ranks"], setting.targets, _GRID.seeds, counts)
        work = functools.partial(rank_correlation, setting, _TABLE.folder, amount.folder())
        grid.run(work, units, amount.folder(), _GRID, "surrogates measured")


def rows_of(levels: Sequence[Level], settings: dict[Amount, Setting]) -> list[dict[str, Any]]:
    """Reads what was measured and returns the rows of the CSV."""
    seeds, rows = _GRID.seeds, []
    curves = {
        (amount, name): percentile_matrix(amount.folder() / "evaluations.csv", name, seeds)
        for amount in settings
        for name in (("nao", "xfer_nao") if amount == _ALONE else ("xfer_nao",))
    }
    for level in levels:
        is_target = level.factor == "target_observations"
        for name, amount in (("nao", _ALONE), ("xfer_nao", level.amount)):
            curve, folder = curves[amount, name], amount.folder()
            targets, count = settings[amount].targets, level.observations
            units = grid.units_of(["ranks"], targets, seeds, [str(count)])
            ranks = np.array([unit.read(folder)["rank_correlation"] for unit in units])
            measured = [("rank_correlation", count, ranks.reshape(len(targets), seeds))]
            for n in (level.level,) if is_target else _BUDGETS:
                if 0 < n <= curve.shape[2]:
                    measured.append(("incumbent_percentile", n, curve[..., n - 1]))
            for metric, budget, values in measured:
                cells = (level.factor, level.level, name, metric, budget, float(values.mean()))
                row = zip(_COLUMNS, (*cells, *statistics.interval(values)), strict=True)
                rows.append({**dict(row), "seeds": seeds})
    return rows


def draw(rows: Sequence[dict[str, Any]], table: str, num_targets: int) -> None:
    """Draws search quality above rank correlation, a column for each factor."""
    figure = figures.new_figure(860)
    grid = figure.subplots(2, 3, sharex="col", sharey="row")
    labels = {
        "source_evaluations": "random evaluations of each source",
        "source_tasks": "source tasks",
        "target_observations": "evaluations on the target",
    }
    for column, (factor, label) in enumerate(labels.items()):
        mine = [row for row in rows if row["factor"] == factor]
        quality = [row for row in mine if row["metric"] == "incumbent_percentile"]
        ranks = [row for row in mine if row["metric"] == "rank_correlation"]
        above, below = grid[0, column], grid[1, column]
        if factor == "target_observations":
            _draw_lines(above, quality, {})
            above.set_title("search", fontsize="medium")
            below.set_title("random observations", fontsize="medium")
        else:
            above.set_title("search; @N: after N evaluations", fontsize="medium")
            below.set_title(
                f"{_DEFAULT_OBSERVATIONS.value} random observations of the target",
                fontsize="medium",
            )
            for i, budget in enumerate(sorted({row["budget"] for row in quality})):
                part = [row for row in quality if row["budget"] == budget]
                _draw_lines(above, part, {"color": figures.COLORS[i]}, f" @{budget}")
        _draw_lines(below, ranks, {})
        ticks = sorted({row["level"] for row in mine})
        positive = [tick for tick in ticks if tick]
        if factor != "source_tasks" and positive:
            below.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
        below.set_xticks(ticks, [str(tick) for tick in ticks])
        below.minorticks_off()
        below.set_xlabel(label)
        for axes in (above, below):
            if axes.lines:
                axes.legend(fontsize="small", ncols=2 if len(axes.lines) > 2 else 1)
    figures.log_scale(grid[0, 0])
    for axes in grid.flat:
        axes.grid(True, axis="y", color="#dddddd", linewidth=0.6)
    grid[0, 0].set_ylabel("better than the incumbent (% of the table)")
    grid[1, 0].set_ylabel("rank correlation, unseen architectures")
    figure.suptitle(f"{table}: mean over {num_targets} tasks x {_GRID.seeds} seeds, 95 % intervals")
    figures.save(figure, _GRID.output / "data_amount.png")


def _draw_lines(axes: Any, rows: Sequence[dict[str, Any]], style: Any, suffix: str = "") -> None:
    """Draws `xfer_nao` solid and `nao` dashed."""
    for name, color, line in (("xfer_nao", 0, "o-"), ("nao", 1, "s--")):
        part = [row for row in rows if row["optimizer"] == name]
        if part:
            x, mean, low, high = (
                [row[key] for row in part] for key in ("level", "mean", "ci95_low", "ci95_high")
            )
            look = {"color": figures.COLORS[color], "marker": line[0], "linestyle": line[1:]}
            figures.draw_band(
                axes, x, mean, low, high, **(look | style), markersize=4, label=name + suffix
            )


def main() -> None:
    """Measures what is missing and writes the results."""
    output, table = _GRID.output, _TABLE.table()
    chosen, num_rows = _TABLE.chosen(), len(table.space.rows)
    num_tasks = len(table.tasks(chosen["split"]))
    levels = levels_from_flags(num_tasks, num_rows)
    longest = max(_BUDGET.value, *(level.observations for level in levels))
    usual = Amount(num_tasks - 1, _DEFAULT_EVALUATIONS.value)
    settings = {_ALONE: search(_ALONE, ("nao", "xfer_nao"), longest)}
    for amount in sorted({level.amount for level in levels} - {_ALONE}):
        budget = longest if amount == usual else _BUDGET.value
        settings[amount] = search(amount, ("xfer_nao",), budget)
    measure_ranks(levels, settings)
    rows = rows_of(levels, settings)
    cells = [[f"{x:.6g}" if isinstance(x, float) else x for x in row.values()] for row in rows]
    commands.write_csv(output / "data_amount.csv", [*_COLUMNS, "seeds"], cells)
    draw(rows, chosen["table"], len(chosen["targets"]))


if __name__ == "__main__":
    commands.start("data_amount", main)
