"""Which recorded studies a search may learn from, and as what."""

import dataclasses
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from xfernas_jax.errors import SpaceError, StudyError
from xfernas_jax.history.jsonl import read_header, read_jsonl
from xfernas_jax.history.names import near_names
from xfernas_jax.history.record import Evaluation, StudySpec, Task
from xfernas_jax.history.storage import Storage
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import lookup_space

NO_SOURCE = "no-source"
"""Tag of a study that others learn from only where they name it."""

# Sets that hold images of another one, and files of bundled sets, whatever a name's digest says.
_PART_OF = {
    "mnist_5k": "mnist",
    "notmnist_10k": "notmnist",
    "usps": "usps",
    "cifar10_subset": "cifar10",
    "flowers17_16x16": "flowers17",
    "grocery": "grocery",
    "mnist_corrupted": "mnist",
    "cifar10_corrupted": "cifar10",
    "cifar10_1": "cifar10",
}


@dataclasses.dataclass(frozen=True)
class RecordedStudy:
    """A study to choose from; its evaluations are read only when it is chosen.

    Attributes:
      spec: what the study is about.
      load: returns its evaluations in order of recording.
      is_source: whether others may learn from it without naming it.
    """

    spec: StudySpec
    load: Callable[[], tuple[Evaluation, ...]]
    is_source: bool = True


@dataclasses.dataclass(frozen=True)
class Source:
    """All that is known of one source task under one recipe.

    Attributes:
      name: for logs and results, unique among the sources of a search.
      task: what was learned there.
      recipe: fingerprint of the one recipe of all its evaluations.
      evaluations: each key once, failed ones and repeated seeds included; what broke says
        nothing of the architecture and is left out, as are final trainings by another recipe.
      studies: names of the studies it was put together from.
    """

    name: str
    task: Task
    recipe: str
    evaluations: tuple[Evaluation, ...]
    studies: tuple[str, ...]


def recorded_studies(storage: Storage) -> tuple[RecordedStudy, ...]:
    """Returns every study of a storage."""
    tags = storage.all_tags()
    return tuple(
        RecordedStudy(
            spec,
            functools.cache(functools.partial(storage.evaluations, spec.name)),
            NO_SOURCE not in tags.get(spec.name, ()),
        )
        for spec in storage.studies()
    )


def recorded_file(
    file: str | os.PathLike[str],
    *,
    get_space: Callable[[str], Space] = lookup_space,
) -> RecordedStudy:
    """Returns the study of a history file, such as a bundled one; reads its header now."""

    def load() -> tuple[Evaluation, ...]:
        return read_jsonl(file, get_space=get_space)[1]

    return RecordedStudy(read_header(file).spec, functools.cache(load))


def bundled_histories() -> tuple[RecordedStudy, ...]:
    """Returns the histories that come with the package."""
    return _bundled("bundled")


def bundled_last_trainings() -> tuple[RecordedStudy, ...]:
    """Returns the histories of last trainings that come with the package.

    See `last_trainings`. They are no sources of a predictor, whose values are of short trainings.
    """
    return _bundled("bundled/last")


def last_trainings(spec: StudySpec) -> Mapping[str, Any] | None:
    """Returns what a study says of last trainings; None for one of others.

    Its values are of trainings by the recipe of what a search hands over, each for some seconds
    that are the same for all networks. `num_valid` images made each value; the costs of a network
    hold its `epochs`.
    """
    found = spec.config.get("last_trainings")
    return found if isinstance(found, dict) and type(found.get("num_valid")) is int else None


def _bundled(name: str) -> tuple[RecordedStudy, ...]:
    folder = resources.files("xfernas_jax").joinpath(name)
    if not folder.is_dir():
        return ()
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".jsonl.gz"))
    return tuple(recorded_file(str(folder.joinpath(name))) for name in names)


