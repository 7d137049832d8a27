"""The package's layers: a line of the list imports only from lines above it."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "xfernas_jax"
LAYERS = (
    ("errors", "types", "version"),
    ("files", "memory", "strict_json", "user_code"),
    ("registry",),
    ("options",),
    ("space",),
    ("history",),
    ("nn",),
    ("data",),
    ("train",),
    ("evaluate",),
    ("predictor",),
    ("executors",),
    ("search",),
    ("testing",),
    ("export",),
    ("report",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FORBIDDEN = {  # beyond the order of the layers
    "space": {"jax", "flax", "optuna"},  # pure Python and NumPy
    "train": {"xfernas_jax.nn", "xfernas_jax.data"},  # takes a module and an iterator
    "report": {"xfernas_jax.search"},  # reads history
}
MODULES = sorted(file.relative_to(ROOT).as_posix() for file in PACKAGE.rglob("*.py"))


def imported(name: str, text: str) -> set[str]:
    """Returns the absolute names that the module `name` (a file path) imports, at any depth.

    `from a import b` gives `a` and `a.b`, since `b` may be a module.
    """
    parts = list(pathlib.PurePosixPath(name).with_suffix("").parts)
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*parts[: -node.level]] if node.level else []
            base += node.module.split(".") if node.module else []
            names.add(".".join(base))
            names.update(".".join([*base, alias.name]) for alias in node.names)
    return names


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def layer_of(module: str) -> str | None:
    """Returns the line of the list that a file stands on; None for the package's own file."""
    part = pathlib.PurePosixPath(module).parts[1]
    return None if part == "__init__.py" else part.removesuffix(".py")


def violations(module: str, text: str) -> list[str]:
    """Returns one line for each import that the list forbids."""
    own = layer_of(module)
    if own is None:
        return []
    found = []
    for name in sorted(imported(module, text)):
        parts = name.split(".")
        if parts[0] == "xfernas_jax" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != own:
            if LEVEL[parts[1]] >= LEVEL[own]:
                found.append(f"{module}: {own} imports {name}")
        elif name == "xfernas_jax":
            continue  # comes with `from xfernas_jax import errors`
        if any(is_within(name, bad) for bad in FORBIDDEN.get(own, ())):
            found.append(f"{module}: {own} must not import {name}")
        if own != "data" and is_within(name, "tensorflow"):
            found.append(f"{module}: only data/ imports tensorflow")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_upwards(module: str) -> None:
    own = layer_of(module)
    assert own is None or own in LEVEL, f"give {own!r} a line in LAYERS"
    assert violations(module, (ROOT / module).read_text()) == []


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("xfernas_jax/space/a.py", "from xfernas_jax.history.record import Task"),
        ("xfernas_jax/space/a.py", "def f():\n    import xfernas_jax.nn.ops"),
        ("xfernas_jax/space/a.py", "from ..nn import ops"),
        ("xfernas_jax/space/__init__.py", "from ..nn import ops"),
        ("xfernas_jax/space/a.py", "from xfernas_jax import nn"),
        ("xfernas_jax/space/a.py", "import jax.numpy as jnp"),
        ("xfernas_jax/train/a.py", "from xfernas_jax.nn.network import Network"),
        ("xfernas_jax/search/a.py", "def f():\n    import tensorflow as tf"),
        ("xfernas_jax/errors.py", "from xfernas_jax.types import Name"),
    ],
)
def test_this_check_finds_a_wrong_import(module: str, text: str) -> None:
    assert violations(module, text)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("xfernas_jax/nn/a.py", "from ..space.graph import CellGraph"),
        ("xfernas_jax/nn/a.py", "from xfernas_jax import errors"),
        ("xfernas_jax/data/a.py", "def f():\n    import tensorflow as tf"),
        ("xfernas_jax/search/a.py", "import tensorflow_datasets"),
        ("xfernas_jax/nn/a.py", "from .ops import ConvBn"),
    ],
)
def test_this_check_allows_a_right_import(module: str, text: str) -> None:
    assert not violations(module, text)


def test_importing_the_package_stays_light() -> None:
    heavy = ("tensorflow", "ray", "torch")
    code = f"import sys, xfernas_jax; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
