"""The verb `export`: a study's network, to be taken away."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.search import STUDIES, recorded_result
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.registry import is_tfds, is_users_function, load_dataset
from xfernas_jax.errors import ExportError, StudyError
from xfernas_jax.evaluate.recipes import Recipe, recipe_from_json
from xfernas_jax.evaluate.trained import TrainedEvaluator, versions
from xfernas_jax.export.bundle import LOAD_TEST, Bundle, TestImages, write_bundle
from xfernas_jax.export.card import ModelCard
from xfernas_jax.history import Storage
from xfernas_jax.history.record import Evaluation, StudySpec
from xfernas_jax.nn.compile import count_params
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.registry import lookup_space
from xfernas_jax.train.checkpoint import VariablesStore


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """A trained network of a study: what it is, its values and its scores."""

    genotype: Genotype
    seed: int
    variables: Any
    valid_accuracy: float
    valid_seeds: int
    test_accuracy: float
    versions: Mapping[str, str]


def export() -> None:
    """Writes the folder of a study's best network, or of any of its evaluations."""
    folder = pathlib.Path(inputs.needed("output_dir", flags.OUTPUT_DIR.value))
    with inputs.open_storage(create=False) as storage:
        spec, result = _finished_study(storage)
        if spec.task.metric == "score":
            raise StudyError(
                f"Study {spec.name!r} scores architectures by a function of yours "
                f"({spec.task.dataset:.160}); there is no network of ours to export. "
                "best_genotype.json in its folder is the architecture."
            )
        evaluations = storage.evaluations(spec.name)
    space, recipe = lookup_space(spec.space), recipe_from_json(spec.config.get("recipe"))
    name = _dataset_name(spec, result)
    _check_optimizer(spec, recipe)
    data_dir = flags.DATA_DIR.value or result.get("data_dir")
    dataset = load_dataset(name, recipe.data, None if data_dir is None else str(data_dir))
    if dataset.task != spec.task:
        raise StudyError(
            f"Study {spec.name!r} is of {spec.task.dataset} ({spec.task.split}), but "
            f"--dataset={name} gives {dataset.task.dataset} ({dataset.task.split}); name the data "
            "of the study."
        )
    benchmark = inputs.benchmark(space, dataset, recipe)
    if flags.EVALUATION.value is None:
        chosen = _best(spec, space, result, evaluations)
    else:
        chosen = _trained_again(spec, benchmark, evaluations, flags.EVALUATION.value)
    console.print(f"Exporting from study {spec.name}; the exported network is tested now.")
    bundle = Bundle(
        space=space,
        genotype=chosen.genotype,
        variables=chosen.variables,
        infer=benchmark.inference(chosen.genotype),
        card=_card(spec, dataset, chosen, recipe, result, evaluations),
        test=_test_images(name, dataset, recipe),
        same_device=chosen.versions.get("device") == dict(versions())["device"],
    )
    accuracy = write_bundle(folder, bundle)
    console.print(f"{folder}: test accuracy {100 * accuracy:.2f} %, as recorded")
    console.print(f"Try it: python {folder / 'reload.py'}")


def _dataset_name(spec: StudySpec, result: Mapping[str, Any]) -> str:
    """Returns --dataset, or what the record names where that runs no code of a user's own."""
    if flags.given("dataset"):
        return flags.DATASET.value
    name = str(result.get("dataset_flag") or spec.task.dataset)
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
        result = recorded_result(storage, spec.name) if spec.kind == "search" else None
        if result is None:
            raise StudyError(
                f"Study {spec.name!r} has no best network: it is no search, or one that is not "
                "finished; the command that began it goes on with it."
            )
        return spec, result
    for spec in reversed(storage.studies()):
        if spec.kind == "search" and (result := recorded_result(storage, spec.name)) is not None:
            return spec, result
    raise StudyError(f"{storage.url} holds no finished search; run.py search makes one.")


