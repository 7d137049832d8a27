"""The sets of `real_tasks`, and the ways to get a network for them, as commands."""

import dataclasses
import pathlib
import re
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from experiments.image_sets import IMAGE_SETS, ImageSet
from xfernas_jax.errors import FlagError
from xfernas_jax.history.sources import bundled_histories, bundled_last_trainings

SPACE = "convnet"
OURS, AUTOKERAS = "ours", "autokeras"
FAMILIES = ("vgg", "resnet", "mobilenet")  # of known networks
LONG_SECONDS = 600.0  # from which on the main methods alone are tried, with one seed

_UNITS_OF_TIME = {"s": 1.0, "m": 60.0, "h": 3600.0}


_SHORT = ("grocery", "cifar10", "flowers", "notmnist", "usps", "fashion")
SETS: Mapping[str, ImageSet] = MappingProxyType(
    {IMAGE_SETS[short].name: IMAGE_SETS[short] for short in _SHORT}
)
"""By name, in the order in which they are tried."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a unit's process needs to know.

    Attributes:
      dataset: for --dataset.
      images: a file for a program that knows nothing of ours, with the parts of the same split.
      time: for --time_budget.
      seed: from 0.
      folder: empty, for whatever the process writes.
      output: JSON file that it leaves.
      sources: for --sources; None for the default.
      autokeras_python: an interpreter, or None.
    """

    dataset: str
    images: pathlib.Path
    time: str
    seed: int
    folder: pathlib.Path
    output: pathlib.Path
    sources: str | None = None
    autokeras_python: str | None = None

    def flags(self) -> list[str]:
        """Returns the flags of our own programs."""
        return [
            f"--dataset={self.dataset}",
            f"--space={SPACE}",
            f"--time_budget={self.time}",
            f"--seed={self.seed}",
            f"--workdir={self.folder}",
            f"--output={self.output}",
        ]


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to get a network.

    Attributes:
      words: what it is.
      command: of its process.
      seeds: of a short time.
      is_main: whether it is tried with a long time too.
    """

    words: str
    command: Callable[[Work], list[str]]
    seeds: int = 3
    is_main: bool = True

    def seeds_of(self, seconds: float) -> int:
        """Returns the number of seeds for a time."""
        return self.seeds if seconds < LONG_SECONDS else int(self.is_main)


def _ours(work: Work) -> list[str]:
    sources = [] if work.sources is None else [f"--sources={work.sources}"]
    return [sys.executable, "run.py", "search", *work.flags(), *sources]


def _search(optimizer: str) -> Callable[[Work], list[str]]:
    more = [f"--optimizer={optimizer}", "--sources=none"]
    return lambda work: [sys.executable, "run.py", "search", *work.flags(), *more]


def _one_network(rival: str) -> Callable[[Work], list[str]]:
    program = [sys.executable, "-m", "experiments.rivals.one_network", f"--rival={rival}"]
    return lambda work: [*program, *work.flags()]


def _autokeras(work: Work) -> list[str]:
    return [
        work.autokeras_python or sys.executable,
        "experiments/rivals/autokeras_images.py",
        f"--images={work.images}",
        f"--seconds={seconds_of(work.time)}",
        f"--seed={work.seed}",
        f"--folder={work.folder}",
        f"--output={work.output}",
    ]


def known(family: str) -> str:
    """Returns the method that trains a known family's member."""
    return f"known_{family}"


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        OURS: Method("`run.py search` with its defaults", _ours),
        "plain_convnet": Method("a ConvNet in plain Flax", _one_network("plain:convnet")),
        "plain_resnet8": Method("a ResNet-8 in plain Flax", _one_network("plain:resnet8")),
        **{
            known(family): Method(
                f"the known network of the family {family} alone, by our trainer",
                _one_network(f"known:{family}"),
            )
            for family in FAMILIES
        },
        "random": Method("our search, `--optimizer=random`", _search("random"), 2, False),
        "nao": Method("our search, `--optimizer=nao`, no sources", _search("nao"), 2, False),
        "tpe": Method("our search by Optuna's TPE", _search("experiments.baselines:tpe"), 2, False),
        AUTOKERAS: Method("AutoKeras", _autokeras, 2, False),
    }
)
"""By name, in the order in which they are tried."""

SEARCHES = (OURS, "random", "nao", "tpe")  # whose output is the result of a search


def seconds_of(text: str) -> float:
    """Reads a time such as "40s", "3m" or "1h"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found or not float(found[1]):
        raise FlagError(f"--times={text}: a time is a positive number with s, m or h, such as 3m.")
    return float(found[1]) * _UNITS_OF_TIME[found[2]]


def source_names(image_set: ImageSet) -> str | None:
    """Returns the value of --sources without studies of the set's images; None for the default."""
    names = {
        study.spec.name: study.spec.task.dataset
        for study in (*bundled_histories(), *bundled_last_trainings())
        if study.spec.space == SPACE
    }
    fitting = [name for name, dataset in names.items() if image_set.images not in dataset]
    return None if len(fitting) == len(names) else ",".join(fitting) or "none"
