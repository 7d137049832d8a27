"""What the CIFAR experiments consist of: commands of `run.py`, and what they cost.

The paper is known to us by its abstract alone, so the plan is our reading: NAO's large space and
its proxy and final training, random architectures of Fashion-MNIST, Quickdraw and SVHN as sources,
about 30 evaluations of the target, then one long training of the winner with 128 filters.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Literal

from xfernas_jax.errors import FlagError
from xfernas_jax.files import read_bounded
from xfernas_jax.history import Storage
from xfernas_jax.options import option
from xfernas_jax.strict_json import parse_json

# What NAO's code changes of its final recipe for CIFAR-100.
TARGETS = MappingProxyType(
    {
        "cifar10": (),
        "cifar100": ("network.drop_path_keep=0.6", "network.dropout_keep=0.8"),
    }
)
# Quickdraw has 50 million drawings; of 75,000 the rule 60/20/20 leaves 45,000 to train on.
SOURCES = ("fashion_mnist", "quickdraw_bitmap[:75000]", "svhn_cropped")
# The abstract's 6 GPU days, over the 30 evaluations that we believe they bought.
PAPER_HOURS = 6 * 24 / 30
_LARGEST_RESULT = 2**24  # bytes


@dataclasses.dataclass(frozen=True)
class Plan:
    """An experiment, as flags describe it.

    Attributes:
      workdir: of all commands.
      changes: recipe values of sources and search.
      final_changes: recipe values of the last training, beside those of the target.
      more: other flags of `run.py`, without the dashes.
    """

    target: Literal["cifar10", "cifar100"] = option("cifar10", "Data set that is searched.")
    workdir: pathlib.Path = pathlib.Path("runs/paper")
    space: str = option("nao11", "Search space: nao11 is the large one of NAO's own search.")
    num_architectures: int = option(200, "Random ones of each source; our choice.", low=2)
    budget_evaluations: int = option(30, "Of the search.", low=1)
    confirm_seeds: int = option(1, "Trainings of each of the three finalists.", low=1)
    seed: int = option(0, "Of everything random.", low=0)
    changes: tuple[str, ...] = ()
    final_changes: tuple[str, ...] = ()
    data_dir: str | None = option(None, "Folder of prepared TFDS sets.")
    storage: str | None = option(None, "URL of the record; by default in --workdir.")
    more: tuple[str, ...] = ()

    @property
    def folder(self) -> pathlib.Path:
        """Where the results of the commands lie."""
        return self.workdir / self.target


@dataclasses.dataclass(frozen=True)
class Step:
    """One command of `run.py`.

    Attributes:
      words: of the command line, the verb first.
      proxy_trainings: small trainings that it needs in all.
      final_trainings: long ones.
    """

    words: tuple[str, ...]
    proxy_trainings: int = 0
    final_trainings: int = 0


def source_study(dataset: str) -> str:
    """Returns the study of a source; both targets learn from it."""
    return f"source-{dataset.partition('[')[0]}"


def steps(plan: Plan) -> tuple[Step, ...]:
    """Returns the commands in order; each goes on where it was interrupted, whoever starts it."""
    common = [f"--workdir={plan.workdir}", f"--seed={plan.seed}"]
    if plan.data_dir is not None:
        common.append(f"--data_dir={plan.data_dir}")
    if plan.storage is not None:
        common.append(f"--storage={plan.storage}")
    common += [f"--{flag}" for flag in plan.more]
    proxy = [f"--space={plan.space}", "--recipe=proxy", *(f"--set={x}" for x in plan.changes)]
    found = []
    for dataset in SOURCES:
        words = ["collect", f"--dataset={dataset}", f"--study={source_study(dataset)}", *proxy]
        words.append(f"--num_architectures={plan.num_architectures}")
        found.append(Step((*words, *common), plan.num_architectures))
    study = f"search-{plan.target}"
    sources = ",".join(source_study(dataset) for dataset in SOURCES)
    words = ["search", f"--dataset={plan.target}", f"--study={study}", *proxy]
    words += ["--optimizer=xfer_nao", f"--sources={sources}", "--batch_size=5"]
    words += [f"--budget_evaluations={plan.budget_evaluations}"]
    words += [f"--confirm_seeds={plan.confirm_seeds}", f"--output={plan.folder / 'search.json'}"]
    trainings = plan.budget_evaluations + 3 * plan.confirm_seeds
    found.append(Step((*words, *common), trainings))
    genotype = plan.workdir / "studies" / study / "best_genotype.json"
    words = ["train", f"--dataset={plan.target}", f"--genotype={genotype}", "--recipe=final"]
    words.append(f"--space={plan.space}")
    changes = ["data.valid_in_train=true", *TARGETS[plan.target], *plan.final_changes]
    words += [f"--set={x}" for x in changes]
    words.append(f"--output={plan.folder / 'final.json'}")
    found.append(Step((*words, *common), final_trainings=1))
    return tuple(found)


def expected_cost(of: Sequence[Step], proxy_hours: float, final_hours: float) -> str:
    """Returns lines about GPU days, all steps from the start."""

    def days(step: Step, hours: float) -> float:
        return (step.proxy_trainings * hours + step.final_trainings * final_hours) / 24

    lines = [
        f"Expected cost, at {proxy_hours:g} GPU hours for a small training and {final_hours:g} for "
        "the long one (estimates, see --help):"
    ]
    for step in of:
        count = step.proxy_trainings or step.final_trainings
        name = " ".join(word.removeprefix("--dataset=") for word in step.words[:2])
        lines.append(f"  {name}: {count} trainings, {days(step, proxy_hours):.1f} GPU days")
    total = sum(days(step, proxy_hours) for step in of)
    paper = sum(step.proxy_trainings * PAPER_HOURS / 24 for step in of)
    lines.append(f"  in all {total:.1f} GPU days")
    lines.append(
        f"At the paper's rate (6 GPU days in its abstract for about 30 evaluations, so "
        f"{PAPER_HOURS:g} hours each) the small trainings alone are {paper:.0f} GPU days."
    )
    return "\n".join(lines)


def gather(plan: Plan, storage: Storage) -> dict[str, Any]:
    """Puts the results of the finished commands together.

    The search also tests its own small network, as it always does; that number decides nothing
    and is not here. `test_accuracy` is the long training's, read once.
    """
    search, final = (_read(plan.folder / f"{name}.json") for name in ("search", "final"))
    sources = {}
    for dataset in SOURCES:
        evaluations = storage.evaluations(source_study(dataset))
        seconds = sum(evaluation.seconds for evaluation in evaluations)
        sources[dataset] = {"evaluations": len(evaluations), "seconds": seconds}
    return {
        "target": plan.target,
        "space": plan.space,
        "sources": sources,
        "search": {
            "evaluations": search["num_evaluations"],
            "confirmations": search["num_confirmations"],
            "seconds": search["seconds"],
            "valid_accuracy": search["best_valid_accuracy"],
            "incumbent_curve": search["incumbent_curve"],
        },
        "genotype": final["genotype"],
        "final": {
            "recipe": final["recipe_values"],
            "num_params": final["num_params"],
            "seconds": final["seconds"],
            "versions": final["versions"],
        },
        "test_accuracy": final["test_accuracy"],
        "test_error_percent": 100 * (1 - final["test_accuracy"]),
    }


def _read(file: pathlib.Path) -> Any:
    try:
        return parse_json(read_bounded(file, _LARGEST_RESULT))
    except (OSError, ValueError) as error:
        raise FlagError(f"{file} cannot be read ({error}); remove it and start again.") from error


def shown(result: Any) -> str:
    """Returns a result as lines of text."""
    rows = {
        "target": result["target"],
        "sources": ", ".join(f"{n} ({s['evaluations']})" for n, s in result["sources"].items()),
        "search": f"{result['search']['evaluations']} evaluations + "
        f"{result['search']['confirmations']} confirmations, validation "
        f"{100 * result['search']['valid_accuracy']:.2f} % (small network)",
        "genotype": json.dumps(result["genotype"]),
        "parameters": f"{result['final']['num_params']:,}",
        "test error": f"{result['test_error_percent']:.2f} % (one training, read once)",
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())
