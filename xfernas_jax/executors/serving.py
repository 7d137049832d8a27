"""What a worker does, wherever it runs: it answers requests with one benchmark, built once.

Requests are `("evaluate", job)` and `("test", genotype, variables)`. An answer is some messages:
`("started",)` and `("epoch", number, valid_accuracy)` of an evaluation, and at last
`("done", value)` or `("failed", user's mistake or None, traceback)`. A worker that needs time to
start says `("ready", ...)` first. Nothing heavy is imported before the first request.
"""

import pickle
import queue
import traceback
from collections.abc import Callable
from typing import Any, NoReturn


def serve(
    build: Callable[[], Any],
    requests: "queue.SimpleQueue[bytes]",
    tell: Callable[[tuple[Any, ...]], None],
) -> NoReturn:
    """Answers pickled requests for ever.

    Args:
      build: returns the benchmark; tried again with the next request where it fails.
      requests: are read one after the other.
      tell: takes each message.
    """
    benchmark = None
    while True:
        request = requests.get()
        try:
            if benchmark is None:
                benchmark = build()
            message = ("done", _answer(benchmark, pickle.loads(request), tell))
        except Exception as error:
            message = _failure(error)
        tell(message)


def _answer(
    benchmark: Any, request: tuple[Any, ...], tell: Callable[[tuple[Any, ...]], None]
) -> Any:
    """Evaluates a job, or measures the test accuracy of given variables."""
    if request[0] == "test":
        return benchmark.test_accuracy(*request[1:])
    (_, job) = request
    tell(("started",))

    def on_epoch(epoch: int, valid_accuracy: float) -> None:
        tell(("epoch", epoch, valid_accuracy))

    return benchmark.evaluate(job.genotype, job.seed, job.purpose, on_epoch, job.stop)


def _failure(error: Exception) -> tuple[Any, ...]:
    from xfernas_jax.errors import UserError

    mistake = error if isinstance(error, UserError) else None
    return ("failed", mistake, "".join(traceback.format_exception(error)))
