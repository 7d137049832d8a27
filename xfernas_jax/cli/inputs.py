"""From flags to what the verbs work on: folders, the record, a study, what is written."""

import hashlib
import json
import pathlib
import re
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import numpy as np
from absl import flags as absl_flags

from xfernas_jax.cli import flags
from xfernas_jax.errors import FlagError
from xfernas_jax.files import check_writable, write_atomically
from xfernas_jax.history import (
    Storage,
    StudySpec,
    Task,
    default_storage_url,
    default_study_name,
)
from xfernas_jax.history.database import sqlite_file
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import get_space
from xfernas_jax.user_code import load_user_object

STUDIES = "studies"  # folder in --workdir


def storage_url() -> str:
    """Returns --storage, or the SQLite file in --workdir."""
    return flags.STORAGE.value or default_storage_url(_workdir())


def open_storage(create: bool = True) -> Storage:
    """Opens the record; a space of the user's own is loaded first, so that it can be read."""
    if ":" in flags.space_name():
        get_space(flags.space_name())
    return Storage(storage_url(), create=create)


def recorded_before() -> AbstractContextManager[Storage | None]:
    """Opens the record to read it; None where it would have to be made first."""
    file = sqlite_file(storage_url())
    if file is not None and not file.exists():
        return nullcontext()
    return open_storage(create=False)


def control(storage: Storage, study: str) -> AbstractContextManager[None]:
    """Makes this process the study's one controller, and lets a take-over by another interrupt it.

    Where SIGINT is ignored, as in the background of a script, the next evaluation ends it.
    """
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt() -> None:
        signal.pthread_kill(main_thread, signal.SIGINT)  # wakes it where it waits, too

    return storage.control(study, take_over=flags.TAKE_OVER.value, on_lost=interrupt)


def study_spec(
    kind: Any,
    task: Task,
    space: Space,
    recipe: str,
    config: Mapping[str, Any],
    wishes: Mapping[str, Any] | None = None,
) -> StudySpec:
    """Describes the study of this run.

    Its default name is made of task and configuration, or of the wishes that led to that.
    """
    full = {**(config if wishes is None else wishes), "kind": kind, "space": space.name}
    name = flags.STUDY.value or default_study_name(task, full)
    return StudySpec(name, kind, task, space.name, recipe, config)


def compile_cache_folder() -> str:
    """Returns the folder of compiled programs in --workdir."""
    return str(folder_of("compile_cache"))


def use_compiled_programs() -> None:
    """Lets this process keep what it compiles in --workdir, and read it again."""
    from xfernas_jax.train.compile_cache import use_compile_cache  # imports JAX

    use_compile_cache(compile_cache_folder(), absl_flags.FLAGS.compile_cache_gib)


def needed(name: str, value: str | None) -> str:
    """Returns a flag's value; `FlagError` where the command cannot do without it."""
    if not value:
        raise FlagError(f"This command needs --{name}.")
    return value


def check_output() -> None:
    """Raises `FlagError` where --output could not be written at the end."""
    if flags.OUTPUT.value:
        try:
            check_writable(flags.OUTPUT.value)
        except OSError as error:
            raise FlagError(
                f"--output={flags.OUTPUT.value} cannot be written ({error.strerror}); name a file "
                "in a folder that you may write to."
            ) from error


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    try:
        write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())
    except OSError as error:
        raise FlagError(f"{path} cannot be written ({error.strerror}).") from error


def write_output(value: Any) -> None:
    """Writes --output, where it is wanted."""
    if flags.OUTPUT.value:
        write_json(pathlib.Path(flags.OUTPUT.value), value)


def folder_of(*names: str) -> pathlib.Path:
    """Returns a folder in --workdir; characters that a path gives a meaning are replaced."""
    parts = []
    for name in names:
        safe = re.sub(r"[^\w.=+-]", "_", name)[:100].lstrip(".")
        if safe != name:
            safe += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
        parts.append(safe)
    return _workdir().joinpath(*parts)


def _workdir() -> pathlib.Path:
    """Returns --workdir, which the record, the results and the compiled programs share."""
    try:
        return pathlib.Path(flags.WORKDIR.value).expanduser().absolute()
    except RuntimeError as error:
        raise FlagError(f"--workdir={flags.WORKDIR.value:.160}: {error}") from error


def architecture_numbers() -> Callable[[np.ndarray], np.ndarray] | None:
    """Loads the function that the flag names, if it names one."""
    address = flags.ARCHITECTURE_NUMBERS.value
    if not address:
        return None
    found = load_user_object(address, "function of architecture numbers", FlagError)
    if not callable(found):
        raise FlagError(
            f"--architecture_numbers={address} must be a function from tokens [N, L] to numbers "
            f"[N, F]. Found {found!r:.80}."
        )
    return cast(Callable[[np.ndarray], np.ndarray], found)
