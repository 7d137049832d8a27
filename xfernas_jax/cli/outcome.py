"""The result of a search: as the JSON object that is kept, and as it is printed."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import print_outcome
from xfernas_jax.evaluate.tested import TABLE_FILE
from xfernas_jax.evaluate.trust import compared_words, trust_rows, with_interval
from xfernas_jax.history import Evaluation, StudySpec
from xfernas_jax.history.metric import Metric
from xfernas_jax.search.base import Optimizer
from xfernas_jax.search.outcome import Finalist, Outcome, selection_bias
from xfernas_jax.search.references import reference_rows
from xfernas_jax.search.seen import Seen
from xfernas_jax.search.surrogate_search import SurrogateSearch
from xfernas_jax.space import write_genotype
from xfernas_jax.space.base import Genotype, Space


def to_json(
    spec: StudySpec, space: Space, sources: Sequence[str], outcome: Outcome
) -> dict[str, Any]:
    """Returns what is recorded of a search that ended; `search.result.read_result` reads it.

    Args:
      spec: of its study.
      space: of the genotypes.
      sources: names of those that it learned from.
      outcome: that it ended with.
    """
    metric, params = spec.task.metric.name, outcome.costs.get("params")
    values = [finalist.values for finalist in outcome.finalists]
    result = {
        "study": spec.name,
        "dataset": spec.task.dataset,
        "metric": metric,
        "space": space.name,
        "optimizer": flags.OPTIMIZER.value,
        "sources": list(sources),
        "num_evaluations": outcome.num_evaluations,
        "num_confirmations": outcome.num_confirmations,
        "best_genotype": space.to_json(outcome.genotype),
        "best_value": outcome.value,
        "test_value": outcome.test,
        "finalists": [_finalist_to_json(space, finalist) for finalist in outcome.finalists],
        "selection_bias": selection_bias(values),
        "num_params": None if params is None else int(params),
        "seconds": outcome.seconds,
        "epochs_trained": outcome.epochs_trained,
        "epochs_saved": outcome.epochs_saved,
        "incumbent_curve": list(outcome.incumbent_curve),
        "variables": outcome.variables_name,
        "member_values": list(outcome.member_values),
        "dataset_flag": "" if flags.OBJECTIVE.value else flags.DATASET.value,
        "data_dir": flags.DATA_DIR.value,
        "costs": dict(outcome.costs),
        "front": [_front_row(space, evaluation) for evaluation in outcome.front],
    }
    if metric == "accuracy":  # the names of version 0.1.0, for scripts that read them
        result["best_valid_accuracy"] = outcome.value
        result["test_accuracy"] = outcome.test
    return result


def references(
    space: Space,
    named: Sequence[tuple[str, Genotype]],
    evaluations: Sequence[Evaluation],
    outcome: Outcome,
) -> list[dict[str, Any]]:
    """Returns what is recorded of known networks, as JSON; None for what was not trained."""
    values = {(e.key, e.purpose): e.value for e in evaluations if e.value is not None}
    best = space.key(outcome.genotype)
    if (best, "final") in values:  # of several trainings, what is handed over
        values[best, "final"] = outcome.value
    keys = {name: space.key(genotype) for name, genotype in named}
    return [
        {
            "name": name,
            "value": values.get((key, "search")),
            "final_value": values.get((key, "final")),
            "is_best": key == best,
        }
        for name, key in keys.items()
    ]


def relations(optimizer: Optimizer, seen: Seen) -> dict[str, Any] | None:
    """Returns how target and sources relate by what an optimizer learned, as JSON, or None."""
    found = optimizer.relations(seen) if isinstance(optimizer, SurrogateSearch) else None
    return None if found is None else found.to_json()


def _finalist_to_json(space: Space, finalist: Finalist) -> dict[str, Any]:
    return {
        "genotype": space.to_json(finalist.genotype),
        "values": list(finalist.values),
        "mean": finalist.mean,
    }


def _front_row(space: Space, evaluation: Evaluation) -> dict[str, Any]:
    """Returns an evaluation of the Pareto set as `export --evaluation` can name it."""
    return {
        "evaluation": evaluation.number,
        "value": evaluation.value,
        "costs": evaluation.costs,
        "genotype": space.to_json(evaluation.genotype),
    }


def hand_over(space: Space, result: Mapping[str, Any], metric: Metric) -> None:
    """Writes the result's files and prints it."""
    folder = inputs.folder_of(inputs.STUDIES, result["study"])
    folder.mkdir(parents=True, exist_ok=True)
    write_genotype(folder / "best_genotype.json", space, space.from_json(result["best_genotype"]))
    inputs.write_json(folder / "result.json", result)
    inputs.write_output(result)
    print_outcome(result["incumbent_curve"], _rows(result, metric, folder), metric)


