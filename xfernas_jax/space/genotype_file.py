"""Genotypes in files of their own, as JSON, and published ones by name."""

import json
import os
from typing import Any

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.files import read_bounded, write_atomically
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.published import find_published
from xfernas_jax.strict_json import parse_json

_PUBLISHED = "published:"  # what comes before a name in place of a file's
_LARGEST_FILE = 2**20  # bytes; a genotype has about 1,000


def read_genotype(path: str | os.PathLike[str], space: Space) -> Genotype:
    """Reads a genotype of `space` from a file, or takes the published one at `published:NAME`.

    Raises:
      GenotypeError: the file cannot be read or holds no valid genotype (names file and place), or
        nothing published has that name.
      SpaceError: the genotype is of another space.
    """
    path = os.fspath(path)
    if path.startswith(_PUBLISHED):
        name, genotype = find_published(path.removeprefix(_PUBLISHED))
        if name != space.name:
            raise SpaceError(
                f"{path} is of space {name!r}, but space {space.name!r} is asked for; leave "
                "--space out."
            )
        return genotype
    value = _read_json(path)
    try:
        return space.from_json(value)
    except (GenotypeError, SpaceError) as error:
        raise type(error)(f"{path}: {error}") from error


def read_space_name(path: str | os.PathLike[str]) -> str:
    """Returns the name of the space that a genotype file, or `published:NAME`, is of.

    Raises:
      GenotypeError: the file cannot be read or names none, or nothing published has that name.
    """
    path = os.fspath(path)
    if path.startswith(_PUBLISHED):
        return find_published(path.removeprefix(_PUBLISHED))[0]
    value = _read_json(path)
    name = value.get("space") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise GenotypeError(f'{path}: a genotype is a JSON object with "space": NAME.')
    return name


def _read_json(path: str) -> Any:
    try:
        text = read_bounded(path, _LARGEST_FILE).decode("utf-8")
    except OSError as error:
        raise GenotypeError(
            f"{path}: the genotype file cannot be read ({error.strerror}); check --genotype."
        ) from error
    except UnicodeDecodeError as error:
        raise GenotypeError(
            f"{path}: a genotype file is UTF-8 text, but byte {error.start} is not."
        ) from error
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        raise GenotypeError(
            f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg}); a genotype file holds "
            'one object such as {"space": ...}.'
        ) from error
    except ValueError as error:
        raise GenotypeError(f"{path}: not a genotype ({error}).") from error


def write_genotype(path: str | os.PathLike[str], space: Space, genotype: Genotype) -> None:
    """Writes a genotype; the file is there in full or as it was before.

    Raises:
      GenotypeError: the genotype is not of `space`, or the file cannot be written.
    """
    text = json.dumps(space.to_json(genotype), indent=2) + "\n"
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise GenotypeError(
            f"{os.fspath(path)}: the genotype file cannot be written ({error.strerror}); "
            "name a file in a folder that you may write to."
        ) from error
