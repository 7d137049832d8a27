"""The verbs `search` (without a verb: the demo) and `collect`."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, get_args

from xfernas_jax.cli import flags, inputs, tensorboard
from xfernas_jax.cli.progress import EvaluationProgress, console, print_outcome, shown_value
from xfernas_jax.cli.scoring import scoring
from xfernas_jax.errors import FlagError, HistoryError, StudyError, UserError
from xfernas_jax.history import Evaluation, Storage, StudySpec
from xfernas_jax.history.goal import Goal, costs_of
from xfernas_jax.history.record import Metric
from xfernas_jax.predictor.explain import TaskRelations
from xfernas_jax.search.collect import collect_random
from xfernas_jax.search.early_stop import make_early_stop
from xfernas_jax.search.loop import LoopConfig, Outcome, run_search
from xfernas_jax.search.sources import source_curves, task_histories
from xfernas_jax.space import write_genotype
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import get_space
from xfernas_jax.train.checkpoint import VariablesStore

STUDIES = "studies"  # folder in --workdir
_UNFINISHED = "unfinished"  # folder of a study
_RESULT_KINDS: Mapping[str, type] = {
    "study": str,
    "num_evaluations": int,
    "num_confirmations": int,
    "best_genotype": dict,
    "best_valid_accuracy": float,
    "metric": str,
    "num_params": int,
    "seconds": float,
    "epochs_trained": int,
    "epochs_saved": int,
    "variables": str,
    "sources": list,
    "costs": dict,
    "front": list,
}
_FRONT_KINDS: Mapping[str, type] = {
    "evaluation": int,
    "valid_accuracy": float,
    "costs": dict,
    "genotype": dict,
}


def search() -> None:
    """Searches an architecture for one task, reusing the histories of others."""
    # Imported here: the other verbs need no predictor.
    from xfernas_jax.predictor.config import PredictorConfig
    from xfernas_jax.search.registry import SearchConfig, make_optimizer
    from xfernas_jax.search.surrogate_search import SurrogateSearch

    inputs.check_output()
    event_files = tensorboard.folder()
    space = get_space(flags.SPACE.value)
    scored = scoring(space)
    loop = LoopConfig(
        flags.BUDGET.value, flags.BATCH_SIZE.value, flags.SEED.value, scored.confirm_seeds
    )
    config = {
        "optimizer": flags.OPTIMIZER.value,
        "encoder": flags.ENCODER.value,
        "surrogate": flags.SURROGATE.value,
        "sources": flags.SOURCES.value,
        "reuse_target": flags.REUSE_TARGET.value,
        "batch_size": loop.batch_size,
        "seed": loop.seed,
        "confirm_seeds": loop.confirm_seeds,
        **scored.config,
    }
    goal = inputs.goal()
    if goal.costs:
        config["goal"] = {"limits": dict(goal.limits), "pareto": goal.pareto}
    if flags.ARCHITECTURE_NUMBERS.value:
        config["architecture_numbers"] = flags.ARCHITECTURE_NUMBERS.value
    rule = flags.EARLY_STOP.value
    if rule != "none":
        config["early_stop"] = rule
    spec = inputs.study_spec("search", scored.task, space, scored.recipe, config)
    folder = inputs.folder_of(STUDIES, spec.name)
    executor, num_devices = scored.open(loop.batch_size, folder / _UNFINISHED)
    with (
        closing(executor),
        inputs.open_storage() as storage,
        _control_unless_finished(storage, spec.name, loop.budget_evaluations),
    ):
        console.print(f"Study {spec.name}: {scored.task.dataset} in {space.name}, {scored.label}")
        counts, sources, prior = inputs.choose_sources(storage, space, spec)
        spec = dataclasses.replace(spec, config={**spec.config, "source_studies": counts})
        # With learned shares asha saves less; see experiments/EARLY_STOP.md.
        curves = source_curves(sources) if rule == "median" else ()
        early_stop = make_early_stop(rule, scored.epochs, curves)
        predictor = PredictorConfig(
            encoder=flags.ENCODER.value, cache_dir=str(inputs.folder_of("predictor_cache"))
        )
        optimizer = make_optimizer(
            flags.OPTIMIZER.value,
            space,
            task_histories(space, sources, goal.costs),
            SearchConfig(
                surrogate=flags.SURROGATE.value,
                predictor=predictor,
                architecture_numbers=inputs.architecture_numbers(),
                goal=goal,
                known_costs=scored.known_costs,
            ),
        )
        storage.create_or_open(spec)
        result = _finished(storage, spec.name, loop.budget_evaluations)
        if result is not None:
            console.print("This study is finished; nothing is trained or tested again.")
        else:
            done = _seconds_done(storage, spec.name)
            progress = EvaluationProgress(loop.budget_evaluations, done, executor.num_workers, goal)
            with (
                progress.bar,
                tensorboard.with_files(
                    progress,
                    event_files and event_files / spec.name,
                    space,
                    flags.OPTIMIZER.value,
                    storage.evaluations(spec.name),
                    goal,
                ) as listener,
            ):
                outcome = run_search(
                    optimizer,
                    executor,
                    storage,
                    spec.name,
                    loop,
                    listener,
                    VariablesStore(folder / "variables") if scored.is_trained else None,
                    prior,
                    early_stop,
                    goal,
                )
            if outcome is None and goal.costs:
                raise UserError(_nothing_admitted(spec.name, storage, goal))
            if outcome is None:
                raise UserError(_nothing_complete(spec.name, storage))
            names = [source.name for source in sources]
            result = _result(spec, space, names, outcome, num_devices)
            relations = optimizer.relations() if isinstance(optimizer, SurrogateSearch) else None
            result["relations"] = None if relations is None else relations.to_json()
            storage.set_result(spec.name, result)
    _hand_over(space, result)


def _nothing_complete(study: str, storage: Storage) -> str:
    """Says why a search has no result."""
    if flags.OBJECTIVE.value is None:
        return (
            f"Study {study}: every evaluation or every confirming training failed, so there is no "
            "best architecture; lower --set=train.learning_rate=..."
        )
    failures = [e.failure for e in storage.evaluations(study) if e.failure]
    return (
        f"Study {study}: --objective={flags.OBJECTIVE.value} gave no score. The last failure: "
        f"{failures[-1] if failures else 'none recorded'}; mend it and name another --study."
    )


def _nothing_admitted(study: str, storage: Storage, goal: Goal) -> str:
    """Says why a search with costs has no result."""
    done = [costs_of(e) for e in storage.evaluations(study) if e.valid_accuracy is not None]
    limits = ", ".join(f"--max_{name}={limit:g}" for name, limit in goal.limits)
    lowest = [
        f"the lowest {name} was {min(costs[name] for costs in done if name in costs):.4g}"
        for name, _ in goal.limits
        if any(name in costs for costs in done)
    ]
    seen = (
        f"of {len(done)} evaluated architectures {' and '.join(lowest)}"
        if lowest
        else ("of 1,000 that were looked at none was trained")
    )
    return f"Study {study}: no architecture within {limits or 'the goal'}: {seen}; raise the limit."


def _finished(storage: Storage, study: str, budget_evaluations: int) -> dict[str, Any] | None:
    """Returns the result of a study that there is nothing to add to, else None."""
    spec = storage.find(study)
    if spec is None or spec.kind != "search":  # a collection has another kind of result
        return None
    result = recorded_result(storage, study)
    return result if result and result["num_evaluations"] >= budget_evaluations else None


def _control_unless_finished(
    storage: Storage, study: str, budget_evaluations: int
) -> AbstractContextManager[None]:
    """Controls the study; one that is only read again may be another's."""
    if _finished(storage, study, budget_evaluations) is not None:
        return nullcontext()
    return inputs.control(storage, study)


