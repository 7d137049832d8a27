"""How this program is called, and what it says on stderr."""

import os
import sys


def program() -> str:
    """Returns `run.py`, or the console command where something else was started."""
    return "run.py" if os.path.basename(sys.argv[0]) == "run.py" else "xfernas"


def say(line: str) -> None:
    """Prints a line on stderr, after the program's name."""
    print(f"{program()}: {line}", file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """Joins lines; names of files may hold what would command the terminal."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
