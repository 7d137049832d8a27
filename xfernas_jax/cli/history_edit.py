"""The verbs `history rename`, `history delete` and `history tag`."""

import sys
from collections.abc import Sequence

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.errors import FlagError
from xfernas_jax.history import NO_SOURCE, Storage
from xfernas_jax.report.cost import source_counts

_LONGEST_TAG = 40


def rename(words: Sequence[str]) -> None:
    """Gives a study another name, in the record and in --workdir."""
    if len(words) != 2:
        raise FlagError(f"history rename takes OLD and NEW. Got {len(words)} names.")
    old, new = words
    folder, target = (inputs.folder_of(inputs.STUDIES, name) for name in (old, new))
    with inputs.open_storage(create=False) as storage:
        storage.spec(old)
        if target.exists():
            raise FlagError(f"history rename: {target} exists already; choose another name.")
        with inputs.control(storage, old):
            storage.rename(old, new)
        learned = _learned_from(storage, old)
    if folder.exists():
        folder.rename(target)
    console.print(f"Study {old} is called {new} now.")
    if learned:
        console.print(
            f"note: {', '.join(learned)} learned from {old}; where such a search is not finished, "
            "it goes on only while the study has that name."
        )


def delete(words: Sequence[str]) -> None:
    """Takes studies away for good, once that is confirmed."""
    if not words:
        raise FlagError("history delete takes the names of studies.")
    with inputs.open_storage(create=False) as storage:
        names = list(dict.fromkeys(words))
        for name in names:  # a mistake shows before anything is gone
            storage.spec(name)
        counts = [len(storage.evaluations(name)) for name in names]
        each = [f"{name} ({count} evaluations)" for name, count in zip(names, counts, strict=True)]
        _confirm(f"{', '.join(each)} in {storage.url}")
        for name in names:
            with inputs.control(storage, name):
                storage.delete(name)
            learned = _learned_from(storage, name)
            console.print(f"Study {name} is deleted.")
            if learned:
                console.print(f"note: {', '.join(learned)} learned from it.")
    folders = [inputs.folder_of(inputs.STUDIES, name) for name in names]
    for folder in (folder for folder in folders if folder.exists()):
        console.print(f"Its networks and results stay in {folder}.")


def _confirm(what: str) -> None:
    """Asks a person; `FlagError` where nobody answers yes."""
    if flags.YES.value:
        return
    if not sys.stdin.isatty():
        raise FlagError(f"history delete: {what} would be gone for good; say --yes to mean it.")
    console.print(f"{what} will be gone for good. Delete? [y/N]")
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        raise FlagError("history delete: nothing was deleted.")


def _learned_from(storage: Storage, name: str) -> list[str]:
    """Returns the names of the studies that began with another one as a source."""
    return [spec.name for spec in storage.studies() if name in source_counts(spec)]


def tag(words: Sequence[str]) -> None:
    """Gives a study words, or takes some away."""
    if not words:
        raise FlagError("history tag takes the name of a study, and tags.")
    study, *given = words
    for word in given:
        if not word.isprintable() or not 0 < len(word) <= _LONGEST_TAG or "," in word:
            raise FlagError(
                f"history tag: {word!r:.80} is no tag; one has 1 to {_LONGEST_TAG} characters "
                "without commas."
            )
    with inputs.open_storage(create=False) as storage:
        tags = set(storage.tags(study))
        if flags.REMOVE.value and not tags.issuperset(given):
            missing = next(word for word in given if word not in tags)
            raise FlagError(f"history tag: {study} has no tag {missing!r} to take away.")
        tags = tags.difference(given) if flags.REMOVE.value else tags.union(given)
        if given:
            storage.set_tags(study, tags)
    console.print(f"{study}: {', '.join(sorted(tags)) or 'no tags'}")
    if NO_SOURCE in tags:
        console.print("Searches learn from it only where --sources names it.")
