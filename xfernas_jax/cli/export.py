"""The verb `export`: a study's network, to be taken away."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from xfernas_jax.cli import flags, initial, inputs
from xfernas_jax.cli.exported_images import originals, test_images
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.scoring import runtime
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.registry import is_users_function
from xfernas_jax.errors import ExportError, StudyError
from xfernas_jax.evaluate.recipes import Recipe, recipe_from_json
from xfernas_jax.evaluate.spec import TrainedSpec
from xfernas_jax.evaluate.trained import TrainedEvaluator, versions
from xfernas_jax.export.bundle import Bundle, write_bundle
from xfernas_jax.export.card import ModelCard
from xfernas_jax.export.measure import ACCURACY, MEASURES, Measure
from xfernas_jax.export.model import ModelFacts
from xfernas_jax.history import Evaluation, Storage, StudySpec
from xfernas_jax.nn.compile import count_params
from xfernas_jax.search.desk import joined_name, variables_name
from xfernas_jax.search.references import reference_rows
from xfernas_jax.search.result import read_result
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.registry import lookup_space
from xfernas_jax.train.checkpoint import VariablesStore
from xfernas_jax.train.scores import find_metric


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """A trained network of a study: what it is, its variables and its values."""

    genotype: Genotype
    key: str
    seed: int
    variables: Any
    valid_value: float
    valid_seeds: int
    test_value: float
    versions: Mapping[str, str]
    num_members: int = 1


def export() -> None:
    """Writes the folder of a study's best network, or of any of its evaluations."""
    folder = pathlib.Path(inputs.needed("output_dir", flags.OUTPUT_DIR.value))
    with inputs.open_storage(create=False) as storage:
        spec, result = _finished_study(storage)
        evaluations = storage.record(spec.name).evaluations()
    space, trained = lookup_space(spec.space), _trained_spec(spec, result, evaluations)
    dataset = trained.load()
    _check_task(spec, trained, dataset)
    evaluator = trained.build_one(runtime(), dataset=dataset)
    if flags.EVALUATION.value is None:
        chosen = _best(spec, space, result, evaluations, evaluator)
    else:
        chosen = _trained_again(spec, evaluator, evaluations, flags.EVALUATION.value)
    console.print(f"Exporting from study {spec.name}; the exported network is tested now.")
    measure, value = _measured(trained, dataset, chosen)
    bundle = Bundle(
        space=space,
        genotype=chosen.genotype,
        variables=chosen.variables,
        infer=evaluator.inference(chosen.genotype, chosen.num_members),
        facts=ModelFacts(
            spec.space,
            trained.recipe.network,
            dataset.input_shape,
            evaluator.normalizer,
            trained.recipe.data.test_flips,
            dataset.class_names,
            spec.task.dataset,
            spec.task.metric.name,
            chosen.test_value,
            chosen.num_members,
        ),
        card=_card(spec, space, dataset, chosen, trained.recipe, result, evaluations),
        measure=measure,
        value=value,
        test=test_images(trained.dataset, dataset, trained.recipe),
        originals=originals(trained, dataset),
        onnx=flags.FORMAT.value == "onnx",
        same_device=chosen.versions.get("device") == dict(versions())["device"],
    )
    write_bundle(folder, bundle)
    metric = spec.task.metric
    console.print(f"{folder}: test {metric.label} {metric.text(chosen.test_value)}, as recorded")
    console.print(f"Try it: python {folder / 'reload.py'}")


def _trained_spec(
    spec: StudySpec, result: Mapping[str, Any], evaluations: Sequence[Evaluation]
) -> TrainedSpec:
    """Returns what the study's evaluations were built from; `StudyError` for an objective's."""
    if "objective" in spec.config:
        raise StudyError(
            f"Study {spec.name!r} scores architectures by a function of yours "
            f"({spec.task.dataset:.160}); there is no network of ours to export. "
            "best_genotype.json in its folder is the architecture."
        )
    made = [e for e in evaluations if _made(e, result)]
    is_final = flags.EVALUATION.value is None and any(e.purpose == "final" for e in made)
    recipe = recipe_from_json(spec.config.get("final_recipe" if is_final else "recipe"))
    _check_optimizer(spec, recipe)
    data_dir = flags.DATA_DIR.value or result["data_dir"]
    return TrainedSpec(
        spec.space,
        _dataset_name(spec, result),
        data_dir,
        recipe,
        _metric_name(spec),
        initial=initial.file(),
    )


def _metric_name(spec: StudySpec) -> str:
    """Returns the metric's name, or --metric where it is a user's own."""
    name = spec.task.metric.name
    if name in MEASURES:
        return name
    if find_metric(flags.METRIC.value).name != name:
        raise StudyError(
            f"Study {spec.name!r} names the metric {name!r:.160}, a user's own. A record never "
            "decides what code runs; if you trust it, pass it as --metric=module:NAME."
        )
    return flags.METRIC.value


