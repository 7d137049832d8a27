"""The verbs, and which flags each of them uses: the source of the help and of notices."""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from xfernas_jax.cli import flags
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.options import flag_names
from xfernas_jax.registry import near_hint


@dataclasses.dataclass(frozen=True)
class Verb:
    """A command.

    Attributes:
      name: its words; the demo has none.
      address: `module:FUNCTION` in this package, imported when the verb runs.
      summary: what it does, in one line.
      compiles: whether it keeps and uses compiled programs.
      takes: what the words after its name are; empty where there are none.
    """

    name: str
    address: str
    summary: str
    compiles: bool = True
    takes: str = ""

    def run(self, words: Sequence[str] = ()) -> None:
        """Runs it, as the flags say; `words` are what it takes."""
        module, _, function = self.address.partition(":")
        found = getattr(importlib.import_module(f"{__package__}.{module}"), function)
        cast(Callable[..., object], found)(*([words] if self.takes else []))


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb("", "demo:demo", "the demo: a search for `mnist_5k`, beside a tutorial's ConvNet"),
        Verb("search", "search:search", "a search for --dataset, or by --objective"),
        Verb("collect", "collect:collect", "random architectures, as a source for later searches"),
        Verb("train", "train:train", "one architecture of --genotype, with checkpoints"),
        Verb("export", "export:export", "the best network of a study, to be run by JAX alone"),
        Verb("predict", "predict:predict", "classes of pictures", takes="FILE_OR_FOLDER ..."),
        Verb("report", "report:report", "a page about a search, with pictures and data", False),
        Verb("history list", "history:list_studies", "the studies of the record", False),
        Verb("history show", "history_show:show", "what a study is and found", False, "STUDY ..."),
        Verb("history compare", "history_show:compare", "studies side by side", False, "STUDY ..."),
        Verb("history rename", "history_edit:rename", "another name of a study", False, "OLD NEW"),
        Verb("history delete", "history_edit:delete", "studies, for good", False, "STUDY ..."),
        Verb("history tag", "history_edit:tag", "words about a study", False, "STUDY TAG ..."),
        Verb("history import", "history:import_", "a study from a file into the record", False),
        Verb("history export", "history:export", "a study of the record as a file", False),
    )
}

_SEARCH, _COLLECT, _TRAIN, _EXPORT = ("search",), ("collect",), ("train",), ("export",)
_PREDICT = ("predict",)
_EVALUATES = (*_SEARCH, *_COLLECT)
_LEARNS = (*_EVALUATES, *_TRAIN)
_EDITS = ("history rename", "history delete", "history tag")
_READS = ("history list", "history show", "history compare")
_HISTORY = (*_READS, *_EDITS, "history import", "history export")
_RECORDS = (*_EVALUATES, *_EXPORT, "report", *_HISTORY)
_OF_WORKERS = ("evaluation_checkpoint_seconds",)  # of what goes on where a worker died
_RUNTIME = {
    name: _EVALUATES if name in _OF_WORKERS else (*_LEARNS, *_EXPORT)
    for name in flag_names(Runtime)
}

_HOSTS = "One training by many hosts"

GROUPS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "What is learned": {
        "dataset": (*_LEARNS, *_EXPORT),
        "data_dir": (*_LEARNS, *_EXPORT),
        "metric": (*_LEARNS, *_EXPORT),
        "objective": _EVALUATES,
        "space": (*_RECORDS, *_TRAIN, *_PREDICT),
        "genotype": _TRAIN,
        "recipe": _LEARNS,
        "set": (*_LEARNS, *_EXPORT),
        "initial_variables": (*_SEARCH, *_TRAIN, *_EXPORT),
        "seed": _LEARNS,
    },
    "How it is searched": {
        "optimizer": _SEARCH,
        "surrogate": _SEARCH,
        "encoder": _SEARCH,
        "architecture_numbers": _SEARCH,
        "references": _EVALUATES,
        "sources": _SEARCH,
        "reuse_target": _SEARCH,
        "schedule": _SEARCH,
        "early_stop": _SEARCH,
    },
    "How much is evaluated": {
        "time_budget": _SEARCH,
        "members": _SEARCH,
        "budget_evaluations": _SEARCH,
        "batch_size": _SEARCH,
        "confirm_seeds": _SEARCH,
        "num_architectures": _COLLECT,
        "num_repeated": _COLLECT,
    },
    "What a network may cost": {
        "max_params": _EVALUATES,
        "max_flops": _EVALUATES,
        "max_latency_ms": _SEARCH,
        "max_cost": _SEARCH,
        "pareto": _SEARCH,
        "costs": _EVALUATES,
    },
    "Where it runs": {
        "executor": _EVALUATES,
        "ray_address": _EVALUATES,
        "devices_per_evaluation": _EVALUATES,
        "compile_ahead": _EVALUATES,
    },
    _HOSTS: {
        "coordinator_address": _TRAIN,
        "num_processes": _TRAIN,
        "process_id": _TRAIN,
        "silent_host_seconds": _TRAIN,
    },
    "Speed and memory; results are the same": _RUNTIME,
    "What is read and written": {
        "dry_run": _LEARNS,
        "model": _PREDICT,
        "workdir": (*_RECORDS, *_TRAIN, *_PREDICT),
        "storage": _RECORDS,
        "study": (*_EVALUATES, *_EXPORT, "report", "history export"),
        "take_over": (*_EVALUATES, "history rename", "history delete"),
        "yes": ("history delete",),
        "remove": ("history tag",),
        "file": ("history import", "history export"),
        "output": (*_SEARCH, *_TRAIN, *_PREDICT),
        "output_dir": (*_EXPORT, "report"),
        "sections": ("report",),
        "evaluation": _EXPORT,
        "test_images": _EXPORT,
        "format": _EXPORT,
        "checkpoint_epochs": _TRAIN,
        "tensorboard_dir": _LEARNS,
        "mlflow_uri": _LEARNS,
    },
}
"""Flags by subject, in the order of the help, each with the verbs that use it."""


def find(words: Sequence[str]) -> tuple[Verb, list[str]]:
    """Returns the verb that words name, and the words that it takes; `FlagError` without one."""
    for count in (1, 2):
        verb = VERBS.get(" ".join(words[:count])) if len(words) >= count else None
        if verb is not None and verb.takes:
            return verb, list(words[count:])
    name = " ".join(words)
    if name not in VERBS:
        known = [verb for verb in VERBS if verb]
        raise FlagError(
            f"Unknown command {name!r:.80}. {near_hint(name, known)}Known: {', '.join(known)}; "
            "none is the demo."
        )
    return VERBS[name], []


def groups_of(verb: Verb) -> Iterator[tuple[str, list[str]]]:
    """Gives each subject with the flags of a verb, where it has any; the demo has `search`'s."""
    own = verb.name or "search"
    for title, users in GROUPS.items():
        names = [name for name, verbs in users.items() if own in verbs]
        if names:
            yield title, names


def unused_flags(verb: Verb) -> list[str]:
    """Returns a line for each flag on the command line that the verb does not use.

    Raises:
      FlagError: one that a result would be taken for: an objective, hosts that share a training,
        or a dry run.
    """
    used = {name for _, names in groups_of(verb) for name in names}
    lines = []
    for users in GROUPS.values():
        for name in (name for name in users if name not in used and flags.given(name)):
            shown = ", ".join(f"`{other}`" for other in users[name])
            lines.append(f"--{name} is for {shown}; `{verb.name or 'search'}` does not use it.")
            if name in ("objective", "dry_run") or name in GROUPS[_HOSTS]:
                raise FlagError(f"{lines[-1]} Leave it out.")
    return lines
