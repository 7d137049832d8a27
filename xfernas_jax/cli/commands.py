"""The verbs of `run.py`."""

from collections.abc import Callable, Mapping

from xfernas_jax.cli import export, history, hosts, report, search, train
from xfernas_jax.errors import FlagError

VERBS: Mapping[tuple[str, ...], Callable[[], None]] = {
    (): search.search,
    ("search",): search.search,
    ("collect",): search.collect,
    ("train",): train.train,
    ("export",): export.export,
    ("report",): report.report,
    ("history", "list"): history.list_studies,
    ("history", "export"): history.export,
    ("history", "import"): history.import_,
}


def run(words: tuple[str, ...]) -> None:
    """Runs the verb that `words` name; none is the demo, a search with every default."""
    if words not in VERBS:
        known = ", ".join(" ".join(verb) for verb in VERBS if verb)
        raise FlagError(f"Unknown command {' '.join(words)!r}. Known: {known}; none is the demo.")
    hosts.refuse(words)
    VERBS[words]()
