"""Wording for names that are not found."""

import difflib
from collections.abc import Iterable

_NUM_SHOWN = 8


def near_names(name: str, known: Iterable[str]) -> str:
    """Returns the way out of an unknown name: the near names, else the first known ones."""
    names = list(dict.fromkeys(known))
    if not names:
        return "there is none yet"
    near = difflib.get_close_matches(name, names, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}"
    more = f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else ""
    return f"known: {', '.join(names[:_NUM_SHOWN])}{more}"
