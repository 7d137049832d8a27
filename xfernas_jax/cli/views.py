"""The views that flags ask for: TensorBoard's files, MLflow, or both."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xfernas_jax.cli import flags, inputs, mlflow, tensorboard
from xfernas_jax.cli.live import EvaluationRuns, TrainingRun, View, closing
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Job, Record, StudySpec
from xfernas_jax.space.base import Space


@dataclasses.dataclass(frozen=True)
class Views:
    """What shows a study or a training as it goes on; none where no flag asks for it.

    Attributes:
      folder: for TensorBoard's files, or None.
      server: of MLflow, or None.
    """

    folder: pathlib.Path | None = None
    server: mlflow.Server | None = None

    @contextlib.contextmanager
    def evaluations(
        self,
        space: Space,
        record: Record,
        spec: StudySpec,
        goal: Goal,
        name_of: Callable[[Job], str] = lambda _: "",
    ) -> Iterator[list[EvaluationRuns]]:
        """Gives listeners that go on from what the record of a study holds."""
        shown = self._shown(space, record, spec, goal, name_of)
        with closing(shown):
            yield shown

    def finish(
        self,
        space: Space,
        record: Record,
        spec: StudySpec,
        goal: Goal,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Shows the result of a study, and what of the study is not shown yet."""
        shown = self._shown(space, record, spec, goal, only_results=True)
        with closing(shown):
            for each in shown:
                each.finish(result)

    def trainings(self, dataset: str, name: str, metric: Metric) -> list[TrainingRun]:
        """Returns what shows a training of its own."""
        found: list[View] = []
        if self.folder is not None:
            found.append(tensorboard.EventFiles(self.folder))
        if self.server is not None:
            found.append(self.server.trainings(dataset))
        return [TrainingRun(view, name, metric) for view in found]

    def _shown(
        self,
        space: Space,
        record: Record,
        spec: StudySpec,
        goal: Goal,
        name_of: Callable[[Job], str] = lambda _: "",
        only_results: bool = False,
    ) -> list[EvaluationRuns]:
        views: list[View] = []
        if self.folder is not None:
            views.append(tensorboard.EventFiles(self.folder / spec.name))
        if self.server is not None:
            views.append(self.server.study(spec, inputs.storage_url(), _budgets()))
        optimizer = spec.config.get("optimizer", "random")
        is_trained = flags.OBJECTIVE.value is None
        recorded = record.evaluations() if views else ()
        return [
            EvaluationRuns(view, space, optimizer, recorded, goal, is_trained, name_of)
            for view in views
            if view.shows_result or not only_results
        ]


def opened() -> Views:
    """Returns the views that flags ask for; called before anything is evaluated.

    Raises:
      MissingExtraError: one needs a package that is not installed.
      FlagError: one cannot be reached or written.
    """
    return Views(tensorboard.folder(), mlflow.opened())


def _budgets() -> dict[str, Any]:
    """Returns how much is evaluated, which a study that goes on may be given more of."""
    wanted = (flags.BUDGET, flags.TIME_BUDGET, flags.NUM_ARCHITECTURES)
    return {flag.name: flag.value for flag in wanted if flags.given(flag.name)}
