"""Genotypes in files of their own, as JSON."""

import json
import os
import pathlib

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space.base import Genotype, Space


def read_genotype(path: str | os.PathLike[str], space: Space) -> Genotype:
    """Reads a genotype of `space`.

    Raises:
      GenotypeError: the file cannot be read or holds no valid genotype; names file and place.
      SpaceError: the genotype is of another space.
    """
    path = os.fspath(path)
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise GenotypeError(
            f"{path}: the genotype file cannot be read ({error.strerror}); check --genotype."
        ) from error
    except UnicodeDecodeError as error:
        raise GenotypeError(
            f"{path}: a genotype file is UTF-8 text, but byte {error.start} is not."
        ) from error
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise GenotypeError(
            f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg}); a genotype file holds "
            'one object such as {"space": ...}.'
        ) from error
    except (RecursionError, ValueError) as error:
        raise GenotypeError(
            f"{path}: not a genotype (nested too deep, or too long a number)."
        ) from error
    try:
        return space.from_json(value)
    except (GenotypeError, SpaceError) as error:
        raise type(error)(f"{path}: {error}") from error


def write_genotype(path: str | os.PathLike[str], space: Space, genotype: Genotype) -> None:
    """Writes a genotype; the file is there in full or as it was before.

    Raises:
      GenotypeError: the genotype is not of `space`, or the file cannot be written.
    """
    text = json.dumps(space.to_json(genotype), indent=2) + "\n"
    target = pathlib.Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise GenotypeError(
            f"{target}: the genotype file cannot be written ({error.strerror}); "
            "name a file in a folder that exists."
        ) from error
