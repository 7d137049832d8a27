"""What the experiments' commands share: one-line errors, and `tabular_search` as a step."""

import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xfernas_jax.errors import UserError


def guarded(
    name: str, main: Callable[[Sequence[str]], None], *findings: type[Exception]
) -> Callable[[Sequence[str]], None]:
    """Returns `main` with a user's mistake as one line under `name` and exit code 2.

    Errors of the classes `findings`, which say that a comparison is void, are a line and code 1.
    """

    def run(argv: Sequence[str]) -> None:
        try:
            main(argv)
        except (UserError, *findings) as error:
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2 if isinstance(error, UserError) else 1)

    return run


def search_table(
    output: pathlib.Path, optimizers: Sequence[str], values: Mapping[str, Any], more: Sequence[str]
) -> None:
    """Runs what is missing of a `tabular_search` in a process of its own; ends with it.

    Args:
      output: its folder.
      optimizers: names.
      values: other flags by name.
      more: flags as a user gave them, without the dashes.
    """
    flags = {"output": output, "optimizers": ",".join(optimizers), **values}
    command = [sys.executable, "-m", "experiments.tabular_search"]
    command += [*(f"--{name}={value}" for name, value in flags.items()), *(f"--{x}" for x in more)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(2)  # it has said why
