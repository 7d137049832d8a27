"""A user's module for --objective: a space and functions that score its architectures."""

import os
import pathlib
import sys
import tempfile
import time

from xfernas_jax import CategoricalSpace

SPACE = CategoricalSpace("four_letters", {f"p{i}": ("a", "b", "c", "d") for i in range(4)})
NOT_A_FUNCTION = 3


def distance(genotype):
    """Minus the distance from `aaaa`, less 100."""
    return -100.0 - sum("abcd".index(value) for value in genotype["values"].values())


def twice_the_distance(genotype, seed):
    return 2 * distance(genotype) + 200 + (seed % 7) / 100


def slow(genotype):
    time.sleep(0.2)
    return distance(genotype)


def fragile(genotype):
    first = genotype["values"]["p0"]
    if first == "a":
        raise ValueError("p0 is\n a\x1b[31m")
    if first == "b":
        return "three" if genotype["values"]["p1"] in "ab" else float("nan")
    if first == "c":
        sys.exit("out of memory")
    return distance(genotype)


def broken(genotype):
    return genotype["no such field"]


def stops_once(genotype):
    """Is interrupted as by Ctrl-C at its fourth call, of all processes of a folder."""
    file = pathlib.Path(os.environ["OBJECTIVE_CALLS"])
    calls = file.read_text() if file.is_file() else ""
    file.write_text(calls + ".")
    if len(calls) == 3:
        raise KeyboardInterrupt
    return distance(genotype)


def wanders(genotype):
    os.chdir(tempfile.gettempdir())
    return distance(genotype)


def two_arguments(genotype, budget):
    return 0.0
