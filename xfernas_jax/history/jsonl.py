"""History files: a study as JSON Lines, one header line and one line for each evaluation.

The header is `{"format": "xfernas_jax history", "version": 2, "num_evaluations": N, "spec": {...},
"provenance": {...}}`; files of version 1 are read as well. A name that ends in `.gz` is compressed;
equal content gives equal bytes.
"""

import contextlib
import dataclasses
import gzip
import os
import pathlib
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from xfernas_jax.errors import HistoryError, SpaceError
from xfernas_jax.files import write_atomically
from xfernas_jax.history import fields, serialize
from xfernas_jax.history.record import Evaluation, StudySpec
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import lookup_space

FORMAT = "xfernas_jax history"
_HEADER: Mapping[str, fields.Reader] = {
    **dict.fromkeys(("version", "num_evaluations"), fields.integer),
    **dict.fromkeys(("spec", "provenance"), fields.check_object),
    "format": fields.string,
}
_LONGEST_LINE = 8 * 2**20  # bytes; a line of a 600-epoch curve has about 15 kB

File = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class HistoryHeader:
    """The first line of a history file.

    Attributes:
      spec: what the study is about.
      provenance: JSON object that says where the numbers come from: command, versions, date.
      num_evaluations: how many lines follow.
    """

    spec: StudySpec
    provenance: Mapping[str, Any]
    num_evaluations: int


def write_jsonl(
    file: File,
    spec: StudySpec,
    evaluations: Sequence[Evaluation],
    provenance: Mapping[str, Any] | None = None,
    *,
    get_space: Callable[[str], Space] = lookup_space,
) -> None:
    """Writes a study to a file, whole or not at all; an old file of the name is replaced.

    Raises:
      HistoryError: the file cannot be written, two evaluations have one key, or one has
        another recipe than the study or values that its metric has not.
    """
    header = {
        "format": FORMAT,
        "version": serialize.VERSION,
        "num_evaluations": len(evaluations),
        "spec": serialize.spec_to_json(spec),
        "provenance": dict(provenance or {}),
    }
    space = get_space(spec.space)
    lines = [serialize.canonical_json(header)]
    seen: dict[str, int] = {}
    for number, evaluation in enumerate(evaluations, start=2):
        where = f"{os.fspath(file)}:{number}"
        try:
            serialize.check_values(spec.task.metric, evaluation)
        except HistoryError as error:
            raise HistoryError(f"{where}: {error}") from error
        _check_member(spec, evaluation, seen, number, where)
        lines.append(serialize.ordered_json(serialize.evaluation_to_json(space, evaluation)))
    data = "".join(f"{line}\n" for line in lines).encode()
    path = pathlib.Path(file)
    if path.name.endswith(".gz"):
        data = gzip.compress(data, compresslevel=9, mtime=0)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise HistoryError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --file."
        ) from error


def read_header(file: File) -> HistoryHeader:
    """Reads the first line only; raises as `read_jsonl` does."""
    with contextlib.closing(_numbered_lines(file)) as lines:
        return _parse_header(next(lines, (1, b""))[1], f"{os.fspath(file)}:1")


def read_jsonl(
    file: File, *, get_space: Callable[[str], Space] = lookup_space
) -> tuple[StudySpec, tuple[Evaluation, ...]]:
    """Reads a study from a file that `write_jsonl` wrote.

    Raises:
      HistoryError: the file cannot be read, was cut off, or a line breaks a rule; the message
        begins with `FILE:LINE`.
      SpaceError: the study's space is not known here.
    """
    name = os.fspath(file)
    evaluations: list[Evaluation] = []
    seen: dict[str, int] = {}
    with contextlib.closing(_numbered_lines(file)) as lines:
        header = _parse_header(next(lines, (1, b""))[1], f"{name}:1")
        try:
            space = get_space(header.spec.space)
        except SpaceError as error:
            raise SpaceError(f"{name}:1: {error}") from error
        for number, line in lines:
            where = f"{name}:{number}"
            if len(evaluations) == header.num_evaluations:
                raise HistoryError(
                    f"{where}: the header announces {header.num_evaluations} evaluations, but "
                    "there are more lines; export anew."
                )
            value = serialize.parse_json(line, where)
            evaluation = serialize.evaluation_from_json(space, header.spec, value, where)
            _check_member(header.spec, evaluation, seen, number, where)
            evaluations.append(evaluation)
    if len(evaluations) < header.num_evaluations:
        raise HistoryError(
            f"{name}:{len(evaluations) + 2}: the file ends after {len(evaluations)} of "
            f"{header.num_evaluations} evaluations, so it was cut off; copy or export it anew."
        )
    return header.spec, tuple(evaluations)


def _parse_header(line: bytes, where: str) -> HistoryHeader:
    value = serialize.parse_json(line, where)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise HistoryError(
            f'{where}: the first line of a history has "format": "{FORMAT}"; '
            "`python run.py history export` writes such a file."
        )
    version = value.get("version")
    if type(version) is not int or not 1 <= version <= serialize.VERSION:
        raise HistoryError(
            f"{where}: format version {version!r:.20} is not known, this xfernas_jax reads "
            f"versions 1 to {serialize.VERSION}; update xfernas_jax or export with a matching one."
        )
    header = fields.read(value, _HEADER, where, "header")
    spec = serialize.spec_from_json(header["spec"], where, version)
    return HistoryHeader(spec, header["provenance"], header["num_evaluations"])


def _check_member(
    spec: StudySpec, evaluation: Evaluation, seen: dict[str, int], number: int, where: str
) -> None:
    """Raises where an evaluation is not of the study, or is there already; notes its key."""
    if evaluation.recipe != spec.recipe:
        raise HistoryError(
            f"{where}: recipe {evaluation.recipe!r:.60} is not that of the study "
            f"({spec.recipe!r:.60}); a file holds one recipe."
        )
    key = serialize.evaluation_key(evaluation)
    if key in seen:
        raise HistoryError(
            f"{where}: network, recipe, seed and purpose are those of line {seen[key]}; "
            "remove one of the two and correct num_evaluations in line 1."
        )
    seen[key] = number


def _numbered_lines(file: File) -> Generator[tuple[int, bytes], None, None]:
    """Yields the lines with their numbers, from 1; wraps what goes wrong in reading."""
    name = os.fspath(file)
    number = 0
    try:
        with gzip.open(file, "rb") if name.endswith(".gz") else open(file, "rb") as stream:
            while line := stream.readline(_LONGEST_LINE + 1):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise HistoryError(
                        f"{name}:{number}: a line has at most {_LONGEST_LINE} bytes; this is no "
                        "history file."
                    )
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise HistoryError(
            f"{name}:{number + 1}: the compressed data is damaged ({error}); copy it anew."
        ) from error
    except OSError as error:
        raise HistoryError(
            f"{name}: cannot be read ({error.strerror or error}); check path and permissions."
        ) from error