def freeze_studies(studies: Iterable[RecordedStudy]) -> dict[str, int]:
    """Returns the number of evaluations that each study holds now, by name."""
    return {study.spec.name: len(study.load()) for study in studies}


def thaw_studies(
    studies: Iterable[RecordedStudy], counts: Mapping[str, int]
) -> tuple[RecordedStudy, ...]:
    """Returns studies as they were when `freeze_studies` gave `counts`: studies only grow.

    A search that goes on must learn from what it began with, or it would not be the same search.

    Raises:
      StudyError: a study is gone, or has fewer evaluations than then.
    """
    known = {study.spec.name: study for study in studies}
    thawed = []
    for name, count in counts.items():
        found = known.get(name)
        if found is None or len(found.load()) < count:
            have = "is gone" if found is None else f"holds {len(found.load())}"
            raise StudyError(
                f"The search began with {count} evaluations of source study {name!r}, which "
                f"{have}; bring it back, or start another search with --study=NAME."
            )
        evaluations = found.load()[:count]
        thawed.append(RecordedStudy(found.spec, lambda kept=evaluations: kept))
    return tuple(thawed)


def image_family(dataset: str) -> str:
    """Returns what two data sets have in common when they may share images.

    A TFDS version (`cifar10:3.0.2`), a configuration (`imagenet_resized/16x16`) or a number of
    examples (`quickdraw_bitmap[:500]`) does not matter, nor does the split: the test images of one
    task may be training images of the other. A file or folder that is called like a set of the
    bundled histories counts as that one, whatever the digest in its name says (`usps-0123abcd`).
    """
    base = re.sub(r"(:\d[\w.*]*)?(\[:\d+\])?$", "", dataset).partition("/")[0].casefold()
    return _PART_OF.get(re.sub(r"-[0-9a-f]{8}$", "", base), base)


def same_task(first: Task, second: Task) -> bool:
    """Tells whether values of the two may be compared: equal data set, split and metric."""
    return _identity(first) == _identity(second)


def select_sources(
    studies: Iterable[RecordedStudy],
    space: Space,
    task: Task,
    wanted: str | Sequence[str],
    *,
    recipe: str | None = None,
    reuse_target: bool = False,
    own_study: str | None = None,
) -> tuple[Source, ...]:
    """Chooses the sources of a search.

    Each (task, recipe) becomes one source; studies that agree in both are joined, equal keys
    kept once; another metric is another task. A study whose images the target shares joins only
    with `reuse_target`, so that no comparison leaks; one of the very task and recipe then gives no
    source but `target_observations`. The order depends on tasks, recipes and names alone.

    Args:
      studies: all that are recorded.
      space: of the search; only studies in it can be used.
      task: the target.
      wanted: "all" (those of other tasks in this space, but for what is marked as no source),
        "none", or names of studies, as a sequence or joined by commas.
      recipe: the fingerprint of the search's recipe.
      reuse_target: whether studies of the target's images may join.
      own_study: the study of this search; its evaluations are no source.

    Raises:
      StudyError: an unknown name, or a study of the target without `reuse_target`.
      SpaceError: a named study is of another space.
    """
    chosen = choose_studies(
        studies, space, task, wanted, reuse_target=reuse_target, own_study=own_study
    )
    groups: dict[tuple[str, str, str, str], list[RecordedStudy]] = {}
    for study in sorted(chosen, key=lambda study: study.spec.name):
        spec = study.spec
        if same_task(spec.task, task) and spec.recipe == recipe:
            continue  # these are observations of the target itself
        groups.setdefault((*_identity(spec.task), spec.recipe), []).append(study)
    sources = []
    for key in sorted(groups):
        evaluations = _join(groups[key])
        if evaluations:
            name = _source_name(key, groups)
            names = tuple(dict.fromkeys(study.spec.name for study in groups[key]))
            sources.append(Source(name, groups[key][0].spec.task, key[-1], evaluations, names))
    return tuple(sources)