def _rows(result: Mapping[str, Any], metric: Metric, folder: pathlib.Path) -> dict[str, str]:
    """Returns the rows of the table that ends a search."""
    is_trained = flags.OBJECTIVE.value is None
    count = result["num_confirmations"]
    full = "full training" if count == 1 else "full trainings"
    again = f"{count} {full if result['references'] else 'confirmations'}"
    cost = f"{result['num_evaluations']} evaluations + {again}"
    rows = {
        "best genotype": json.dumps(result["best_genotype"]),
        **_values(result, metric, is_trained),
        **reference_rows(result, metric),
        **{name: f"{cost:,.4g}" for name, cost in result["costs"].items() if name != "params"},
        "cost": f"{cost}, {result['seconds']:.0f} s of {'training' if is_trained else 'scoring'}",
        "sources": ", ".join(result["sources"]) or "none",
        "study": result["study"],
        "record": inputs.storage_url(),
        "genotype file": str(folder / "best_genotype.json"),
    }
    if result["test_part"] is not None:
        rows["test predictions"] = str(folder / TABLE_FILE)
    if result["variables"]:
        rows["trained variables"] = str(folder / "variables" / result["variables"])
    for row in result["front"]:
        costs = ", ".join(f"{name} {cost:,.5g}" for name, cost in row["costs"].items())
        rows[f"best trade, evaluation {row['evaluation'] + 1}"] = (
            f"{metric.text(row['value'])} with {costs}"
        )
    return rows


def _values(result: Mapping[str, Any], metric: Metric, is_trained: bool) -> dict[str, str]:
    """Returns the rows that say how good the best architecture is."""
    value = metric.text(result["best_value"])
    count = _num_seeds(result)
    seeds = f"(mean over {count} seeds)" if count > 1 else "(one training)"
    members = result["member_values"]
    if members:
        alone = ", ".join(map(metric.number, members))
        seeds = f"(mean of the answers of {len(members)} trainings; alone: {alone})"
    once = "(its one evaluation: the objective takes no seed, so none was confirmed)"
    shown = f"{value} {seeds if result['num_confirmations'] else once}"
    if not is_trained:
        return {metric.label: shown, **_finalists(result, metric)}
    rows = {f"validation {metric.label}": shown, **_finalists(result, metric)}
    part, tested = result["test_part"], result["test_value"]
    what = f"mean of {len(members)} trainings" if members else "one training"
    rows[f"test {metric.label}"] = f"{with_interval(tested, part, metric)}, {what}, read once"
    rows.update(trust_rows(part))
    if tested is not None and (words := compared_words(tested, part, metric)):
        rows["note"] = words
    if result["num_params"] is not None:
        rows["parameters"] = f"{result['num_params']:,}"
    rows["epochs"] = (
        f"{result['epochs_trained']} in the search, "
        f"{result['epochs_saved']} saved by early stopping"
    )
    return rows


def _num_seeds(result: Mapping[str, Any]) -> int:
    """Returns the trainings of each finalist; results of 0.1.0 do not say it."""
    counts = [len(finalist["values"]) for finalist in result["finalists"]]
    return max(counts, default=flags.CONFIRM_SEEDS.value)


def _finalists(result: Mapping[str, Any], metric: Metric) -> dict[str, str]:
    """Returns the row of the finalists' means; none where there is no choice among several."""
    means = [finalist["mean"] for finalist in result["finalists"]]
    if len(means) < 2:
        return {}
    shown = ", ".join("failed" if mean is None else metric.number(mean) for mean in means)
    line = f"{shown}{metric.unit and f' {metric.unit}'}"
    bias = result["selection_bias"]
    if bias is not None:
        line += (
            f"; the best of {len(means)} means is chosen for its luck too: at most "
            f"{metric.text(bias)} too good"
        )
    return {"finalists": line}
