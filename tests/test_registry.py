import sys
import types

import pytest

from xfernas_jax.errors import FlagError, RecipeError
from xfernas_jax.registry import Registry

SIDES: Registry[int] = Registry(
    "shape",
    "--shape",
    {"circle": 0, "square": 4},
    "be a whole number",
    lambda x: type(x) is int,
    RecipeError,
)


@pytest.fixture(autouse=True)
def users_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("users_shapes")
    vars(module).update(hexagon=6, word="six")
    monkeypatch.setitem(sys.modules, "users_shapes", module)


def test_a_name_finds_its_entry_and_an_address_a_users_own() -> None:
    assert SIDES.find("square") == 4
    assert SIDES.find("users_shapes:hexagon") == 6


def test_an_unknown_name_is_refused_with_the_flag_the_near_and_the_known_ones() -> None:
    with pytest.raises(RecipeError) as found:
        SIDES.find("squares")
    assert str(found.value) == (
        "Unknown shape 'squares' (--shape). Did you mean square? Known: circle, square; one of "
        "your own is module:NAME."
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("users_shapes:word", r"must be a whole number\. Found 'six'\."),
        ("users_shapes:hexagn", r"Found nothing; did you mean hexagon\?"),
        ("no_such_module_here:x", "cannot be imported"),
        ("users_shapes:", "module:NAME"),
    ],
)
def test_what_is_no_such_thing_is_refused_with_what_it_must_be(address: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        SIDES.find(address)


def test_errors_are_of_flags_unless_said_otherwise() -> None:
    with pytest.raises(FlagError, match="--optimizer"):
        Registry("optimizer", "--optimizer", {}).find("x")
