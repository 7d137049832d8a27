"""How much source and target data matter: one factor at a time around the default.

    python -m experiments.data_amount --benchmark_dir=DIR --seeds=20 --jobs=2 --output=runs/amount

Factors: evaluations of each source (0 to 400), number of source tasks (0 to all), and target
observations (0 to 200). The first two change what `xfer_nao` searches with (0 is `nao`); quality is
the incumbent's mean percentile. For all three the rank correlation of the surrogate's prediction
with the table is measured on the rows that it has not seen. Writes `amount.csv`, `amount.png`, and
the searches.
"""

import csv
import io
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags

from experiments import statistics
from experiments.incumbents import percentile_matrix
from experiments.tabular_units import Setting, Unit, cached_table, single_threaded, source_histories
from xfernas_jax.files import write_atomically

_DIR = flags.DEFINE_string("benchmark_dir", None, "Folder with a manifest.json.", required=True)
_TABLE = flags.DEFINE_string("table", "transnas_micro", "Name of a table.")
_SEEDS = flags.DEFINE_integer("seeds", 20, "Seeds of the searches.", lower_bound=2)
_RANK_SEEDS = flags.DEFINE_integer("rank_seeds", 5, "Seeds of the correlations.", lower_bound=2)
_JOBS = flags.DEFINE_integer("jobs", 1, "Processes.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results.", required=True)
_EVALUATIONS = flags.DEFINE_list("source_evaluations", ["25", "50", "100", "200", "400"], "Levels.")
_OBSERVATIONS = flags.DEFINE_list(
    "target_observations", ["0", "5", "10", "20", "50", "100", "200"], "Levels."
)

_DEFAULT_EVALUATIONS, _DEFAULT_OBSERVATIONS, _BUDGET = 200, 20, 50


def search(folder: str, optimizer: str, *changes: str) -> np.ndarray:
    """Runs `tabular_search`; returns the incumbents' percentiles `[targets, seeds, evaluations]`."""
    output = pathlib.Path(_OUTPUT.value) / folder
    command = [
        sys.executable,
        "-m",
        "experiments.tabular_search",
        f"--benchmark_dir={_DIR.value}",
        f"--table={_TABLE.value}",
        f"--optimizers={optimizer}",
        f"--seeds={_SEEDS.value}",
        f"--budget={_BUDGET}",
        f"--jobs={_JOBS.value}",
        f"--output={output}",
        *changes,
    ]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        sys.exit(2)  # tabular_search has said why
    return percentile_matrix(output / "evaluations.csv", optimizer)


def rank_correlations(num_sources: int, evaluations: int, observations: int) -> np.ndarray:
    """Returns Spearman correlations `[targets, seeds]` on the rows that were not observed."""
    from scipy.stats import spearmanr

    from xfernas_jax.predictor.base import TaskHistory
    from xfernas_jax.predictor.config import PredictorConfig
    from xfernas_jax.predictor.head import HeadSurrogate

    table = cached_table(str(_DIR.value), _TABLE.value)
    tasks = tuple(sorted(table.tasks("valid")))
    found = np.zeros((len(tasks), _RANK_SEEDS.value))
    cache_dir = str(pathlib.Path(_OUTPUT.value) / "source_fits")
    unlabelled = table.space.sample_tokens(np.random.default_rng([0, 1]), 4096)
    for i, target in enumerate(tasks):
        for seed in range(_RANK_SEEDS.value):
            unit = Unit("xfer_nao", target, seed)
            sources = source_histories(unit, setting(tasks, num_sources, evaluations), table)
            surrogate = HeadSurrogate(
                table.space.mask(), sources, PredictorConfig(cache_dir=cache_dir), unlabelled
            )
            rng = np.random.default_rng([seed, i, 9])
            order = rng.permutation(len(table.space.rows))
            seen, unseen = order[:observations], order[observations:]
            values = table.column(target, "valid").values
            observed = TaskHistory(target, table.space.rows[seen], values[seen])
            mean = surrogate.condition(observed).predict(table.space.rows[unseen])[0]
            constant = np.ptp(mean) == 0.0
            found[i, seed] = (
                0.0 if constant else float(np.asarray(spearmanr(mean, values[unseen]))[0])
            )
    return found


def setting(tasks: tuple[str, ...], num_sources: int, evaluations: int) -> Setting:
    """Returns the setting under which sources are drawn."""
    return Setting(
        table=_TABLE.value,
        split="valid",
        test_split="test",
        targets=tasks,
        sources=tasks,
        num_sources=num_sources,
        source_evaluations=evaluations,
        budget=_BUDGET,
        baseline_budget=_BUDGET,
        batch_size=5,
        initial_random=10,
        corrupt_sources="none",
        surrogate="head",
        encoder="mlp",
    )


