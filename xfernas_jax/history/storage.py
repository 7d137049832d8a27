"""The record: an Optuna storage that holds one Optuna study for each study of ours.

What lies where, so that `optuna-dashboard` and other readers find it: the description of a study
and its result are JSON user attributes of the Optuna study; an evaluation is a finished trial
(COMPLETE, or FAIL or PRUNED without a value) with its value of the task's metric, the learning
curve as intermediate values and three user attributes: `xfernas_jax:key` (of equal ones in a study
the first counts), `xfernas_jax:genotype` and `xfernas_jax:evaluation` (the rest). Trials never run:
a result is written whole, in one transaction, or not at all. So a killed evaluation leaves nothing
that could be stale: to the rerun it is one of those that are missing, and is run again.
"""

import contextlib
import dataclasses
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import optuna
import sqlalchemy
import sqlalchemy.exc

from xfernas_jax.errors import HistoryError, StorageError, StudyError
from xfernas_jax.history import serialize
from xfernas_jax.history.database import open_database, parse_url, quiet_optuna, storage_errors
from xfernas_jax.history.lease import Lease, fenced, take_lease
from xfernas_jax.history.names import near_names
from xfernas_jax.history.record import Evaluation, StudySpec, Task, current
from xfernas_jax.history.same import check_same
from xfernas_jax.history.summary import StudySummary, summarize
from xfernas_jax.history.trials import OpenStudy, own_key, to_trial
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import lookup_space
from xfernas_jax.version import __version__

_SPEC = "xfernas_jax:spec"
_RESULT = "xfernas_jax:result"
_TAGS = "xfernas_jax:tags"
_RENAME = sqlalchemy.text("UPDATE studies SET study_name = :new WHERE study_name = :old")


