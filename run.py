"""xfernas_jax: transfer neural architecture search.

run.py                    the demo: a search for `digits` that learns from bundled histories
run.py search             a search for --dataset
run.py collect            random architectures of --dataset, as a source for later searches
run.py train              one architecture of --genotype, with checkpoints
run.py export             the best network of a study, to be run by JAX alone
run.py report             a page about a search, with pictures and their data
run.py history list|import|export
"""

import os
import signal
import sys
from typing import NoReturn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, logging
from absl import flags as absl_flags

from xfernas_jax.cli import commands, flags, inputs
from xfernas_jax.errors import TrainingInterruptedError, UserError
from xfernas_jax.train.compile_cache import use_compile_cache

absl_flags.adopt_module_key_flags(flags)  # so that --help shows them


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    use_compile_cache(inputs.compile_cache_folder(), flags.COMPILE_CACHE_GIB.value)
    commands.run(tuple(argv[1:]))


def parse(argv: list[str]) -> list[str]:
    try:
        return flags.parse(argv)
    except UserError as error:
        return fail(error)


def fail(error: UserError) -> NoReturn:
    line = " ".join(str(error).split())
    # Names of files may hold what would command the terminal.
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"run.py: {shown}", file=sys.stderr)
    sys.exit(2)


def guarded(argv: list[str]) -> None:
    try:
        main(argv)
    except UserError as error:
        fail(error)
    except TrainingInterruptedError as interrupted:
        text = f"SIGTERM: {interrupted} The same command goes on from there."
        print(f"run.py: {text}", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:
        print("run.py: stopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    app.run(guarded, flags_parser=parse)
