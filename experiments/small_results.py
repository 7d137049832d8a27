"""Tables and a picture of finished searches of the small twins."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments import commands, figures, statistics

_HEIGHT_PIXELS = 560


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One finished search.

    Attributes:
      target: data set.
      optimizer: name.
      seed: of the search.
      values: `[N]` validation accuracies in the order of evaluation; 0 where a training failed.
      confirmed: mean validation accuracy of the chosen architecture's confirming trainings.
      test: accuracy of one of them, read once.
      best_known: best validation accuracy of any training of the target that is in the cache.
    """

    target: str
    optimizer: str
    seed: int
    values: np.ndarray
    confirmed: float
    test: float
    best_known: float

    @property
    def incumbent(self) -> np.ndarray:
        """`[N]` best value after each evaluation."""
        return np.maximum.accumulate(self.values)


def write_evaluations(runs: Sequence[Run], file: pathlib.Path) -> None:
    """Writes a line for each evaluation of each search."""
    header = ["target", "optimizer", "seed", "evaluation", "valid_accuracy", "incumbent"]
    rows = [
        [run.target, run.optimizer, run.seed, number, f"{value:.6g}", f"{best:.6g}"]
        for run in runs
        for number, (value, best) in enumerate(zip(run.values, run.incumbent, strict=True), 1)
    ]
    commands.write_csv(file, header, rows)


def summarize(runs: Sequence[Run], checkpoints: Sequence[int]) -> dict[str, Any]:
    """Makes the content of `summary.json`.

    Args:
      runs: finished; every optimizer of a target has the same seeds.
      checkpoints: evaluations after which incumbents are compared.
    """
    by_target: dict[str, dict[str, list[Run]]] = {}
    for run in sorted(runs, key=lambda r: (r.target, r.optimizer, r.seed)):
        by_target.setdefault(run.target, {}).setdefault(run.optimizer, []).append(run)
    pairs: dict[str, list[tuple[Run, Run]]] = {}
    for target, arms in by_target.items():
        if {"nao", "xfer_nao"} <= arms.keys():
            pairs[target] = list(zip(arms["xfer_nao"], arms["nao"], strict=True))
    if len(pairs) > 1:
        pairs["all targets"] = [pair for found in list(pairs.values()) for pair in found]
    return {
        "targets": {
            target: {
                "best_known_valid_accuracy": next(iter(arms.values()))[0].best_known,
                "optimizers": {name: _arm(its, checkpoints) for name, its in arms.items()},
                "evaluations_to_match_xfer_nao": _to_match(arms, checkpoints),
            }
            for target, arms in by_target.items()
        },
        "xfer_nao_minus_nao": {
            target: {
                measure: _paired(found, lambda run, m=measure: _measure(run, m))
                for measure in [*(f"incumbent@{c}" for c in checkpoints), "confirmed", "test"]
            }
            for target, found in pairs.items()
        },
    }


def _measure(run: Run, name: str) -> float:
    kind, _, evaluations = name.partition("@")
    return float(run.incumbent[int(evaluations) - 1]) if evaluations else getattr(run, kind)


def _arm(runs: Sequence[Run], checkpoints: Sequence[int]) -> dict[str, Any]:
    incumbents = np.array([run.incumbent for run in runs])  # [seeds, N]
    best = runs[0].best_known
    return {
        "seeds": [run.seed for run in runs],
        "incumbent": {str(c): _spread(incumbents[:, c - 1]) for c in checkpoints},
        "regret": {str(c): _spread(best - incumbents[:, c - 1]) for c in checkpoints},
        "confirmed": _spread(np.array([run.confirmed for run in runs])),
        "test": _spread(np.array([run.test for run in runs])),
    }


def _spread(values: np.ndarray) -> dict[str, float | None]:
    return {
        "mean": float(values.mean()),
        "standard_error": _number(statistics.standard_error(values)),
    }


def _paired(pairs: Sequence[tuple[Run, Run]], measure: Any) -> dict[str, Any]:
    ours, theirs = (np.array([measure(pair[i]) for pair in pairs]) for i in (0, 1))
    found = statistics.paired(ours, theirs)
    return {
        "pairs": len(pairs),
        "difference": found.difference,
        "ci95": [_number(found.low), _number(found.high)],
        "p_value": found.p_value,
    }


