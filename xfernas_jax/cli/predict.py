"""The verb `predict`: classes of pictures by an exported network."""

import csv
import io
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.program import say
from xfernas_jax.data.pictures import find_pictures, some
from xfernas_jax.errors import FlagError, IncompleteError
from xfernas_jax.export.load import load_network
from xfernas_jax.export.predict import Prediction, check_same_classes, predict_files
from xfernas_jax.files import write_atomically
from xfernas_jax.space.registry import get_space

_SHOWN_FAILURES = 20


def predict(words: Sequence[str]) -> None:
    """Writes the class and the probabilities of each picture, as CSV or JSON.

    Args:
      words: files, and folders whose pictures are all taken.

    Raises:
      FlagError: there is no network or no picture, or --output has another suffix.
      IncompleteError: pictures could not be read; all others are written.
    """
    folders = [path for path in flags.MODEL.value if path]
    if not folders:
        raise FlagError(
            "predict needs --model=FOLDER, a network that `export` wrote (several, separated by "
            "commas: their mean)."
        )
    suffix = _suffix()
    files = _files(words)
    own = flags.SPACE.value
    space = get_space(own) if own is not None else None
    networks = [load_network(folder, space) for folder in folders]
    check_same_classes(networks)
    failures: list[Prediction] = []
    found = _readable(predict_files(networks, files), failures)
    names = networks[0].class_names
    if flags.OUTPUT.value is None:
        _write_csv(found, names, sys.stdout)
    else:
        _write_file(pathlib.Path(flags.OUTPUT.value), suffix, found, names)
    if failures:
        more = len(failures) - _SHOWN_FAILURES
        for failure in failures[:_SHOWN_FAILURES]:
            say(failure.failure)
        raise IncompleteError(
            f"{len(failures):,} of {len(files):,} pictures could not be read"
            f"{f' ({more:,} not named here)' if more > 0 else ''}; all others are predicted."
        )


def _suffix() -> str:
    """Returns the kind of --output."""
    if flags.OUTPUT.value is None:
        return ".csv"
    inputs.check_output()
    suffix = pathlib.Path(flags.OUTPUT.value).suffix.lower()
    if suffix not in (".csv", ".json"):
        raise FlagError(f"--output={flags.OUTPUT.value}: predictions are a .csv or a .json file.")
    return suffix


def _files(words: Sequence[str]) -> list[pathlib.Path]:
    """Returns the pictures that are named, and all of the folders."""
    if not words:
        raise FlagError("predict needs pictures: run.py predict --model=FOLDER FILE_OR_FOLDER ...")
    files: list[pathlib.Path] = []
    for word in words:
        path = pathlib.Path(word).expanduser()
        if not path.exists():
            raise FlagError(f"{word}: there is no such file or folder; check the path.")
        if not path.is_dir():
            files.append(path)
            continue
        pictures, others = find_pictures(path)
        if others:
            say(f"{word}: {len(others):,} files are no pictures ({some(others)}).")
        files += pictures
    if not files:
        raise FlagError(f"{', '.join(words):.200}: holds no pictures.")
    return files


def _readable(
    predictions: Iterator[Prediction], failures: list[Prediction]
) -> Iterator[Prediction]:
    """Gives what could be read, and keeps the rest."""
    for prediction in predictions:
        if prediction.probabilities is None:
            failures.append(prediction)
        else:
            yield prediction


def _write_csv(found: Iterator[Prediction], names: Sequence[str], stream: Any) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file", "class", "probability", *names])
    for prediction in found:
        shares = prediction.probabilities
        assert shares is not None
        best = int(shares.argmax())
        numbers = [f"{share:.6g}" for share in (shares[best], *shares)]
        writer.writerow([str(prediction.file), names[best], *numbers])
        stream.flush()


def _write_file(
    path: pathlib.Path, suffix: str, found: Iterator[Prediction], names: Sequence[str]
) -> None:
    if suffix == ".csv":
        text = io.StringIO()
        _write_csv(found, names, text)
        data = text.getvalue()
    else:
        data = json.dumps(list(_rows(found, names)), indent=1, ensure_ascii=False) + "\n"
    try:
        write_atomically(path, data.encode())
    except OSError as error:
        raise FlagError(f"{path} cannot be written ({error.strerror}).") from error


def _rows(found: Iterator[Prediction], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for prediction in found:
        shares = prediction.probabilities
        assert shares is not None
        best = int(shares.argmax())
        yield {
            "file": str(prediction.file),
            "class": names[best],
            "probability": float(shares[best]),
            "probabilities": dict(zip(names, map(float, shares), strict=True)),
        }
