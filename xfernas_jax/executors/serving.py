"""What a worker does, wherever it runs: it answers requests with one evaluator, built once.

Requests are `("evaluate", job, stop)`, `("test", genotype, variables)` and, of the same and a part,
`("answer", ...)`. An answer is some messages: `("started",)` and `("epoch", number, value)` of
an evaluation, and at last `("done", value)` or `("failed", user's mistake or None, traceback)`. A
worker that needs time to start says `("ready", ...)` first. Nothing heavy is imported before the
first request.
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
      build: returns the evaluator; tried again with the next request where it fails.
      requests: are read one after the other.
      tell: takes each message.
    """
    evaluator = None
    while True:
        request = requests.get()
        try:
            if evaluator is None:
                evaluator = build()
            message = ("done", _answer(evaluator, pickle.loads(request), tell))
        except Exception as error:
            message = _failure(error)
        tell(message)


def build_evaluator(setup: bytes) -> Any:
    """Builds what scores, on all devices that this process sees.

    Args:
      setup: a pickled `EvaluatorSpec` and `Runtime`.
    """
    from xfernas_jax.train.compile_cache import use_compile_cache

    spec, runtime = pickle.loads(setup)
    if runtime.compile_cache is not None:
        use_compile_cache(runtime.compile_cache, runtime.compile_cache_gib)
    return spec.build(runtime)


def _answer(
    evaluator: Any, request: tuple[Any, ...], tell: Callable[[tuple[Any, ...]], None]
) -> Any:
    """Evaluates a job, or measures given variables on the test part."""
    from xfernas_jax.evaluate.base import Answering
    from xfernas_jax.evaluate.broken import evaluate_safely

    if request[0] == "test":
        return evaluator.test(*request[1:])
    if request[0] == "answer":
        return evaluator.answer(*request[1:]) if isinstance(evaluator, Answering) else None
    (_, job, stop) = request
    tell(("started",))

    def on_epoch(epoch: int, value: float) -> None:
        tell(("epoch", epoch, value))

    return evaluate_safely(evaluator, job, on_epoch, stop)


def _failure(error: Exception) -> tuple[Any, ...]:
    from xfernas_jax.errors import UserError

    mistake = error if isinstance(error, UserError) else None
    return ("failed", mistake, "".join(traceback.format_exception(error)))
