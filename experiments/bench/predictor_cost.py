"""Measures what a surrogate costs: the sources once, and a round by the length of the history.

    taskset -c 0 python -m experiments.bench.predictor_cost --output=cost.json

A round is `condition` on the observations and a prediction of 4,096 candidates, and for `nao` the
two ascents with decoding. Times are medians after a warm-up, on the cores that
`taskset` leaves. The source histories
are synthetic (additive scores), for their length alone matters here.
"""

import resource
import time
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from experiments.bench.machine import BenchFlags
from experiments.commands import start
from xfernas_jax.predictor import cache
from xfernas_jax.predictor.base import Surrogate, TaskHistory
from xfernas_jax.predictor.registry import make_surrogate
from xfernas_jax.space.registry import get_space

_SPACE = flags.DEFINE_string("space", "nasbench201", "Search space.")
_SURROGATE = flags.DEFINE_string("surrogate", "head", "Surrogate: head, joint or graph.")
_SOURCES = flags.DEFINE_list(
    "source_evaluations", ["1000", "10000", "100000", "1000000"], "In all, over four sources."
)
_HISTORY = flags.DEFINE_list("history", ["5", "20", "50", "100", "200"], "Target observations.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Measurements of each round.", lower_bound=1)
_BENCH = BenchFlags(threads=False)

_NUM_CANDIDATES = 4096


def seconds_of(action: Callable[[], object]) -> float:
    """Returns the wall time of one call."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main() -> None:
    """Measures and prints."""
    _BENCH.begin()

    space, rng = get_space(_SPACE.value), np.random.default_rng(0)
    weights = rng.normal(size=(5, len(space.choices), len(space.vocabulary)))
    weights = weights[:1] + 0.5 * weights
    positions = np.arange(len(space.choices))

    def history(task: int, num_rows: int) -> TaskHistory:
        tokens = space.sample_tokens(rng, num_rows)
        scores = weights[task][positions, tokens].sum(1) + 0.1 * rng.normal(size=num_rows)
        return TaskHistory(str(task), tokens, scores)

    def build(sources: Sequence[TaskHistory]) -> Surrogate:
        return make_surrogate(_SURROGATE.value, space, sources)

    empty = TaskHistory("none", np.zeros((0, len(positions)), np.int32), np.zeros(0))
    learned = []
    for text in [_SOURCES.value[0], *_SOURCES.value]:  # the first is the warm-up
        sources = [history(task, int(text) // 4) for task in range(1, 5)]
        cache.clear_memory()
        seconds = seconds_of(lambda s=sources: build(s).condition(empty))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        learned.append({"evaluations": int(text), "seconds": seconds, "peak_gib": memory})
        warm = "with compilation" if len(learned) == 1 else "warm or of another size"
        print(f"sources {int(text):>9,}: {seconds:7.2f} s  peak {memory:.2f} GiB  ({warm})")
    surrogate = build([history(task, 200) for task in range(1, 5)])
    candidates = space.sample_tokens(rng, _NUM_CANDIDATES)
    rounds = []
    for text in _HISTORY.value:
        target = history(0, int(text))

        def score(t: TaskHistory = target, s: Surrogate = surrogate) -> None:
            s.condition(t).mean(candidates)

        def ascend(t: TaskHistory = target, s: Surrogate = surrogate) -> None:
            posterior = s.condition(t)
            for _ in range(2):
                posterior.ascend(np.random.default_rng(0), candidates[:20])

        first = seconds_of(score) + seconds_of(ascend)
        scored = np.median([seconds_of(score) for _ in range(_REPEATS.value)])
        ascended = np.median([seconds_of(ascend) for _ in range(_REPEATS.value)])
        times = {"score": float(scored), "ascend": float(ascended), "first": first}
        rounds.append({"history": int(text), **times})
        print(
            f"history {int(text):>5}: score 4,096 {scored:.3f} s  ascend, decode {ascended:.3f} s"
        )
    names = {"space": space.name, "surrogate": _SURROGATE.value}
    _BENCH.end({**names, "sources": learned, "rounds": rounds})


if __name__ == "__main__":
    start("predictor_cost", main)