def recorded_result(storage: Storage, study: str) -> dict[str, Any] | None:
    """Returns the result of a finished search; `StudyError` where the record was damaged since."""
    result = storage.result(study)
    if result is None:
        return None
    # Earlier versions wrote none of these.
    earlier = {"epochs_trained": 0, "epochs_saved": 0, "variables": "", "costs": {}, "front": []}
    whole = {"metric": "accuracy", **earlier, "relations": None, **result}
    is_score = whole["metric"] == "score"
    if (
        inputs.has_fields(whole, _RESULT_KINDS)
        and whole["metric"] in get_args(Metric)
        and (is_score or type(whole.get("test_accuracy")) is float)
        and inputs.is_curve(whole.get("incumbent_curve"), may_miss=is_score)
        and all(isinstance(source, str) for source in whole["sources"])
        and _are_costs(whole["costs"])
        and all(_is_front_row(row) for row in whole["front"])
        and _are_relations(whole["relations"])
    ):
        return whole
    raise StudyError(
        f"Study {study!r}: its recorded result is damaged; choose another --study to search anew."
    )


def _are_costs(value: Mapping[str, Any]) -> bool:
    return all(type(cost) in (int, float) for cost in value.values())


def _are_relations(value: Any) -> bool:
    try:
        return value is None or bool(TaskRelations.from_json(value))
    except HistoryError:
        return False


def _is_front_row(value: Any) -> bool:
    return inputs.has_fields(value, _FRONT_KINDS) and _are_costs(value["costs"])


def _seconds_done(storage: Storage, study: str) -> list[float]:
    """Returns the seconds of the evaluations that the study holds already."""
    return [e.seconds for e in storage.evaluations(study) if e.purpose in ("search", "collect")]