def main(argv: Sequence[str]) -> None:
    """Measures every level of every factor."""
    del argv
    single_threaded()
    table = cached_table(str(_DIR.value), _TABLE.value)
    tasks = tuple(sorted(table.tasks("valid")))
    every = len(tasks) - 1
    alone = search("alone", "nao")
    rows: list[dict[str, Any]] = []

    def add(factor: str, level: int, curves: np.ndarray | None, ranks: np.ndarray) -> None:
        row: dict[str, Any] = {"factor": factor, "level": level}
        low, high = statistics.interval(ranks)
        row |= {"rank_correlation": ranks.mean(), "rank_low": low, "rank_high": high}
        for c in (20, 50) if curves is not None else ():
            low, high = statistics.interval(curves[..., c - 1])
            row |= {f"at_{c}": curves[..., c - 1].mean(), f"at_{c}_low": low, f"at_{c}_high": high}
        rows.append(row)
        print(
            {k: v if isinstance(v, str) else round(float(v), 3) for k, v in row.items()}, flush=True
        )

    no_sources = rank_correlations(0, 0, _DEFAULT_OBSERVATIONS)
    add("source evaluations", 0, alone, no_sources)
    for level in map(int, _EVALUATIONS.value):
        curves = search(f"evaluations_{level}", "xfer_nao", f"--source_evaluations={level}")
        ranks = rank_correlations(every, level, _DEFAULT_OBSERVATIONS)
        add("source evaluations", level, curves, ranks)
    add("source tasks", 0, alone, no_sources)
    for level in range(1, every + 1):
        curves = search(f"tasks_{level}", "xfer_nao", f"--num_sources={level}")
        ranks = rank_correlations(level, _DEFAULT_EVALUATIONS, _DEFAULT_OBSERVATIONS)
        add("source tasks", level, curves, ranks)
    for level in map(int, _OBSERVATIONS.value):
        ranks = rank_correlations(every, _DEFAULT_EVALUATIONS, level)
        add("target observations, xfer_nao", level, None, ranks)
        add("target observations, nao", level, None, rank_correlations(0, 0, level))
    write_csv(rows)
    draw(rows)


def write_csv(rows: Sequence[dict[str, Any]]) -> None:
    """Writes `amount.csv`."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if isinstance(v, (str, int)) else f"{v:.6g}" for k, v in row.items()})
    write_atomically(pathlib.Path(_OUTPUT.value) / "amount.csv", text.getvalue().encode())


def draw(rows: Sequence[dict[str, Any]]) -> None:
    """Draws `amount.png`: search quality above, rank correlation below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    colors = {"at_20": "#0072B2", "at_50": "#D55E00"}
    for axis, factor in zip(axes, ("source evaluations", "source tasks"), strict=False):
        part = [row for row in rows if row["factor"] == factor]
        levels = [row["level"] for row in part]
        for name, color in colors.items():
            means = [row[name] for row in part]
            axis.plot(levels, means, "o-", color=color, label=f"after {name[3:]} evaluations")
            low, high = ([row[f"{name}_{side}"] for row in part] for side in ("low", "high"))
            axis.fill_between(levels, low, high, color=color, alpha=0.2)
        axis.set_yscale("log")
        axis.set_xlabel(f"{factor}{' (each)' if 'evaluations' in factor else ''}")
        axis.set_ylabel("percentile of the incumbent (0 is the best)")
        axis.legend()
    for name, color in (("xfer_nao", "#0072B2"), ("nao", "#000000")):
        part = [row for row in rows if row["factor"] == f"target observations, {name}"]
        levels = [row["level"] for row in part]
        label = "with sources" if name == "xfer_nao" else "without sources"
        axes[2].plot(levels, [r["rank_correlation"] for r in part], "o-", color=color, label=label)
        low, high = ([row[f"rank_{side}"] for row in part] for side in ("low", "high"))
        axes[2].fill_between(levels, low, high, color=color, alpha=0.2)
    axes[2].set_xlabel("target observations (random)")
    axes[2].set_ylabel("rank correlation on unseen architectures")
    axes[2].legend()
    figure.suptitle(f"{_TABLE.value}: mean over tasks, 95 % intervals, {_SEEDS.value} seeds")
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    write_atomically(pathlib.Path(_OUTPUT.value) / "amount.png", data.getvalue())


if __name__ == "__main__":
    app.run(main)
