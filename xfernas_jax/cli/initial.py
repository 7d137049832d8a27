"""The earlier network that --initial_variables names, for trainings to start from."""

import functools
import pathlib

from flax import traverse_util

from xfernas_jax.cli import flags
from xfernas_jax.cli.progress import console
from xfernas_jax.errors import FlagError, GenotypeError, SpaceError
from xfernas_jax.nn.members import parted
from xfernas_jax.space import read_genotype
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.train.initial import VARIABLES_FILE, EarlierVariables, flat_variables, read_arrays
from xfernas_jax.types import PyTree

_FIELD = "train.initial"


def file() -> str | None:
    """Returns the file of its variables; None where none is named.

    Raises:
      FlagError: there is no such folder.
    """
    folder = flags.INITIAL_VARIABLES.value
    if folder is None:
        return None
    found = pathlib.Path(folder).absolute() / VARIABLES_FILE
    if not found.is_file():
        raise FlagError(
            f"--initial_variables={folder}: is no folder of a network that `export` wrote; it has "
            f"no {VARIABLES_FILE}."
        )
    return str(found)


def earlier() -> EarlierVariables | None:
    """Returns its variables, of several trainings those of the first; None where none is named.

    Raises:
      FlagError: there is no such folder.
      ModelError: its variables cannot be read.
    """
    found = file()
    return None if found is None else _read(found)


@functools.cache  # a recipe is changed several times
def _read(name: str) -> EarlierVariables:
    nested = traverse_util.unflatten_dict(read_arrays(pathlib.Path(name)), sep="/")
    return EarlierVariables(flat_variables(parted(nested)[0]))


def changes() -> list[str]:
    """Returns the changes of a recipe, those of --set and what it starts from.

    Raises:
      FlagError: --set names the latter.
      ModelError: the variables cannot be read.
    """
    own = list(flags.SET.value)
    if any(change.partition("=")[0].strip() == _FIELD for change in own):
        raise FlagError(f"--set={_FIELD}: give --initial_variables=FOLDER instead.")
    variables = earlier()
    return own if variables is None else [*own, f"{_FIELD}={variables.digest}"]


def genotype(space: Space) -> Genotype | None:
    """Returns the earlier network where it is one of a space; None without one."""
    found = file()
    if found is None:
        return None
    try:
        return read_genotype(pathlib.Path(found).with_name("genotype.json"), space)
    except (GenotypeError, SpaceError):
        return None


def check_agrees(variables: PyTree) -> None:
    """Says how much of a network starts from the earlier one.

    Args:
      variables: `params` and `batch_stats` of the network.

    Raises:
      FlagError: nothing does.
    """
    found = earlier()
    if found is None:
        return
    num_agreeing, num_all = len(found.agreeing(variables)), len(flat_variables(variables))
    folder = flags.INITIAL_VARIABLES.value
    if not num_agreeing:
        raise FlagError(
            f"--initial_variables={folder}: none of its {len(found.arrays)} arrays has the name "
            "and shape of one of this network; name an earlier network that is like it, or leave "
            "it out."
        )
    console.print(
        f"{num_agreeing} of the network's {num_all} arrays start from {folder}; what has "
        "another name or shape starts anew."
    )


def say_start(space: Space) -> None:
    """Says what the trainings of a search start from."""
    folder = flags.INITIAL_VARIABLES.value
    if folder is not None:
        is_tried = "; that network is tried too" if genotype(space) is not None else ""
        console.print(
            f"trainings start from {folder} where names and shapes of arrays agree{is_tried}"
        )