class Storage:
    """Reads and writes studies in a SQLite file or a PostgreSQL database.

    Several processes may use one database, and several threads one object. Use it as a context
    manager or call `close`.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        get_space: Callable[[str], Space] = lookup_space,
    ) -> None:
        """Opens the database.

        Args:
          url: `sqlite:///FILE` (relative to the current folder; missing folders are made) or
            `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`.
          create: False where a SQLite file that does not exist is a mistake.
          get_space: finds the space of a study, to read its genotypes.

        Raises:
          StorageError: the database cannot be opened.
          MissingExtraError: PostgreSQL without its driver.
        """
        parsed = parse_url(url)
        self.url = parsed.render_as_string()  # without the password
        self._database = open_database(parsed, create=create)
        self._get_space = get_space
        self._open_studies: dict[str, OpenStudy] = {}
        self._leases: dict[str, Lease] = {}
        self._lock = threading.RLock()
        self._finalizer = weakref.finalize(self, self._database.engine.dispose)

    def close(self) -> None:
        """Closes the connections; the object is of no use afterwards."""
        self._database.remove_session()
        self._finalizer()

    def __enter__(self) -> "Storage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def control(
        self, study: str, *, take_over: bool = False, on_lost: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Makes this object the one controller of a study, which need not exist yet.

        Once another process takes over, nothing can be recorded in the study through this object.
        Who never asked for control may append all the same, as `history import` does.

        Args:
          study: its name.
          take_over: whether to end the controller that there may be.
          on_lost: called in another thread when that happens to us; a `KeyboardInterrupt` that
            it causes comes out as `LeaseError`.

        Raises:
          LeaseError: another process controls the study, or has taken it over.
        """
        with self._errors():
            lease = take_lease(self._database.engine, study, take_over=take_over)
        self._leases[study] = lease
        try:
            with lease.renewed(on_lost):
                yield
        except KeyboardInterrupt:
            if lease.lost:
                raise lease.error() from None
            raise
        finally:
            del self._leases[study]

    def create_or_open(self, spec: StudySpec) -> None:
        """Creates the study, or checks that the recorded one has the same description.

        Raises:
          StudyError: the name is taken by a study of another description, or is not allowed.
        """
        found = self.find(spec.name)
        if found is None:
            written = dataclasses.replace(spec, version=spec.version or __version__)
            value = serialize.spec_attribute(written)
            with self._errors(), quiet_optuna(), self._fenced(spec.name):
                study = optuna.create_study(
                    study_name=spec.name,
                    storage=self._database,
                    direction="maximize" if spec.task.metric.maximize else "minimize",
                    sampler=optuna.samplers.RandomSampler(),
                    load_if_exists=True,
                )
                if _SPEC not in study.user_attrs:  # another process may be faster
                    study.set_user_attr(_SPEC, value)
            found = self.find(spec.name)
            if found is None:
                raise StudyError(f"Study {spec.name!r} was deleted while it was created; rerun.")
        check_same(found, spec)
        self._upgrade(found, spec.task)

    def _upgrade(self, spec: StudySpec, task: Task) -> None:
        """Rewrites the description of a study of an earlier version before anything is added.

        So a version of an earlier format says what is wrong instead of stumbling over an
        evaluation; and what nobody knew of the task's images is known from now on.
        """
        with self._errors():
            study_id = self._database.get_study_id_from_name(spec.name)
            recorded = self._database.get_study_user_attrs(study_id)[_SPEC]
            facts = spec.task.facts or task.facts
            if recorded["schema"] != serialize.VERSION or facts != spec.task.facts:
                known = dataclasses.replace(spec.task, facts=facts)
                written = serialize.spec_attribute(dataclasses.replace(spec, task=known))
                with self._fenced(spec.name):
                    self._database.set_study_user_attr(study_id, _SPEC, written)

    def spec(self, study: str) -> StudySpec:
        """Returns the description of a study; `StudyError` names the known ones."""
        return self._opened(study).spec

    def find(self, name: str) -> StudySpec | None:
        """Returns a study of ours; None where there is none or where only its name exists.

        The latter is left by a process that was killed while it created the study.

        Raises:
          StudyError: another program made a study of this name.
        """
        try:
            with self._errors():
                study_id = self._database.get_study_id_from_name(name)
                user_attrs = self._database.get_study_user_attrs(study_id)
                used = bool(user_attrs) or self._database.get_n_trials(study_id) > 0
        except KeyError:
            return None
        if _SPEC in user_attrs:
            return self._parse_spec(name, user_attrs)
        if used:
            raise StudyError(
                f"Study {name!r} in {self.url} was made by another program; choose another --study."
            )
        return None

    def studies(self) -> tuple[StudySpec, ...]:
        """Returns all studies of ours in order of creation; those of others are left out.

        Raises:
          StorageError: a study was written by a later version of xfernas_jax.
          HistoryError: a description is damaged.
        """
        return tuple(
            self._parse_spec(name, attrs) for name, attrs in self._all_attributes().items()
        )

    def all_tags(self) -> dict[str, tuple[str, ...]]:
        """Returns the tags of each study of ours by its name; see `tags`."""
        return {name: _tags(attrs) for name, attrs in self._all_attributes().items()}

    def _all_attributes(self) -> dict[str, Mapping[str, Any]]:
        with self._errors():
            found = self._database.get_all_studies()
        return {s.study_name: s.user_attrs for s in found if _SPEC in s.user_attrs}

    def append(self, study: str, evaluation: Evaluation) -> None:
        """Records an evaluation; it is on disk when this returns.

        A second evaluation with the same network, recipe, seed and purpose counts for nothing, also
        if another process recorded the first; one that broke stands in the way of none but those
        that break under the same options.

        Raises:
          StudyError: no such study, or the evaluation has another recipe.
          HistoryError: the values are none of the task's metric.
          StorageError: the database did not take it.
          LeaseError: we controlled the study and another process has taken it over.
        """
        with self._lock:
            opened = self._opened(study)
            if evaluation.recipe != opened.spec.recipe:
                raise StudyError(
                    f"Study {study!r} holds evaluations of recipe {opened.spec.recipe!r} only. "
                    f"Got {evaluation.recipe!r}; use another study for another recipe."
                )
            serialize.check_values(opened.spec.task.metric, evaluation)
            key = f"{study}:{serialize.evaluation_key(evaluation)}"
            if (own := own_key(key)) in opened.keys or own in opened.appended:
                return
            space = self._get_space(opened.spec.space)
            trial = to_trial(key, serialize.evaluation_to_json(space, evaluation))
            try:
                with self._errors(), self._fenced(study):
                    opened.study.add_trial(trial)
                opened.appended.add(own)
            except sqlalchemy.exc.IntegrityError as error:
                raise StorageError(f"Storage {self.url}: {error.orig}; rerun.") from error
            except KeyError as error:
                del self._open_studies[study]
                raise StudyError(f"Study {study!r} was deleted meanwhile; rerun.") from error

    def evaluations(self, study: str) -> tuple[Evaluation, ...]:
        """Returns all evaluations of a study in order of recording, see also `current`.

        Only what is new since the last call is read and parsed.

        Raises:
          StudyError: no such study.
          SpaceError: its space is not known here.
          HistoryError: a recorded evaluation is damaged.
        """
        with self._lock:
            opened = self._opened(study)
            with self._errors():
                opened.refresh()
            new = opened.records[len(opened.evaluations) :]
            space = self._get_space(opened.spec.space) if new else None
            for record in new:
                where = f"Study {study!r} in {self.url}, evaluation {len(opened.evaluations)}"
                assert space is not None
                with self._errors():
                    evaluation = serialize.evaluation_from_json(space, opened.spec, record, where)
                opened.evaluations.append(evaluation)
            return tuple(opened.evaluations)

    def summary(self, study: str) -> StudySummary:
        """Returns the row of a study; genotypes are not read, so its space may be unknown."""
        with self._lock:
            opened = self._opened(study)
            with self._errors():
                opened.refresh()
            return summarize(opened.spec, opened.records)

    def record(self, study: str) -> "StudyRecord":
        """Returns the record of a study; `StudyError` where there is no such study."""
        return StudyRecord(self, self.spec(study).name)

    def set_result(self, study: str, result: Mapping[str, Any]) -> None:
        """Records the final summary of a study, a JSON object; replaces an earlier one."""
        serialize.canonical_json(dict(result))  # strict, where Optuna would take NaN
        with self._lock, self._errors(), self._fenced(study):
            self._opened(study).study.set_user_attr(_RESULT, dict(result))

    def tags(self, study: str) -> tuple[str, ...]:
        """Returns the words that a person gave a study, in order of the alphabet."""
        with self._lock, self._errors():
            return _tags(self._opened(study).study.user_attrs)

    def set_tags(self, study: str, tags: Iterable[str]) -> None:
        """Records the words of a study in place of those it had."""
        with self._lock, self._errors(), self._fenced(study):
            self._opened(study).study.set_user_attr(_TAGS, sorted(set(tags)))

    def rename(self, study: str, name: str) -> None:
        """Gives a study another name; `StudyError` where that is taken or not allowed."""
        serialize.check_study_name(name)
        with self._lock, self._errors():
            self._opened(study)
            if name in [each.study_name for each in self._database.get_all_studies()]:
                raise StudyError(f"There is a study {name!r} already; choose another name.")
            with self._database.engine.begin() as connection:
                connection.execute(_RENAME, {"old": study, "new": name})
            del self._open_studies[study]

    def delete(self, study: str) -> None:
        """Takes a study and its evaluations away for good; `StudyError` where there is none."""
        with self._lock, self._errors(), quiet_optuna():
            self._opened(study)
            optuna.delete_study(study_name=study, storage=self._database)
            del self._open_studies[study]

    def result(self, study: str) -> dict[str, Any] | None:
        """Returns what `set_result` recorded last, None before that.

        Raises:
          HistoryError: it is damaged.
        """
        with self._lock, self._errors():
            result = self._opened(study).study.user_attrs.get(_RESULT)
        if result is not None and not isinstance(result, dict):
            raise HistoryError(f"Study {study!r} in {self.url}: the result is damaged.")
        return result

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self.url)

    def _fenced(self, study: str) -> AbstractContextManager[None]:
        return fenced(self._database.scoped_session, self._leases.get(study))

    def _parse_spec(self, name: str, user_attrs: Mapping[str, Any]) -> StudySpec:
        where = f"Study {name!r} in {self.url}"
        value = user_attrs[_SPEC]
        schema = value.get("schema") if isinstance(value, dict) else None
        if type(schema) is not int or schema < 1:
            raise HistoryError(f"{where}: the description is damaged; delete it in Optuna.")
        if schema > serialize.VERSION:
            raise StorageError(
                f"{where} was written by a later xfernas_jax (schema {schema}; this one reads up "
                f"to {serialize.VERSION}); update xfernas_jax or use another storage."
            )
        fields = {key: item for key, item in value.items() if key != "schema"}
        with self._errors():
            return dataclasses.replace(serialize.spec_from_json(fields, where, schema), name=name)

    def _opened(self, name: str) -> OpenStudy:
        with self._lock:
            if name not in self._open_studies:
                spec = self.find(name)
                if spec is None:
                    known = [spec.name for spec in self.studies()]
                    raise StudyError(
                        f"There is no study {name!r} in {self.url}; {near_names(name, known)}."
                    )
                with self._errors(), quiet_optuna():
                    study = optuna.load_study(
                        study_name=name,
                        storage=self._database,
                        sampler=optuna.samplers.RandomSampler(),
                    )
                self._open_studies[name] = OpenStudy(spec, study)
            return self._open_studies[name]


class StudyRecord:
    """See `Record`; one study of a storage."""

    def __init__(self, storage: Storage, study: str) -> None:
        self._storage, self._study = storage, study

    def evaluations(self) -> tuple[Evaluation, ...]:
        return current(self._storage.evaluations(self._study))

    def append(self, evaluation: Evaluation) -> None:
        self._storage.append(self._study, evaluation)

    def set_result(self, result: Mapping[str, Any]) -> None:
        self._storage.set_result(self._study, result)

    def result(self) -> dict[str, Any] | None:
        return self._storage.result(self._study)


def study_summaries(storage: Storage) -> tuple[StudySummary, ...]:
    """Returns a row for each study, in order of creation."""
    return tuple(storage.summary(spec.name) for spec in storage.studies())


def append_all(storage: Storage, spec: StudySpec, evaluations: Iterable[Evaluation]) -> None:
    """Records a whole study, such as an imported one; run again, it completes what is missing."""
    storage.create_or_open(spec)
    storage.evaluations(spec.name)  # what is there already is skipped without a question
    for evaluation in evaluations:
        storage.append(spec.name, evaluation)


def _tags(user_attrs: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(tag for tag in user_attrs.get(_TAGS, ()) if isinstance(tag, str)))