def _check_task(spec: StudySpec, trained: TrainedSpec, dataset: ImageDataset) -> None:
    """Raises `StudyError` where the data are not those of the study."""
    task = dataclasses.replace(dataset.task, metric=spec.task.metric)
    if task != spec.task:
        raise StudyError(
            f"Study {spec.name!r} is of {spec.task.dataset} ({spec.task.split}), but "
            f"--dataset={trained.dataset} gives {task.dataset} ({task.split}); name the data "
            "of the study."
        )


def _dataset_name(spec: StudySpec, result: Mapping[str, Any]) -> str:
    """Returns --dataset, or what the record names where that runs no code of a user's own."""
    if flags.given("dataset"):
        return flags.DATASET.value
    name = result["dataset_flag"] or spec.task.dataset
    if is_users_function(name):
        raise StudyError(
            f"Study {spec.name!r} names the data set {name!r:.160}. A record never decides what "
            "code runs; if you trust it, pass it as --dataset."
        )
    return name


def _check_optimizer(spec: StudySpec, recipe: Recipe) -> None:
    """Raises for a recorded optimizer of a user's own that the command line does not name."""
    optimizer = recipe.train.optimizer
    if ":" in optimizer and f"train.optimizer={optimizer}" not in flags.SET.value:
        raise StudyError(
            f"Study {spec.name!r} names the optimizer {optimizer!r:.160}. A record never decides "
            "what code runs; if you trust it, pass it as --set=train.optimizer=..."
        )


def _finished_study(storage: Storage) -> tuple[StudySpec, Mapping[str, Any]]:
    """Returns --study, or the latest search that is finished, with its result."""
    if flags.STUDY.value:
        spec = storage.spec(flags.STUDY.value)
        result = _result(storage, spec) or _so_far(storage, spec)
        if result is None:
            raise StudyError(
                f"Study {spec.name!r} has no best network: it is no search, or one of which no "
                "trained network is kept yet; the command that began it goes on with it."
            )
        return spec, result
    for spec in reversed(storage.studies()):
        if (result := _result(storage, spec)) is not None:
            return spec, result
    raise StudyError(f"{storage.url} holds no finished search; run.py search makes one.")


def _result(storage: Storage, spec: StudySpec) -> Mapping[str, Any] | None:
    found = storage.result(spec.name) if spec.kind == "search" else None
    return None if found is None else read_result(found, f"Study {spec.name!r}")


def _so_far(storage: Storage, spec: StudySpec) -> Mapping[str, Any] | None:
    """Returns what the result of an unfinished search would be if it ended with what it has kept.

    A network after a final training comes before all others.
    """
    kept, gain = _store(spec), spec.task.metric.gain
    evaluations = storage.evaluations(spec.name) if spec.kind == "search" else ()
    complete = [
        (e.purpose == "final", gain(e.value), e) for e in evaluations if e.value is not None
    ]
    for *_, best in sorted(complete, key=lambda row: row[:2], reverse=True):
        if kept.load(variables_name(best)) is not None:
            console.print(f"Study {spec.name} is not finished: this is its best network so far.")
            space = lookup_space(spec.space)
            return {
                "best_genotype": space.to_json(best.genotype),
                "best_value": best.value,
                "test_value": None,
                "variables": variables_name(best),
                "sources": [],
                "dataset_flag": "",
                "data_dir": None,
                "devices_per_evaluation": 1,
                "references": [],
                "test_part": None,
                "num_valid": None,
                "member_values": [],
                "is_finished": False,
            }
    return None


def _store(spec: StudySpec) -> VariablesStore:
    return VariablesStore(inputs.folder_of(inputs.STUDIES, spec.name) / "variables")


def _best(
    spec: StudySpec,
    space: Space,
    result: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
    evaluator: TrainedEvaluator,
) -> _Chosen:
    """Takes the best network as the search trained it; that of an unfinished one is tested now."""
    genotype = space.from_json(result["best_genotype"])
    key, name = space.key(genotype), result["variables"]
    trainings = [e for e in evaluations if e.key == key]
    made = next((e for e in trainings if _made(e, result)), None)
    is_finished = result.get("is_finished", True)
    if result["test_value"] is None and is_finished:
        raise StudyError(
            f"Study {spec.name!r} has no test value of its best network; name --evaluation=N to "
            "train and test one again."
        )
    if made is None:
        raise StudyError(f"Study {spec.name!r}: its recorded result names no training of its own.")
    variables = _store(spec).load(name)
    if variables is None:
        raise ExportError(
            f"Study {spec.name!r}: the trained variables are not in --workdir={flags.WORKDIR.value}"
            "; name the work directory of the search, or --evaluation=N to train one again."
        )
    tested = result["test_value"] if is_finished else evaluator.test(genotype, variables)
    if tested is None:
        raise ExportError(f"Study {spec.name!r}: its best network so far has no finite test value.")
    return _Chosen(
        genotype,
        key,
        made.seed,
        variables,
        result["best_value"],
        sum(e.purpose in ("confirm", "final") for e in trainings),
        tested,
        dict(made.result.versions),
        len(result["member_values"]) or 1,
    )