def target_observations(
    studies: Iterable[RecordedStudy],
    space: Space,
    task: Task,
    recipe: str,
    wanted: str | Sequence[str] = "all",
    *,
    own_study: str | None = None,
) -> tuple[Evaluation, ...]:
    """Returns what earlier studies know of the target itself, under the same recipe.

    To be used with `reuse_target` only; raises as `select_sources` does. Evaluations of
    another recipe, split or metric are left out: their values do not mix.
    """
    chosen = choose_studies(studies, space, task, wanted, reuse_target=True, own_study=own_study)
    fitting = [
        study
        for study in sorted(chosen, key=lambda study: study.spec.name)
        if same_task(study.spec.task, task) and study.spec.recipe == recipe
    ]
    return _join(fitting)


def choose_studies(
    studies: Iterable[RecordedStudy],
    space: Space,
    task: Task,
    wanted: str | Sequence[str],
    *,
    reuse_target: bool = False,
    own_study: str | None = None,
) -> tuple[RecordedStudy, ...]:
    """Returns the studies that a search may learn from; see `select_sources`.

    The rules are applied to every study; those that `wanted` names must pass them.
    """
    studies = tuple(studies)
    if wanted == "none":
        return ()
    if wanted == "all":
        return tuple(
            study
            for study in studies
            if study.spec.space == space.name
            and study.is_source
            and study.spec.name != own_study
            and (reuse_target or not _shares_images(study.spec.task, task))
        )
    names = _parse_names(wanted)
    known = {study.spec.name for study in studies}
    for name in names:
        if name == own_study:
            raise StudyError(f"Study {name!r} is this search itself and no source; leave it out.")
        if name not in known:
            raise StudyError(
                f"There is no study {name!r} for --sources; {near_names(name, known)}."
            )
    chosen = tuple(study for study in studies if study.spec.name in names)
    for study in chosen:
        _check_named(study.spec, space, task, reuse_target)
    return chosen


def _check_named(spec: StudySpec, space: Space, task: Task, reuse_target: bool) -> None:
    if spec.space != space.name:
        raise SpaceError(
            f"Source study {spec.name!r} is of space {spec.space!r}, the search of {space.name!r}; "
            f"leave it out of --sources or pass --space={spec.space}."
        )
    if _shares_images(spec.task, task) and not reuse_target:
        raise StudyError(
            f"Source study {spec.name!r} is of data set {spec.task.dataset!r}, which shares images "
            f"with the target {task.dataset!r}; pass --reuse_target if you want that."
        )


def _parse_names(wanted: str | Sequence[str]) -> list[str]:
    names = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    names = [name.strip() for name in names]
    if not names or "" in names or "all" in names or "none" in names:
        raise StudyError(
            f"--sources={','.join(names)}: give all, none, or names of studies joined by commas."
        )
    return names


def _shares_images(first: Task, second: Task) -> bool:
    return image_family(first.dataset) == image_family(second.dataset)


def _identity(task: Task) -> tuple[str, str, str]:
    return task.dataset, task.split, task.metric.name


def _join(studies: Sequence[RecordedStudy]) -> tuple[Evaluation, ...]:
    joined: dict[tuple[str | int, ...], Evaluation] = {}
    for study in studies:
        for evaluation in study.load():
            if evaluation.status != "broken" and evaluation.purpose != "final":
                joined.setdefault(evaluation.identity, evaluation)
    return tuple(joined.values())


def _source_name(key: tuple[str, str, str, str], keys: Iterable[tuple[str, str, str, str]]) -> str:
    """Returns `dataset@recipe`; marks split and metric where a data set occurs with several."""
    dataset, split, metric, recipe = key
    alike = [other for other in keys if other[0] == dataset]
    name = dataset
    if len({other[1] for other in alike}) > 1:
        name += f"#{hashlib.sha256(split.encode()).hexdigest()[:6]}"
    if len({other[2] for other in alike}) > 1:
        name += f"({metric})"
    return f"{name}@{recipe}"
