import dataclasses
import math
from typing import Any, Literal

import pytest
from absl import flags

from xfernas_jax.errors import FlagError
from xfernas_jax.options import (
    decisive,
    define_flags,
    flag_names,
    from_flags,
    neutral_words,
    option,
    parse_changes,
    recorded,
)


@dataclasses.dataclass(frozen=True)
class Oven:
    degrees: float = 180.0
    shelves: int | None = 2
    mode: Literal["air", "grill"] = "air"
    lit: bool = option(False, "Light.", neutral=True, flag="oven_lit")
    fan: Literal["slow", "fast"] | None = option(None, "Fan.", neutral=True)
    minutes: float = option(30.0, "Minutes.", low=0.0)
    note: str | None = option(None, "A note.")
    doors: int = option(1, "Doors.", low=1)
    place: str = "kitchen"
    timer: int = option(0, later=True)


@dataclasses.dataclass(frozen=True)
class Kitchen:
    name: str = "mine"
    oven: Oven = dataclasses.field(default_factory=Oven)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("oven.degrees=2e2", "degrees", 200.0),
        ("oven.shelves=3", "shelves", 3),
        ("oven.shelves=null", "shelves", None),
        ("oven.mode=grill", "mode", "grill"),
        ("oven.lit=true", "lit", True),
        ("oven.place=a=b", "place", "a=b"),
    ],
)
def test_a_change_sets_one_field_by_its_type(change: str, field: str, value: Any) -> None:
    changed = parse_changes(Kitchen(), [change])
    assert changed == Kitchen(oven=dataclasses.replace(Oven(), **{field: value}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("oven.degree=3", "oven.degree=3.*Did you mean oven.degrees.*PART.FIELD=VALUE"),
        ("oven.degrees", "PART.FIELD=VALUE"),
        ("name=x", "PART.FIELD=VALUE with part oven"),
        ("oven.degrees=hot", "a finite number"),
        ("oven.degrees=nan", "a finite number"),
        ("oven.shelves=4294967296", "below 2\\^31"),
        ("oven.shelves=1.5", "a finite number"),
        ("oven.mode=steam", "one of air, grill"),
        ("oven.lit=1", "true or false"),
    ],
)
def test_a_bad_change_is_refused_by_place_and_rule(change: str, message: str) -> None:
    with pytest.raises(FlagError, match=f"--set=.*{message}"):
        parse_changes(Kitchen(), [change])


def test_neutral_fields_are_not_decisive_at_any_depth() -> None:
    found = decisive(Kitchen(oven=Oven(lit=True, fan="fast")))
    assert found == decisive(Kitchen())
    assert found["name"] == "mine"
    assert {"lit", "fan"}.isdisjoint(found["oven"])
    assert found["oven"]["degrees"] == 180.0


def test_a_later_field_is_recorded_where_it_is_no_default_alone() -> None:
    assert "timer" not in recorded(Kitchen())["oven"]
    assert recorded(Kitchen())["oven"]["lit"] is False
    assert recorded(Kitchen(oven=Oven(timer=5)))["oven"]["timer"] == 5
    assert decisive(Kitchen(oven=Oven(timer=5)))["oven"]["timer"] == 5


def test_neutral_words_name_what_differs_from_the_defaults() -> None:
    assert neutral_words(Oven()) == ""
    assert neutral_words(Oven(lit=True, fan="fast", degrees=1.0)) == "lit=true fan=fast"


def parsed(*words: str) -> Any:
    values = flags.FlagValues()

    class Module:
        """`absl.flags`, but for flags of this test alone."""

        def __getattr__(self, name: str) -> Any:
            define = getattr(flags, name)
            return lambda *args, **kwargs: define(*args, flag_values=values, **kwargs)

    define_flags(Module(), Oven)
    values(["program", *words])
    return values


def test_flags_give_the_dataclass_back() -> None:
    assert flag_names(Oven) == ("oven_lit", "fan", "minutes", "note", "doors")
    assert from_flags(parsed(), Oven) == Oven()
    words = ["--oven_lit", "--fan=slow", "--minutes=2.5", "--note=x", "--doors=3"]
    expected = Oven(lit=True, fan="slow", minutes=2.5, note="x", doors=3, place="garden")
    assert from_flags(parsed(*words), Oven, place="garden") == expected


@pytest.mark.parametrize(
    "word", ["--fan=medium", "--minutes=-1", f"--minutes={math.inf}", "--doors=0", "--doors=x"]
)
def test_a_flag_out_of_its_range_is_refused(word: str) -> None:
    with pytest.raises(flags.Error):
        parsed(word)