def _best(
    spec: StudySpec,
    space: Space,
    result: Mapping[str, Any],
    evaluations: tuple[Evaluation, ...],
) -> _Chosen:
    """Takes the best network as the search trained it."""
    genotype = space.from_json(result["best_genotype"])
    store = VariablesStore(inputs.folder_of(STUDIES, spec.name) / "variables")
    name = str(result.get("variables"))
    trainings = [e for e in evaluations if space.key(e.genotype) == space.key(genotype)]
    made = next((e for e in trainings if name.endswith(f"-{e.seed}")), None)
    if made is None or "/" in name:
        raise StudyError(f"Study {spec.name!r}: its recorded result names no training of its own.")
    variables = store.load(name)
    if variables is None:
        raise ExportError(
            f"Study {spec.name!r}: the trained variables are not in --workdir={flags.WORKDIR.value}"
            "; name the work directory of the search, or --evaluation=N to train one again."
        )
    return _Chosen(
        genotype,
        made.seed,
        variables,
        result["best_valid_accuracy"],
        sum(e.purpose == "confirm" for e in trainings),
        result["test_accuracy"],
        dict(made.versions),
    )


def _trained_again(
    spec: StudySpec,
    benchmark: TrainedEvaluator,
    evaluations: tuple[Evaluation, ...],
    number: int,
) -> _Chosen:
    """Trains an evaluation's network again and checks that its score comes out."""
    known = {e.number: e for e in evaluations if e.purpose == "search"}
    if number not in known or known[number].valid_accuracy is None:
        raise StudyError(
            f"Study {spec.name!r} has no complete evaluation --evaluation={number}; it has "
            f"{len(known)}, numbered from 0."
        )
    evaluation = known[number]
    wanted = evaluation.valid_accuracy
    assert wanted is not None
    console.print(f"Training evaluation {number} again.")
    trained = benchmark.train(evaluation.genotype, evaluation.seed)
    if trained.curve[-1] != wanted and dict(evaluation.versions) == dict(versions()):
        raise ExportError(
            f"Study {spec.name!r}: evaluation {number} has validation accuracy {wanted}, but "
            f"trained again {trained.curve[-1]}; take the options that the search had."
        )
    return _Chosen(
        evaluation.genotype,
        evaluation.seed,
        trained.variables,
        trained.curve[-1],
        1,
        benchmark.test_accuracy(evaluation.genotype, trained.variables),
        dict(versions()),
    )


def _card(
    spec: StudySpec,
    dataset: ImageDataset,
    chosen: _Chosen,
    recipe: Recipe,
    result: Mapping[str, Any],
    evaluations: tuple[Evaluation, ...],
) -> ModelCard:
    devices = result.get("devices_per_evaluation", 1)
    space = lookup_space(spec.space)
    key = space.key(chosen.genotype)
    own = [e for e in evaluations if space.key(e.genotype) == key]
    return ModelCard(
        study=spec.name,
        dataset=spec.task.dataset,
        split=spec.task.split,
        class_names=dataset.class_names,
        space=spec.space,
        valid_accuracy=chosen.valid_accuracy,
        valid_seeds=chosen.valid_seeds,
        test_accuracy=chosen.test_accuracy,
        seed=chosen.seed,
        recipe=recipe.to_json(),
        num_params=count_params(chosen.variables),
        costs=next((dict(e.costs) for e in own if e.costs), {}),
        input_shape=dataset.input_shape,
        num_evaluations=len(evaluations),
        device_seconds=devices * sum(e.seconds for e in evaluations),
        sources=result["sources"],
        versions=dict(versions()),
    )


def _test_images(name: str, dataset: ImageDataset, recipe: Recipe) -> TestImages:
    """Returns the test part, with a loader instead where it may not be passed on."""
    choice = flags.TEST_IMAGES.value
    loader = None
    if choice == "no" or (choice == "auto" and is_tfds(name)):
        loader = LOAD_TEST.format(name=name, config=dataclasses.asdict(recipe.data))
    return TestImages(dataset.test.images[:], dataset.test.labels, loader)
