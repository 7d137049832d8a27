"""Appends evaluations FIRST..LAST-1 to a study and prints each index once it is durable.

Usage: history_child.py URL FIRST LAST [--study=NAME] [--control]. A line "ready" comes first. With
--control it holds the study's lease meanwhile; without it being given, one line and code 2.
"""

import argparse
import contextlib
import sys

from history_space import get_space, make_spec, numbered_evaluation

from xfernas_jax.errors import LeaseError
from xfernas_jax.history.storage import Storage


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--study", default="study")
    parser.add_argument("--control", action="store_true")
    given = parser.parse_args()
    with Storage(given.url, get_space=get_space) as storage:
        control = storage.control(given.study) if given.control else contextlib.nullcontext()
        with control:
            storage.create_or_open(make_spec(given.study))
            print("ready", flush=True)
            for index in range(given.first, given.last):
                storage.append(given.study, numbered_evaluation(index))
                print(index, flush=True)


if __name__ == "__main__":
    try:
        main()
    except LeaseError as error:
        print(f"LeaseError: {error}", flush=True)
        sys.exit(2)
