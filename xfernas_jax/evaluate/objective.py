"""An evaluator that is a function of the user's: from an architecture to a score."""

import inspect
import math
import platform
import time
from collections.abc import Callable
from typing import Any

from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import OnEpoch, Scored, Stop
from xfernas_jax.evaluate.broken import describe, one_line
from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Job, Result, Task
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.user_code import load_user_object, unchanged_process

RECIPE = "objective"
"""The fingerprint of every objective: how it scores is the user's affair."""

_LARGEST = 1e300  # that a record takes


class ObjectiveEvaluator:
    """Scores architectures by a function of the user's; see the `Evaluator` protocol.

    The function gets the JSON object of the architecture and, where it has a parameter `seed`, a
    seed; it returns a finite number, larger is better, in any unit. What it raises, and any other
    value, makes a failed evaluation, and the search goes on.
    """

    def __init__(self, space: Space, address: str) -> None:
        """Loads the function.

        Args:
          space: of the genotypes.
          address: `module:FUNCTION`.

        Raises:
          FlagError: there is no such function, or it takes other arguments.
        """
        self.space, self.recipe, self._address = space, RECIPE, address
        self._function = _load(address)
        self.takes_seed = "seed" in _parameters(self._function)
        # Two searches of equal address go on with each other's record.
        self.task = Task(f"objective:{address}", "none: the objective's own affair", None, SCORE)

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        """Calls the function; there are no epochs, so nothing is told of and nothing is asked."""
        del on_epoch, stop
        start = time.monotonic()
        score, failure = self._score(job.genotype, job.seed)
        return Scored(
            Result(
                status="failed" if score is None else "complete",
                value=score,
                curve=() if score is None else (score,),
                seconds=time.monotonic() - start,
                failure=failure,
                versions=(("python", platform.python_version()),),
            )
        )

    def test(self, genotype: Genotype, variables: Any) -> None:
        """Returns None: an objective has no test part."""
        del genotype, variables

    def _score(self, genotype: Genotype, seed: int) -> tuple[float | None, str]:
        """Returns the score, or None and a line that says why there is none."""
        seeds = {"seed": seed} if self.takes_seed else {}
        try:
            with unchanged_process():
                value = self._function(self.space.to_json(genotype), **seeds)
        except (Exception, SystemExit) as error:
            return None, describe(error)
        score = _number(value)
        if score is None:
            return None, one_line(f"{self._address} returns a finite number. Got {value!r:.80}")
        return score, ""


def _load(address: str) -> Callable[..., Any]:
    function = load_user_object(address, "objective", FlagError)
    if not callable(function):
        raise FlagError(
            f"--objective={address} must be a function from an architecture to a number. "
            f"Found {function!r:.80}."
        )
    needed = [p.name for p in _parameters(function).values() if _is_needed(p)]
    if len([name for name in needed if name != "seed"]) > 1:
        raise FlagError(
            f"--objective={address} is called with the architecture and, where it has a parameter "
            f"of that name, seed=...; it needs {', '.join(needed)}."
        )
    return function


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters by name; none where Python cannot tell."""
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def _is_needed(parameter: inspect.Parameter) -> bool:
    packs = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in packs


def _number(value: Any) -> float | None:
    """Returns a finite number as float, also from the scalars of array libraries; else None."""
    if isinstance(value, (str, bytes, bytearray)) or getattr(value, "ndim", 0) != 0:
        return None
    try:
        number = float(value)
    except Exception:  # of whatever the user returned
        return None
    return number if math.isfinite(number) and abs(number) <= _LARGEST else None
