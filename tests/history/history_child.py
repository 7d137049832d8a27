"""Appends evaluations FIRST..LAST-1 and prints each index once it is durable.

Usage: history_child.py URL FIRST LAST. A line "ready" comes first.
"""

import sys

from history_space import get_space, make_spec, numbered_evaluation

from xfernas_jax.history.storage import Storage


def main(url: str, first: str, last: str) -> None:
    with Storage(url, get_space=get_space) as storage:
        storage.create_or_open(make_spec())
        print("ready", flush=True)
        for index in range(int(first), int(last)):
            storage.append("study", numbered_evaluation(index))
            print(index, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
