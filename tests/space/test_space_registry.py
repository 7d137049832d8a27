"""Spaces are found by name, also those of a user's own package."""

import itertools
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

import xfernas_jax
from xfernas_jax.errors import SpaceError
from xfernas_jax.space import SPACES, TwoCellSpace, get_space

_numbers = itertools.count()


@pytest.fixture
def write_module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module of a user's package; returns its name, new in each call."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> str:
        package = f"user_package_{next(_numbers)}"
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "spaces.py").write_text(text)
        return f"{package}.spaces"

    return write


@pytest.mark.parametrize("name", ["nao5", "nao11", "nasnet", "nasbench201"])
def test_known_names_give_their_space(name: str) -> None:
    assert get_space(name) is SPACES[name]
    assert xfernas_jax.get_space(name).name == name


def test_a_misspelt_name_gets_a_proposal() -> None:
    with pytest.raises(
        SpaceError, match=r"'nasbench20' .--space.\. Did you mean nasbench201.*Known: nao5"
    ):
        get_space("nasbench20")
    with pytest.raises(SpaceError, match=r"'zzz' .--space.\. Known: .*module:NAME"):
        get_space("zzz")


def test_a_users_space_works_by_module_and_then_by_name(write_module: Callable) -> None:
    module = write_module(
        "from xfernas_jax.space import TwoCellSpace\n"
        "MINE = TwoCellSpace('mine', ('identity', 'my_conv'), 2)\n"
    )
    space = get_space(f"{module}:MINE")
    assert isinstance(space, TwoCellSpace)
    genotype = space.sample(np.random.default_rng(0))
    assert space.from_json(space.to_json(genotype)) == genotype
    assert get_space(f"{module}:MINE") is get_space("mine") is space
    assert "mine" not in SPACES


@pytest.mark.parametrize("address", [":", "a:", ":B", "a:B:C", ".a:B", "a..b:C", "a b:C", "a:B.C"])
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(SpaceError, match="module:NAME, such as"):
        get_space(address)


@pytest.mark.parametrize(
    ("text", "attribute", "reason"),
    [
        ("MINE = 3", "MINE", "Found 3"),
        ("", "MINE", "Found nothing."),
        ("1 / 0", "MINE", "ZeroDivisionError: division by zero"),
        ("import not_installed_here", "MINE", "No module named 'not_installed_here'"),
        ("def f(:\n  pass", "MINE", "SyntaxError"),
        ("raise ValueError('two\\nlines')", "MINE", "two lines"),
        ("from xfernas_jax.space import NasBench201Space as MINE", "MINE", "must be an instance"),
        (
            "from xfernas_jax.space import TwoCellSpace\nMINE = TwoCellSpace('m2', ('a',))",
            "MIN",
            r"Found nothing; did you mean MINE\?",
        ),
        (
            "from xfernas_jax.space import TwoCellSpace\nMINE = TwoCellSpace('nao5', ('a',))",
            "MINE",
            "has the name 'nao5', which another space has",
        ),
        (
            "from xfernas_jax.space import NasBench201Space\n"
            "class S(NasBench201Space):\n  name = 'm3'\n  choices = ((0,),)\nMINE = S()",
            "MINE",
            r"choices\[0\].* 1\.\.5",
        ),
    ],
)
def test_a_users_mistake_is_one_line(
    write_module: Callable, text: str, attribute: str, reason: str
) -> None:
    module = write_module(text)
    with pytest.raises(SpaceError, match=reason) as caught:
        get_space(f"{module}:{attribute}")
    assert "\n" not in str(caught.value)
    assert module in str(caught.value)


def test_a_missing_module_is_one_line() -> None:
    with pytest.raises(SpaceError, match=r"no_such_package.*PYTHONPATH"):
        get_space("no_such_package.spaces:MINE")
