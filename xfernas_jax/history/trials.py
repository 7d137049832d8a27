"""Evaluations as Optuna trials, and reading those of a study that are new."""

import dataclasses
import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from xfernas_jax.history.record import Evaluation, StudySpec

_KEY = "xfernas_jax:key"
_GENOTYPE = "xfernas_jax:genotype"
_EVALUATION = "xfernas_jax:evaluation"
_STATES = {
    "complete": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "stopped": TrialState.PRUNED,  # without a value, although Optuna would allow one
    "broken": TrialState.FAIL,
}
_LONGEST_SECONDS = 1e9  # more than a timeline can show


@dataclasses.dataclass
class OpenStudy:
    """A study in use: what was read of it stays here, so that only new trials are parsed."""

    spec: StudySpec
    study: optuna.Study
    num_trials_seen: int = 0
    keys: set[str] = dataclasses.field(default_factory=set)
    appended: set[str] = dataclasses.field(default_factory=set)  # keys, by this process
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    evaluations: list[Evaluation] = dataclasses.field(default_factory=list)

    def refresh(self) -> None:
        """Takes in the trials that were added since the last call, ours only, keys once."""
        trials = self.study.get_trials(deepcopy=False)
        for trial in trials[self.num_trials_seen :]:
            attrs = trial.user_attrs
            key = attrs.get(_KEY)
            if isinstance(key, str) and (own := own_key(key)) not in self.keys:
                self.keys.add(own)
                rest = attrs.get(_EVALUATION)
                rest = rest if isinstance(rest, dict) else {}
                self.records.append({"genotype": attrs.get(_GENOTYPE), **rest})
        self.num_trials_seen = len(trials)


def own_key(key: str) -> str:
    """Returns the key of an evaluation without its study's name, which a copy has another of."""
    return key.partition(":[")[2] or key


def to_trial(key: str, record: dict[str, Any]) -> FrozenTrial:
    """Returns the finished trial of an evaluation; it began `seconds` ago."""
    genotype = record["genotype"]
    rest = {name: value for name, value in record.items() if name != "genotype"}
    trial = optuna.create_trial(
        state=_STATES[record["status"]],
        value=record["value"],
        user_attrs={_KEY: key, _GENOTYPE: genotype, _EVALUATION: rest},
        intermediate_values={epoch + 1: value for epoch, value in enumerate(record["curve"])},
    )
    assert trial.datetime_complete is not None
    duration = datetime.timedelta(seconds=min(record["seconds"], _LONGEST_SECONDS))
    trial.datetime_start = trial.datetime_complete - duration
    return trial
