"""Whether two descriptions are of one study; where they are not, what differs, in words."""

import json
import re
from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import StudyError
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import StudySpec
from xfernas_jax.history.serialize import canonical_json, spec_to_json

_NUM_SHOWN = 3
_DIGEST = re.compile(r"-[0-9a-f]{8}$")  # of a data set's content, see `data.split.build_dataset`
_LONGEST = 40  # characters of a value


def check_same(recorded: StudySpec, wanted: StudySpec) -> None:
    """Raises `StudyError` that names what differs, the most detailed first."""
    old, new = choices(recorded), choices(wanted)
    places = [place for place in old.keys() | new.keys() if old.get(place) != new.get(place)]
    places.sort(key=lambda place: (-len(place), place))
    changes = [_in_words(place, old.get(place), new.get(place)) for place in places]
    if not changes and recorded.recipe != wanted.recipe:
        changes = [f"fingerprint of the recipe {_change(recorded.recipe, wanted.recipe)}"]
    if changes:
        more = f" and {len(changes) - _NUM_SHOWN} more" if len(changes) > _NUM_SHOWN else ""
        raise StudyError(
            f"Study {wanted.name!r} was begun with other values: "
            f"{', '.join(changes[:_NUM_SHOWN])}{more}; choose another --study, or repeat the old "
            "values."
        )


def choices(spec: StudySpec) -> dict[tuple[str, ...], str]:
    """Returns every value that was chosen, as JSON, by its path."""
    value = spec_to_json(spec)
    value["task"].update(_metric_choices(spec.task.metric))
    value["task"].pop("facts", None)  # found, not chosen
    for field in ("name", "version", "recipe"):
        del value[field]
    return dict(_leaves((), value))


def _metric_choices(metric: Metric) -> dict[str, Any]:
    """Returns what a metric is, without its wording for people."""
    return {
        "metric": metric.name,
        "metric_range": [metric.low, metric.high],
        "metric_maximize": metric.maximize,
    }


def _leaves(path: tuple[str, ...], value: Any) -> list[tuple[tuple[str, ...], str]]:
    if not isinstance(value, Mapping) or not value:
        return [(path, canonical_json(value))]
    return [leaf for key, item in value.items() for leaf in _leaves((*path, key), item)]


def _in_words(path: tuple[str, ...], old: str | None, new: str | None) -> str:
    """Says what changed; of what is known by a digest of its content, that this is another."""
    if path == ("task", "dataset") and old is not None and new is not None:
        names = {_DIGEST.sub("", json.loads(text)) for text in (old, new)}
        if len(names) == 1:
            return f"the images or classes of {names.pop()!r:.80} are not those of then"
    if path[-2:] == ("train", "initial") and old is not None and new is not None:
        return "--initial_variables holds another network than then"
    return f"{option(path)} {_change(old, new)}"


def option(path: tuple[str, ...]) -> str:
    """Names a choice as its flag or its option of the recipe, such as `train.epochs`."""
    if path == ("config", "recipe", "name"):
        path = ("recipe",)
    for prefix in (("config", "recipe"), ("config",)):
        if path[: len(prefix)] == prefix and path != prefix:
            path = path[len(prefix) :]
    text = ".".join(path)
    return f"{text if text.isprintable() else ascii(text):.80}"


def _change(old: str | None, new: str | None) -> str:
    """Writes `old -> new`; of long values the part where they begin to differ."""
    begin = 0
    if old is not None and new is not None and max(len(old), len(new)) > _LONGEST:
        pairs = enumerate(zip(old, new, strict=False))
        differing = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
        begin = max(differing - _LONGEST // 4, 0)
    return f"{_part(old, begin)} -> {_part(new, begin)}"


def _part(text: str | None, begin: int) -> str:
    if text is None:
        return "not set"
    end = begin + _LONGEST
    return f"{'...' if begin else ''}{text[begin:end]}{'...' if len(text) > end else ''}"
