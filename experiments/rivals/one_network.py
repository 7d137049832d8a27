"""Trains one network for a whole time budget: a known one by our trainer, or one in plain Flax.

    python -m experiments.rivals.one_network --rival=known:resnet --dataset=digits
        --space=convnet --time_budget=3m --workdir=runs/one --output=one.json  (one line)

Other flags are those of `run.py search`. `known:FAMILY` (vgg, resnet, mobilenet) is the member
that a search of this budget would begin with, trained as a search trains what it hands over, for
the whole time. `plain:NETWORK` is one of `xfernas_jax/evaluate/tutorial.py`. Writes test and
validation accuracy.
"""

import time
from typing import Any

from absl import flags as absl_flags

from experiments import commands
from xfernas_jax.cli import auto, flags, inputs
from xfernas_jax.cli.scoring import runtime
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate import tutorial
from xfernas_jax.evaluate.spec import TrainedSpec
from xfernas_jax.history import Job
from xfernas_jax.space.registry import get_space

_RIVAL = absl_flags.DEFINE_string("rival", None, "known:FAMILY or plain:NETWORK.")

_KEPT_SHARE = 0.03  # of the budget, for the test part; a search keeps as much


class NoResult(Exception):
    """The training gave no network."""


def train_known(family: str) -> dict[str, Any]:
    """Trains a family's member by the final recipe, as many epochs as fit."""
    space = get_space(flags.space_name())
    decided = auto.decide(space)
    chosen = [found for found in decided.references if found[0].startswith(family)]
    if not chosen or decided.shares is None:
        names = ", ".join(name for name, _ in decided.references)
        raise FlagError(f"--rival=known:{family}: known families here are those of {names}.")
    name, genotype = chosen[0]
    budget, spent = decided.shares.budget_seconds, time.time() - decided.started
    spec = TrainedSpec(flags.space_name(), flags.DATASET.value, None, decided.final)
    evaluator = spec.build_one(runtime(), dataset=decided.dataset)
    limit = max((1.0 - _KEPT_SHARE) * budget - spent, 0.0)
    job = Job(0, genotype, space.key(genotype), flags.SEED.value, "final", limit_seconds=limit)
    scored = evaluator.evaluate(job)
    if scored.result.value is None:
        raise NoResult(f"{name}: {scored.result.failure or 'not one epoch was finished'}")
    return {
        "network": name,
        "valid": scored.result.value,
        "test": evaluator.test(genotype, scored.variables),
        "num_params": int(dict(scored.result.costs)["params"]),
        "epochs": len(scored.result.curve),
        "image_size": decided.final.data.image_size,
    }


def train_plain(network: str) -> dict[str, Any]:
    """Trains a network of the tutorial."""
    seconds = auto.budget_seconds()
    assert seconds is not None
    dataset = load_dataset(flags.DATASET.value, DataConfig(image_size=tutorial.SIDE))
    found = tutorial.train_tutorial(network, dataset, flags.SEED.value, seconds=seconds)
    return {
        "network": network,
        "valid": found.valid,
        "test": found.test,
        "num_params": found.num_params,
        "epochs": found.epochs,
        "image_size": tutorial.SIDE,
    }


def main() -> None:
    """Trains it and writes the result."""
    kind, _, name = (_RIVAL.value or "").partition(":")
    kinds = {"known": train_known, "plain": train_plain}
    if kind not in kinds or not name:
        raise FlagError(f"--rival={_RIVAL.value}: it is known:FAMILY or plain:NETWORK.")
    inputs.check_output()
    if kind == "known":
        inputs.use_compiled_programs()
    result = kinds[kind](name)
    inputs.write_output(result)
    print(f"{result['network']}: validation {result['valid']:.4f}, test {result['test']:.4f}")


if __name__ == "__main__":
    commands.start("one_network", main, NoResult)
