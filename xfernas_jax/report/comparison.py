"""Searches of one task side by side: groups that differ in the seed alone, and their bands."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xfernas_jax.history.serialize import canonical_json
from xfernas_jax.report.noise import noise_of
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table, Value

OWN = "this study"
_Curve = Callable[[SearchStudy], list[tuple[float, float | None]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Studies of one configuration.

    Attributes:
      label: tells it from the other groups, and says whether the report's own study is in it.
      studies: they differ in the seed.
    """

    label: str
    studies: tuple[SearchStudy, ...]


def group_studies(own: SearchStudy, others: Sequence[SearchStudy]) -> list[Group]:
    """Groups a study and others of its task; the own group comes first, then the largest.

    A group has one configuration, and each seed once: a search that is run again tells nothing
    new. What has no incumbent yet is left out, and so is the own study where it would stand alone:
    it has a curve of its own.
    """
    groups: dict[str, dict[str, SearchStudy]] = {}
    for study in (own, *others):
        if study is own or any(step.value is not None for step in study.incumbent()):
            seed = canonical_json(study.spec.config.get("seed"))
            groups.setdefault(_configuration(study), {}).setdefault(seed, study)
    mine = _configuration(own)
    order = sorted(groups, key=lambda key: (key != mine, -len(groups[key]), key))
    labels = _labels([next(iter(groups[key].values())).spec.config for key in order])
    found = []
    for label, key in zip(labels, order, strict=True):
        if key == mine:
            label = f"{label}, this included"
        if key != mine or len(groups[key]) > 1:
            found.append(Group(label, tuple(groups[key].values())))
    return found


def by_evaluations(own: SearchStudy, groups: Sequence[Group]) -> Table:
    """Returns incumbents by the number of evaluations; values as they are shown.

    A group's row is the mean over its studies, the lowest and the highest of them, as far as all
    of them go. The own row has its value and the 95 % interval that chance leaves of it, as far as
    that is known; see `noise`.
    """

    def curve(study: SearchStudy) -> list[tuple[float, float | None]]:
        last = {step.evaluations: step.value for step in study.incumbent()}
        return [(float(n), value) for n, value in sorted(last.items())]

    return _table("evaluations", own, groups, curve)


def by_device_seconds(own: SearchStudy, groups: Sequence[Group]) -> Table:
    """Returns incumbents by the device seconds that they took; see `by_evaluations`."""

    def curve(study: SearchStudy) -> list[tuple[float, float | None]]:
        return [(step.device_seconds, step.value) for step in study.incumbent()]

    return _table("device_seconds", own, groups, curve)


def _table(x_name: str, own: SearchStudy, groups: Sequence[Group], curve: _Curve) -> Table:
    rows: list[tuple[Value, ...]] = []
    noise = noise_of(own)
    for x, value in curve(own):
        if value is not None:
            ends = noise.interval(value) or (value, value)
            rows.append((OWN, 1, x, *map(own.shown, (value, *ends))))
    for group in groups:
        curves = [curve(study) for study in group.studies]
        for x, values in _aligned(curves):
            shown = [own.shown(value) for value in values]
            mean = float(np.mean(shown))
            rows.append((group.label, len(shown), x, mean, min(shown), max(shown)))
    return Table(("series", "studies", x_name, "mean", "lowest", "highest"), tuple(rows))


def _aligned(
    curves: Sequence[Sequence[tuple[float, float | None]]],
) -> list[tuple[float, list[float]]]:
    """Reads step curves at every place where one steps and all are known."""
    known = [np.array([(x, value) for x, value in curve if value is not None]) for curve in curves]
    if not all(len(curve) for curve in known):
        return []
    first = max(curve[0, 0] for curve in known)
    last = min(curve[-1, 0] for curve in known)
    places = np.unique(np.concatenate([[first], *(curve[:, 0] for curve in known)]))
    places = places[(places >= first) & (places <= last)]
    columns = [c[np.searchsorted(c[:, 0], places, side="right") - 1, 1] for c in known]
    return list(zip(places.tolist(), np.transpose(columns).tolist(), strict=True))


def _configuration(study: SearchStudy) -> str:
    config = {name: value for name, value in study.spec.config.items() if name != "seed"}
    return canonical_json(config)


def _labels(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names configurations by their optimizers and by what else differs between equal names."""
    names = [str(config.get("optimizer", "search")) for config in configs]
    labels = []
    for config, name in zip(configs, names, strict=True):
        alike = [other for other, its in zip(configs, names, strict=True) if its == name]
        keys = sorted({key for other in alike for key in other} - {"seed", "optimizer"})
        parts = []
        for key in keys:
            if len({canonical_json(other.get(key)) for other in alike}) > 1:
                parts.append(_part(key, config.get(key)))
        labels.append(f"{name} ({', '.join(parts)})" if parts else name)
    return [
        label if labels.count(label) == 1 else f"{label} #{1 + labels[:i].count(label)}"
        for i, label in enumerate(labels)
    ]


def _part(key: str, value: Any) -> str:
    if key == "source_studies" and isinstance(value, Mapping):
        counts = [count for count in value.values() if type(count) is int]
        return f"{sum(counts)} source evaluations"
    if key == "goal" and isinstance(value, Mapping):
        limits = value.get("limits")
        words = [f"{n} <= {x}" for n, x in limits.items()] if isinstance(limits, Mapping) else []
        return ", ".join([*words, *([f"{value['pareto']} traded"] if value.get("pareto") else [])])
    if isinstance(value, Mapping):
        return f"{key}: {canonical_json(value)}"
    return f"no {key}" if value is None else f"{key}={value}"
