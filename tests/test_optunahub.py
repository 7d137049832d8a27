"""The package in OptunaHub's form: its page, and that OptunaHub loads it."""

import inspect
import os
import pathlib
import re
import subprocess
import sys

import optuna
import pytest
import yaml

import xfernas_jax

optunahub = pytest.importorskip("optunahub", reason="optunahub is not installed (extra dev)")

ROOT = pathlib.Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "optunahub" / "package"
PACKAGE = REGISTRY / "samplers" / "xfer"
CHOICES = {"depth": [2, 4, 8], "width": [32, 64]}


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_study_runs_with_what_optunahub_loads() -> None:
    found = optunahub.load_local_module("samplers/xfer", registry_root=str(REGISTRY))
    assert found.__all__ == ["XferSampler"]
    assert found.XferSampler is xfernas_jax.XferSampler
    sampler = found.XferSampler([], seed=0, search_space=CHOICES)
    study = optuna.create_study(sampler=sampler)
    study.optimize(
        lambda trial: float(sum(trial.suggest_categorical(n, c) for n, c in CHOICES.items())),
        n_trials=3,
    )
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 3


@pytest.mark.slow
def test_the_example_runs() -> None:
    assert "best of 6: " in run("example.py", str(REGISTRY))


@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    assert "3 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, ".")


def test_the_page_has_what_the_registry_checks() -> None:
    """Source: the registry's header_confirm.py and template/README.md."""
    text = (PACKAGE / "README.md").read_text()
    header, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL).groups()
    facts = yaml.safe_load(header)
    for name in ("author", "title", "description"):
        assert isinstance(facts[name], str)
    for name in ("tags", "optuna_versions"):
        assert facts[name]
        assert all(isinstance(item, str) for item in facts[name])
    assert "sampler" in facts["tags"]
    assert facts["license"] == "MIT License"
    assert (PACKAGE / "LICENSE").read_text().startswith("MIT License\n")
    sections = re.findall(r"^## (.+)$", body, re.MULTILINE)
    assert sections[:4] == ["Abstract", "APIs", "Installation", "Example"]


def test_the_page_names_each_argument() -> None:
    text = (PACKAGE / "README.md").read_text()
    for name in inspect.signature(xfernas_jax.XferSampler).parameters:
        assert f"- `{name}`:" in text