def _made(evaluation: Evaluation, result: Mapping[str, Any]) -> bool:
    """Tells whether an evaluation is what a result hands over, or the first of its members."""
    return joined_name(evaluation, len(result["member_values"]) or 1) == result["variables"]


def _trained_again(
    spec: StudySpec,
    evaluator: TrainedEvaluator,
    evaluations: Sequence[Evaluation],
    number: int,
) -> _Chosen:
    """Trains an evaluation's network again and checks that its value comes out."""
    evaluation = _numbered(spec, evaluations, number)
    console.print(f"Training evaluation {number} again.")
    trained = evaluator.train(evaluation.genotype, evaluation.seed)
    value, label = trained.curve[-1], spec.task.metric.label
    if value != evaluation.value and dict(evaluation.result.versions) == dict(versions()):
        raise ExportError(
            f"Study {spec.name!r}: evaluation {number} has validation {label} {evaluation.value}, "
            f"but trained again {value}; take the options that the search had."
        )
    tested = evaluator.test(evaluation.genotype, trained.variables)
    if tested is None:
        raise ExportError(
            f"Study {spec.name!r}: evaluation {number} has no finite test {label}; name another."
        )
    return _Chosen(
        evaluation.genotype,
        evaluation.key,
        evaluation.seed,
        trained.variables,
        value,
        1,
        tested,
        dict(versions()),
    )


def _numbered(spec: StudySpec, evaluations: Sequence[Evaluation], number: int) -> Evaluation:
    """Returns the complete evaluation of the search that has a number."""
    searched = [e for e in evaluations if e.purpose == "search"]
    found = [e for e in searched if e.number == number]
    if len(found) > 1:  # which records of 0.1.0 may hold
        raise StudyError(
            f"Study {spec.name!r} has {len(found)} evaluations of number --evaluation={number}; "
            "leave it out to export the best network."
        )
    if not found or found[0].value is None:
        raise StudyError(
            f"Study {spec.name!r} has no complete evaluation --evaluation={number}; it has "
            f"{len(searched)}, numbered from 0."
        )
    return found[0]


def _measured(
    trained: TrainedSpec, dataset: ImageDataset, chosen: _Chosen
) -> tuple[Measure, float]:
    """Returns what `reload.py` computes, and its value: the test value, or else the accuracy."""
    if trained.metric in MEASURES:
        return MEASURES[trained.metric], chosen.test_value
    by_accuracy = dataclasses.replace(trained, metric="accuracy")
    evaluator = by_accuracy.build_one(runtime(), dataset=dataset)
    accuracy = evaluator.test(chosen.genotype, chosen.variables)
    assert accuracy is not None  # a share is finite
    return ACCURACY, accuracy


def _card(
    spec: StudySpec,
    space: Space,
    dataset: ImageDataset,
    chosen: _Chosen,
    recipe: Recipe,
    result: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
) -> ModelCard:
    devices, own = result["devices_per_evaluation"], [e for e in evaluations if e.key == chosen.key]
    costs = next((e.costs for e in own if len(e.costs) > 1), {})
    return ModelCard(
        study=spec.name,
        dataset=spec.task.dataset,
        split=spec.task.split,
        class_names=dataset.class_names,
        space=spec.space,
        network=space.describe(chosen.genotype),
        metric=spec.task.metric,
        valid_value=chosen.valid_value,
        valid_seeds=chosen.valid_seeds,
        test_value=chosen.test_value,
        seed=chosen.seed,
        recipe=recipe.to_json(),
        num_params=count_params(chosen.variables),
        costs={n: chosen.num_members * cost for n, cost in costs.items() if n != "params"},
        num_members=chosen.num_members,
        input_shape=dataset.input_shape,
        num_evaluations=len(evaluations),
        device_seconds=devices * sum(e.seconds for e in evaluations),
        sources=result["sources"],
        versions=dict(versions()),
        compared=reference_rows(result, spec.task.metric),
        test_part=result.get("test_part") if flags.EVALUATION.value is None else None,
        has_onnx=flags.FORMAT.value == "onnx",
    )
