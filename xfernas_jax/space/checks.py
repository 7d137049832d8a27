"""Checks that all spaces share: token sequences and the fields of a genotype's JSON object."""

import operator
from collections.abc import Collection, Sequence
from typing import Any

from xfernas_jax.errors import GenotypeError
from xfernas_jax.space.base import Space


def checked_tokens(space: Space, tokens: Sequence[int]) -> tuple[int, ...]:
    """Returns the tokens as plain integers.

    Raises:
      GenotypeError: the length or a token breaks the space's rules; names the position.
    """
    if len(tokens) != len(space.choices):
        raise GenotypeError(
            f"A sequence of space {space.name!r} has {len(space.choices)} tokens. "
            f"Got {len(tokens)}."
        )
    checked = []
    for position, (token, options) in enumerate(zip(tokens, space.choices, strict=True)):
        try:
            value = -1 if isinstance(token, bool) else operator.index(token)
        except TypeError:
            value = -1
        if value not in options:
            allowed = ", ".join(f"{t} ({space.vocabulary[t]})" for t in options)
            raise GenotypeError(
                f"Token {token!r:.40} cannot stand at position {position} of a sequence of space "
                f"{space.name!r}; allowed there: {allowed}."
            )
        checked.append(value)
    return tuple(checked)


def check_fields(value: Any, fields: Collection[str], where: str) -> None:
    """Raises `GenotypeError` unless `value` is a JSON object of exactly these fields."""
    if not isinstance(value, dict):
        raise GenotypeError(f"{where} is a JSON object. Got {value!r:.80}.")
    missing = [field for field in fields if field not in value]
    unknown = [f"{field!r:.40}" for field in value if field not in fields][:5]
    if missing or unknown:
        raise GenotypeError(
            f"{where} has the fields {', '.join(fields)}. Missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}."
        )


def check_list(value: Any, kind: type, length: int | None, where: str) -> None:
    """Raises `GenotypeError` unless `value` is a list of `length` (None: any) of type `kind`."""
    names = {int: "integers", str: "strings", dict: "objects"}
    fits = isinstance(value, list) and all(type(entry) is kind for entry in value)
    if not fits or (length is not None and len(value) != length):
        count = "" if length is None else f"{length} "
        raise GenotypeError(f"{where} is a list of {count}{names[kind]}. Got {value!r:.80}.")