def _result(
    spec: StudySpec,
    space: Space,
    sources: list[str],
    outcome: Outcome,
    num_devices: int,
) -> dict[str, Any]:
    return {
        "study": spec.name,
        "dataset": spec.task.dataset,
        "metric": spec.task.metric,
        "space": space.name,
        "optimizer": flags.OPTIMIZER.value,
        "sources": sources,
        "num_evaluations": outcome.num_evaluations,
        "num_confirmations": outcome.num_confirmations,
        "best_genotype": space.to_json(outcome.genotype),
        "best_valid_accuracy": outcome.valid_accuracy,
        "test_accuracy": outcome.test_accuracy,
        "num_params": outcome.num_params,
        "seconds": outcome.seconds,
        "epochs_trained": outcome.epochs_trained,
        "epochs_saved": outcome.epochs_saved,
        "incumbent_curve": list(outcome.incumbent_curve),
        "variables": outcome.variables_name,
        "devices_per_evaluation": num_devices,
        "dataset_flag": flags.DATASET.value if spec.task.metric == "accuracy" else "",
        "data_dir": flags.DATA_DIR.value,
        "costs": dict(outcome.costs),
        "front": [_front_row(space, evaluation) for evaluation in outcome.front],
    }


def _front_row(space: Space, evaluation: Evaluation) -> dict[str, Any]:
    """Returns an evaluation of the Pareto set as `export --evaluation` can name it."""
    return {
        "evaluation": evaluation.number,
        "valid_accuracy": evaluation.valid_accuracy,
        "costs": costs_of(evaluation),
        "genotype": space.to_json(evaluation.genotype),
    }


def _hand_over(space: Space, result: Mapping[str, Any]) -> None:
    """Writes the result's files and prints it."""
    folder = inputs.folder_of(STUDIES, result["study"])
    folder.mkdir(parents=True, exist_ok=True)
    genotype_file = folder / "best_genotype.json"
    write_genotype(genotype_file, space, space.from_json(result["best_genotype"]))
    inputs.write_json(folder / "result.json", result)
    if flags.OUTPUT.value:
        inputs.write_json(pathlib.Path(flags.OUTPUT.value), result)
    cost = f"{result['num_evaluations']} evaluations + {result['num_confirmations']} confirmations"
    rows = {
        "best genotype": json.dumps(result["best_genotype"]),
        **_scores(result),
        **{name: f"{cost:,.4g}" for name, cost in result["costs"].items() if name != "params"},
        "cost": f"{cost}, {result['seconds']:.0f} s of "
        f"{'training' if result['metric'] == 'accuracy' else 'scoring'}",
        "sources": ", ".join(result["sources"]) or "none",
        "study": result["study"],
        "record": inputs.storage_url(),
        "genotype file": str(genotype_file),
    }
    if result["metric"] == "accuracy":
        rows["trained variables"] = str(folder / "variables" / result["variables"])
    for row in result["front"]:
        costs = ", ".join(f"{name} {cost:,.5g}" for name, cost in row["costs"].items())
        rows[f"best trade, evaluation {row['evaluation'] + 1}"] = (
            f"{100 * row['valid_accuracy']:.2f} % with {costs}"
        )
    print_outcome(result["incumbent_curve"], rows, result["metric"])


def _scores(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the rows that say how good the best architecture is."""
    value = shown_value(result["best_valid_accuracy"], result["metric"])
    seeds = f"(mean over {flags.CONFIRM_SEEDS.value} seeds)"
    if result["metric"] == "score":
        once = "(its one evaluation: the objective takes no seed, so none was confirmed)"
        return {"score": f"{value} {seeds if result['num_confirmations'] else once}"}
    return {
        "validation accuracy": f"{value} {seeds}",
        "test accuracy": f"{100 * result['test_accuracy']:.2f} % (one training, read once)",
        "parameters": f"{result['num_params']:,}",
        "epochs": f"{result['epochs_trained']} in the search, "
        f"{result['epochs_saved']} saved by early stopping",
    }


def collect() -> None:
    """Evaluates random architectures of a task, for later searches to learn from."""
    event_files = tensorboard.folder()
    space = get_space(flags.SPACE.value)
    scored = scoring(space)
    config = {"seed": flags.SEED.value, **scored.config}
    count, num_repeated = flags.NUM_ARCHITECTURES.value, flags.NUM_REPEATED.value
    if num_repeated > count:
        raise FlagError(
            f"--num_repeated={num_repeated} is above --num_architectures={count}; it counts those "
            "of them that are trained twice."
        )
    total = count + num_repeated
    spec = inputs.study_spec("collect", scored.task, space, scored.recipe, config)
    unfinished = inputs.folder_of(STUDIES, spec.name, _UNFINISHED)
    executor, _ = scored.open(total, unfinished)
    with (
        closing(executor),
        inputs.open_storage() as storage,
        inputs.control(storage, spec.name),
    ):
        storage.create_or_open(spec)
        console.print(f"Study {spec.name}: {scored.task.dataset} in {space.name}, {scored.label}")
        done = _seconds_done(storage, spec.name)
        progress = EvaluationProgress(total, done, executor.num_workers)
        study_files = event_files and event_files / spec.name
        recorded = storage.evaluations(spec.name)
        with (
            progress.bar,
            tensorboard.with_files(progress, study_files, space, "random", recorded) as listener,
        ):
            seed = flags.SEED.value
            collect_random(executor, storage, spec.name, count, seed, listener, num_repeated)
        storage.set_result(spec.name, {"command": flags.command("collect")})
        console.print(f"The study {spec.name} holds {count} architectures.")