def _to_match(arms: Mapping[str, Sequence[Run]], checkpoints: Sequence[int]) -> dict[str, Any]:
    """Returns after how many evaluations each arm's mean curve is as good; None if never."""
    if "xfer_nao" not in arms:
        return {}
    means = {name: np.mean([r.incumbent for r in runs], 0) for name, runs in arms.items()}
    result: dict[str, Any] = {}
    for name, curve in means.items():
        reached = {c: np.flatnonzero(curve >= means["xfer_nao"][c - 1]) for c in checkpoints}
        result[name] = {str(c): int(r[0]) + 1 if len(r) else None for c, r in reached.items()}
    return result


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def table(summary: Mapping[str, Any]) -> str:
    """Returns the summary as Markdown, accuracies in percent."""
    lines = []
    for target, content in summary["targets"].items():
        best = 100 * content["best_known_valid_accuracy"]
        lines += ["", f"{target}: best validation value known {best:.2f} %", ""]
        first = next(iter(content["optimizers"].values()))
        at = list(first["incumbent"])
        heads = [*(f"@{c}" for c in at), *(f"regret @{c}" for c in at), "confirmed", "test"]
        lines.append(f"| optimizer | {' | '.join(heads)} | to match `xfer_nao` @{', '.join(at)} |")
        lines.append("|---" * (len(heads) + 2) + "|")
        for name, arm in content["optimizers"].items():
            cells = [_cell(arm["incumbent"][c]) for c in at] + [_cell(arm["regret"][c]) for c in at]
            cells += [_cell(arm["confirmed"]), _cell(arm["test"])]
            needed = content["evaluations_to_match_xfer_nao"].get(name, {})
            shown = ", ".join(str(needed[c]) if needed.get(c) else "never" for c in at)
            lines.append(f"| `{name}` | {' | '.join(cells)} | {shown if needed else ''} |")
    for target, measures in summary["xfer_nao_minus_nao"].items():
        pairs = next(iter(measures.values()))["pairs"]
        lines += ["", f"`xfer_nao` - `nao`, {target} ({pairs} pairs), points:"]
        for measure, found in measures.items():
            low, high = (math.nan if x is None else 100 * x for x in found["ci95"])
            lines.append(
                f"- {measure}: {100 * found['difference']:+.2f} ({low:+.2f} to {high:+.2f}), "
                f"p {found['p_value']:.3g}"
            )
    return "\n".join(lines)


def _cell(spread: Mapping[str, float | None]) -> str:
    error = spread["standard_error"]
    shown = "" if error is None else f" +- {100 * error:.2f}"
    return f"{100 * (spread['mean'] or 0.0):.2f}{shown}"


def draw(runs: Sequence[Run], file: pathlib.Path) -> None:
    """Draws mean incumbents with standard errors, a panel for each target."""
    targets = sorted({run.target for run in runs})
    figure = figures.new_figure(_HEIGHT_PIXELS)
    panels = figure.subplots(1, len(targets), squeeze=False)[0]
    for axes, target in zip(panels, targets, strict=True):
        names = sorted({run.optimizer for run in runs if run.target == target})
        for i, name in enumerate(names):
            its = [r.incumbent for r in runs if (r.target, r.optimizer) == (target, name)]
            curves = 100 * np.array(its)  # [seeds, N], percent
            mean, error = curves.mean(0), np.zeros(curves.shape[1])
            if len(curves) > 1:
                error = curves.std(0, ddof=1) / math.sqrt(len(curves))
            figures.draw_band(
                axes,
                list(range(1, curves.shape[1] + 1)),
                mean,
                mean - error,
                mean + error,
                color=figures.COLORS[i % len(figures.COLORS)],
                linestyle=("-", "--", "-.", ":")[i % 4],  # arms with equal curves stay visible
                label=name,
            )
        num_seeds = len({run.seed for run in runs if run.target == target})
        axes.set_title(f"{target}: mean and standard error of {num_seeds} seeds")
        axes.set_xlabel("evaluations on the target")
        axes.set_ylabel("best validation accuracy so far (%)")
        axes.grid(True, axis="y", color="#dddddd", linewidth=0.6)
        axes.set_xlim(left=0)
        axes.legend()
    figures.save(figure, file)
