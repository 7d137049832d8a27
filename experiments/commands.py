"""What the experiments' commands share: one-line errors, and files."""

import csv
import io
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import app

from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.files import write_atomically


def start(name: str, main: Callable[[], None], *findings: type[Exception]) -> None:
    """Runs a command that takes flags only.

    A user's mistake is one line under `name` and exit code 2. Errors of the classes `findings`,
    which say that a comparison is void, are a line and code 1.
    """

    def guarded(argv: Sequence[str]) -> None:
        try:
            if extra := list(argv[1:]):
                raise FlagError(f"{name} takes flags only. Got {extra}.")
            main()
        except (UserError, *findings) as error:
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2 if isinstance(error, UserError) else 1)

    app.run(guarded)


def commit() -> str:
    """Returns the commit of the code in short; `-dirty` says that files differ from it."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    here = pathlib.Path(__file__).parent
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def write_json(file: pathlib.Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    write_atomically(file, (json.dumps(value, indent=1) + "\n").encode())


def write_csv(file: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(file, text.getvalue().encode())
