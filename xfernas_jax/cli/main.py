"""The command line: `run.py`, `xfernas` and `python -m xfernas_jax` all call `main`."""

import io
import os
import signal
import sys
from collections.abc import Sequence

from absl import logging

from xfernas_jax.cli import flags, help, verbs
from xfernas_jax.cli.program import one_line, program, say
from xfernas_jax.errors import TrainingInterruptedError, UserError
from xfernas_jax.version import __version__

_HELP = ("--help", "-help", "-h", "--helpshort", "-?")


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):  # names may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if os.getcwd() not in sys.path:  # modules of the user's own; after all that is installed
        sys.path.append(os.getcwd())
    return guarded(sys.argv[1:])


def guarded(words: Sequence[str]) -> int:
    """Runs a command line; a mistake of the user's is one line and code 2.

    Code 1 says that a part was done.
    """
    try:
        _run(words)
        sys.stdout.flush()
    except UserError as error:
        say(one_line(str(error)))
        return error.exit_code
    except TrainingInterruptedError as interrupted:
        say(f"SIGTERM: {interrupted} The same command goes on from there.")
        return 128 + signal.SIGTERM
    except MemoryError as error:  # NumPy's says how much; what is recorded stays
        say(
            f"There is not enough memory: {one_line(str(error)) or 'an array does not fit'}. Take "
            "smaller or fewer images (--set=data.image_size=N, --set=data.train_examples=N), fewer "
            "at a time (--set=train.batch_size=N), or a smaller network. The same command goes on "
            "from what is recorded."
        )
        return 2
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here.")
        return 130
    except (AssertionError, RuntimeError):  # of JAX, where it has no device
        if not _lacks_devices():
            raise
        say(
            f"JAX finds no device here of those that JAX_PLATFORMS={os.environ['JAX_PLATFORMS']} "
            "names. Unset it, or install what it needs (BUILD.md, Accelerators)."
        )
        return 2
    except BrokenPipeError:  # who read our output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return 0


def _lacks_devices() -> bool:
    """Tells whether the user named devices of which JAX finds none."""
    if not os.environ.get("JAX_PLATFORMS"):
        return False
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError):
        return True
    return False


def _run(words: Sequence[str]) -> None:
    told = _told(words)
    if told is not None:
        print(told)
        return
    verb, others = verbs.find(flags.parse([program(), *words])[1:])
    for line in verbs.unused_flags(verb):
        say(line)
    if verb.compiles and not flags.DRY_RUN.value:  # which keeps nothing
        from xfernas_jax.cli.inputs import use_compiled_programs

        use_compiled_programs()
    verb.run(others)


def _told(words: Sequence[str]) -> str | None:
    """Returns what a request for help or the version is answered; None where there is none."""
    if "--version" in words:
        return f"xfernas_jax {__version__}"
    if "--helpfull" in words:
        return help.of_all(program())
    if not any(word in words for word in _HELP):
        return None
    named = [word for word in words if not word.startswith("-")]
    return help.of_verb(program(), verbs.find(named)[0]) if named else help.overview(program())
