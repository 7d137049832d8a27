"""What a search learns from: chosen by the flags, or as the search began."""

import dataclasses
import re

from xfernas_jax.cli import flags
from xfernas_jax.cli.progress import console
from xfernas_jax.errors import StudyError
from xfernas_jax.history import (
    Evaluation,
    RecordedStudy,
    Source,
    Storage,
    StudySpec,
    bundled_histories,
    bundled_last_trainings,
    choose_studies,
    freeze_studies,
    last_trainings,
    recorded_studies,
    select_sources,
    target_observations,
    thaw_studies,
)
from xfernas_jax.space.base import Space


@dataclasses.dataclass(frozen=True)
class Learned:
    """What a search learns from.

    Attributes:
      counts: number of evaluations of each study that is learned from.
      sources: other tasks.
      prior: with --reuse_target, what earlier studies know of the target itself.
      last: studies of last trainings of other tasks.
    """

    counts: dict[str, int]
    sources: tuple[Source, ...]
    prior: tuple[Evaluation, ...]
    last: tuple[RecordedStudy, ...] = ()

    def names(self, is_asked: bool, is_recommended: bool) -> list[str]:
        """Returns the names of what a search made use of.

        Args:
          is_asked: whether its optimizer was asked, which alone learns from the sources.
          is_recommended: whether it began with what the last trainings recommend.
        """
        short = [source.name for source in self.sources] if is_asked else []
        return [*short, *(study.spec.name for study in self.last if is_recommended)]


def known_studies(storage: Storage | None) -> dict[str, RecordedStudy]:
    """Returns the bundled studies and those of a record, which may hide them, by name."""
    own = () if storage is None else recorded_studies(storage)
    studies = [*bundled_histories(), *bundled_last_trainings(), *own]
    return {study.spec.name: study for study in studies}


def choose_sources(
    storage: Storage | None, space: Space, spec: StudySpec, is_asked: bool = True
) -> Learned:
    """Chooses what a search learns from and names it in the log.

    A search that goes on gets what it began with, however much was recorded since. Without a record
    there is what is bundled.

    Args:
      storage: the record, or None.
      space: of the search.
      spec: of its study.
      is_asked: whether an optimizer is asked anything; else its sources are not worth a line.
    """
    recorded = known_studies(storage).values()
    reuse = flags.REUSE_TARGET.value
    chosen = choose_studies(
        recorded,
        space,
        spec.task,
        flags.SOURCES.value,
        reuse_target=reuse,
        own_study=spec.name,
    )
    begun = None if storage is None else storage.find(spec.name)
    counts = _counts_at_begin(begun, freeze_studies(chosen))
    thawed = thaw_studies(recorded, counts)
    last = tuple(study for study in thawed if last_trainings(study.spec) is not None)
    short = [study for study in thawed if last_trainings(study.spec) is None]
    sources = select_sources(
        short,
        space,
        spec.task,
        "all" if counts else "none",
        recipe=spec.recipe,
        reuse_target=reuse,
        own_study=spec.name,
    )
    prior: tuple[Evaluation, ...] = ()
    if reuse:
        prior = target_observations(short, space, spec.task, spec.recipe, own_study=spec.name)
    if not sources and is_asked:
        console.print(f"Space {space.name}: no sources; the search starts from nothing.")
    if sources and is_asked:
        console.print(_words(sources))
    if prior:
        console.print(f"Earlier studies of this task: {len(prior)} evaluations")
    return Learned(counts, sources, prior, last)


def _words(sources: tuple[Source, ...]) -> str:
    """Names the tasks that are learned from, without digests where they still differ."""
    names = [source.task.dataset for source in sources]
    short = [re.sub(r"-[0-9a-f]{8}$", "", name) for name in names]
    if len(set(short)) == len(names):
        names = short
    counts = [len(source.evaluations) for source in sources]
    each = ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True))
    tasks = "one earlier task" if len(sources) == 1 else f"{len(sources)} earlier tasks"
    return f"Learns from {tasks}, {sum(counts):,} trainings: {each}"


def _counts_at_begin(begun: StudySpec | None, now: dict[str, int]) -> dict[str, int]:
    """Returns the counts that the study began with, those of now where it begins now."""
    if begun is None or "source_studies" not in begun.config:
        return now
    then = begun.config["source_studies"]
    if not isinstance(then, dict) or not all(type(count) is int for count in then.values()):
        raise StudyError(
            f"Study {begun.name!r}: source_studies in its configuration is an object of counts. "
            f"Got {then!r:.80}; choose another --study."
        )
    if then != now:
        console.print("Sources are those that the study began with; --study=NAME starts anew.")
    return then
