"""Runs of MLflow: of studies, of their evaluations, and of trainings by `train`.

An experiment holds what is of one data set; a run in it is a study or a training, and each
evaluation is a run within its study. A run is found again by a tag made of its name and, for a
study, of where it is recorded. Nothing of others is changed: where a study's run tells of another
record, a new one is begun beside it.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from xfernas_jax.cli import live
from xfernas_jax.cli.attempts import Attempts, BackgroundAttempts
from xfernas_jax.cli.live import Ending, Scalars, View
from xfernas_jax.history.record import StudySpec
from xfernas_jax.version import __version__

_ID, _DIGEST, _STATUS = "xfernas.id", "xfernas.digest", "xfernas.status"  # tags of ours
_PARENT = "mlflow.parentRunId"
_STATES = {"failed": "FAILED", "broken": "FAILED"}  # of results; all others are FINISHED
_MOST = {"metrics": 1000, "params": 100, "tags": 100}  # in one request
_LONGEST = 5000  # characters of a value
_Item = TypeVar("_Item")


class Run(live.Run):
    """A run, which is begun when there is something to write."""

    def __init__(self, view: "TrainingRuns", name: str, found: Any = None) -> None:
        """Reads what an earlier process left there, if it was not ended.

        Args:
          view: that the run is in.
          name: of the run.
          found: `mlflow.entities.Run`, None where there is none.
        """
        super().__init__()
        self._view, self._name = view, name
        self._run_id: str | None = None if found is None else found.info.run_id
        self._digest = None if found is None else found.data.tags.get(_DIGEST)
        self._is_unsure = False  # whether the last request may have been carried out
        if found is not None and self._digest is None:
            self._read(found.data.metrics)

    def end(self, scalars: Scalars, ending: Ending, metrics: Sequence[str]) -> None:
        """Makes the run hold these points and its ending; does nothing where it does already."""
        digest = _digest(scalars, ending)
        if self._digest == digest:
            return
        if self._digest is not None:  # it ended otherwise
            self._begin_anew()
        if self._run_id is None and ending.seconds is not None:
            self._create(time.time() - ending.seconds)
        super().end(scalars, ending, metrics)
        # The digest comes last: a run without it is completed.
        self._view.log(self._run_id, tags={_DIGEST: digest})
        self._digest = digest

    def interrupt(self) -> None:
        """Marks the run as killed; it may go on later."""
        if self._run_id is not None and self._digest is None:
            self._view.client.set_terminated(self._run_id, "KILLED")

    def _create(self, began: float) -> None:
        self._run_id = self._view.create(self._name, began)

    def _read(self, tags: Iterable[str]) -> None:
        self._points = {}
        for tag in tags:
            history = self._view.client.get_metric_history(self._run_id, tag)
            self._points[tag] = sorted({metric.step: metric.value for metric in history}.items())

    def _write(self, points: Sequence[tuple[str, int, float]]) -> None:
        if self._digest is not None:  # it is tried again
            self._begin_anew()
        if self._run_id is None:
            self._create(time.time())
        if self._is_unsure:
            self._read(self._view.client.get_run(self._run_id).data.metrics)
            points = [p for p in points if p[:2] not in self._steps()]
        self._is_unsure = True
        self._view.log(self._run_id, metrics=points)
        self._is_unsure = False

    def _steps(self) -> set[tuple[str, int]]:
        return {(tag, step) for tag, points in self._points.items() for step, _ in points}

    def _write_ending(self, ending: Ending, metrics: Sequence[str]) -> None:
        if self._run_id is None:
            self._create(time.time())
        numbers = dict(ending.costs)
        if ending.seconds is not None:
            numbers["seconds"] = ending.seconds
        known = self._steps()
        points = [(tag, 0, value) for tag, value in numbers.items() if (tag, 0) not in known]
        tags = {_STATUS: ending.status} if ending.status else {}
        self._view.log(self._run_id, metrics=points, params=ending.words, tags=tags)
        self._view.client.set_terminated(self._run_id, _STATES.get(ending.status, "FINISHED"))

    def _begin_anew(self) -> None:
        if self._run_id is not None:
            self._view.client.delete_run(self._run_id)  # MLflow keeps it as deleted
        self._run_id = self._digest = None
        self._points, self._has_ended, self._is_unsure = {}, False, False


class TrainingRuns(View):
    """Runs of an experiment, each found by its name."""

    _parent: str | None = None

    def __init__(self, client: Any, experiment: str) -> None:
        """Takes an `mlflow.MlflowClient` and the experiment's name; asks for nothing yet."""
        self.client = client
        self._experiment = experiment
        self._experiment_id: str | None = None

    def attempts(self) -> Attempts:
        """Returns what writes in the background."""
        return BackgroundAttempts("MLflow: not all is logged; the same command logs it later")

    def study(self) -> Run:
        """Is for studies."""
        raise NotImplementedError

    def run(self, name: str) -> Run:
        """Returns a run with what an earlier process logged."""
        return Run(self, name, self.newest(self.id_of(name)))

    def id_of(self, name: str) -> str:
        """Returns the tag by which a run is found."""
        return hashlib.sha256(name.encode()).hexdigest()[:16]

    def create(self, name: str, began: float, **tags: str) -> str:
        """Begins a run and returns its identifier."""
        within = {} if self._parent is None else {_PARENT: self._parent}
        own = {_ID: self.id_of(name), "xfernas.version": __version__, **within, **tags}
        now = int(began * 1000)
        run = self.client.create_run(self.experiment_id(), now, own, name[:250])
        return run.info.run_id

    def experiment_id(self) -> str:
        """Returns the experiment, which is made where there is none."""
        known = self._experiment_id
        if known is None:
            found = self.client.get_experiment_by_name(self._experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                raise ValueError(f"the experiment {self._experiment!r} was deleted; restore it")
            is_new = found is None
            known = (
                self.client.create_experiment(self._experiment) if is_new else found.experiment_id
            )
            self._experiment_id = known
        return known

    def newest(self, identity: str) -> Any:
        """Returns the newest run of an identity, None without one."""
        found = self._search(f"tags.`{_ID}` = '{identity}'", 1)
        return found[0] if found else None

    def log(
        self,
        run_id: str | None,
        metrics: Sequence[tuple[str, int, float]] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Logs to a run, in as many requests as it takes."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        parts = {
            "metrics": [Metric(_key(tag), value, now, step) for tag, step, value in metrics],
            "params": [Param(_key(k), f"{v}"[:_LONGEST]) for k, v in (params or {}).items()],
            "tags": [RunTag(_key(k), f"{v}"[:_LONGEST]) for k, v in (tags or {}).items()],
        }
        for name, items in parts.items():
            for part in _in_parts(items, _MOST[name]):
                self.client.log_batch(run_id, **{name: part})

    def _search(self, condition: str, most: int = 0) -> list[Any]:
        """Returns active runs of the experiment, the newest first."""
        found, token = [], None
        while True:
            page = self.client.search_runs(
                [self.experiment_id()],
                condition,
                max_results=most or 1000,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            found += page
            token = page.token
            if not token or most:
                return found


class StudyRuns(TrainingRuns):
    """The run of a study, and those of its evaluations in it."""

    shows_result = True

    def __init__(
        self, client: Any, spec: StudySpec, storage: str, budgets: Mapping[str, Any]
    ) -> None:
        """See `mlflow.Server.study`."""
        super().__init__(client, spec.task.dataset)
        self._name, self._identity = spec.name, f"{spec.name}\n{storage}"
        about = {
            "kind": spec.kind,
            "dataset": spec.task.dataset,
            "split": spec.task.split,
            "metric": spec.task.metric.name,
            "space": spec.space,
            "recipe": spec.recipe,
        }
        self._params = _flat({**spec.config, **about, **budgets})
        self._tags = {f"xfernas.{name}": f"{value}" for name, value in budgets.items()}
        self._known: dict[str, Any] = {}

    def study(self) -> "StudyRun":
        """Returns the run of the study, which is begun or goes on."""
        found = self.newest(super().id_of(self._identity))
        run = StudyRun(self, self._name, found)
        run.describe(self._params, {} if found is None else found.data.params, self._tags)
        return run

    def run(self, name: str) -> Run:
        """Returns the run of an evaluation with what an earlier process logged."""
        return Run(self, name, self._known.pop(self.id_of(name), None))

    def go_on_in(self, parent: str, is_new: bool) -> None:
        """Takes the run of the study that the others belong to."""
        self._parent, self._known = parent, {}
        if not is_new:
            for run in self._search(f"tags.`{_PARENT}` = '{parent}'"):
                self._known.setdefault(run.data.tags.get(_ID, ""), run)

    def begin(self) -> str:
        """Begins a run of the study."""
        self._parent = None
        own = {_ID: super().id_of(self._identity), "xfernas.study": self._name}
        return self.create(self._name, time.time(), **own)

    def finish(self, values: Mapping[str, float], facts: Mapping[str, str], step: int) -> None:
        """Logs the result of the study, but what is logged already."""
        data = self.client.get_run(self._parent).data
        new = [(tag, step, v) for tag, v in values.items() if data.metrics.get(_key(tag)) != v]
        tags = {f"best.{name}": value for name, value in facts.items()}
        self.log(self._parent, new, tags=tags)
        self.client.set_terminated(self._parent, "FINISHED")


class StudyRun(Run):
    """The run of a study: its parameters, the incumbent, and the result."""

    def __init__(self, view: StudyRuns, name: str, found: Any = None) -> None:
        """Begins the run where there is none."""
        self._study = view
        super().__init__(view, name, found)
        if found is None:
            self._begin_anew()
        else:
            view.go_on_in(found.info.run_id, is_new=False)

    def describe(
        self, params: Mapping[str, Any], known: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        """Logs parameters that the run has not, and tags."""
        new = {name: value for name, value in params.items() if _key(name) not in known}
        self._settings, self._tags = params, tags
        self._view.log(self._run_id, params=new, tags=tags)
        self._view.client.update_run(self._run_id, status="RUNNING")

    def _read(self, tags: Iterable[str]) -> None:
        super()._read([tag for tag in tags if tag.startswith("best_")])  # else of a result

    def _begin_anew(self) -> None:
        """Begins another run; the one before may be of another record, and stays."""
        had = self._run_id is not None
        self._run_id, self._points = self._study.begin(), {}
        self._study.go_on_in(self._run_id, is_new=True)
        if had:
            self.describe(self._settings, {}, self._tags)


def _digest(scalars: Scalars, ending: Ending) -> str:
    """Returns what two runs have in common exactly when they show the same."""
    points = {tag: [[step, float(v)] for step, v in points] for tag, points in scalars.items()}
    shows = [points, dict(ending.settings), dict(ending.costs), ending.status, ending.seconds]
    text = json.dumps(shows, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _key(name: str) -> str:
    """Returns a name of characters that MLflow takes."""
    return re.sub(r"[^\w\-./ :]", "_", name)[:250]


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Returns settings with those within others under dotted names; none that are empty."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        elif value not in (None, "", [], ()):
            is_list = isinstance(value, list | tuple)
            found[f"{before}{name}"] = json.dumps(value) if is_list else value
    return found


def _in_parts(items: Sequence[_Item], most: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
