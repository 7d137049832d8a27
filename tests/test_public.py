"""The public names: no more and no less, each on the page that describes them, none heavy."""

import pathlib
import re
import subprocess
import sys

import pytest

import xfernas_jax

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAMES = {
    "Ask", "AskTell", "CategoricalSpace", "Cost", "Desk", "Evaluation", "Evaluator", "Executor",
    "Goal", "ImageDataset", "InProcessExecutor", "Job", "LoadedNetwork", "MemoryRecord", "Metric",
    "Optimizer",
    "Posterior", "Record", "Result", "SPACES", "Schedule", "Scored", "Search", "SearchPlan", "Seen",
    "Space", "Storage", "Suggestion", "Surrogate", "Task", "TaskHistory", "TrainedMetric",
    "UserError", "XferSampler", "__version__", "bundled_histories", "get_space", "load_network",
    "read_genotype", "write_genotype",
}  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert set(xfernas_jax.__all__) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_can_be_had(name: str) -> None:
    assert getattr(xfernas_jax, name) is not None


def test_the_page_describes_each_public_name_and_no_other() -> None:
    page = (ROOT / "docs" / "API.md").read_text()
    assert set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == NAMES


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("jax", "flax", "optax", "optuna", "ray", "tensorflow", "torch", "sqlalchemy")
    code = f"import sys, xfernas_jax; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = xfernas_jax.nothing_like_it
