"""The course of a training: how its progress goes from 0 to 1 by its steps, and how that changes.

A course is three numbers, float32: from `start_step` with `start_progress` the progress goes
linearly to 1 at `end_step`. It is data of the state, so revising it compiles nothing. Steps up to
2^24 are exact.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np


def first_course(num_steps: int) -> np.ndarray:
    """Returns the course of a training of so many steps."""
    return np.array([0, 0, num_steps], np.float32)


def progress_at(course: Any, step: Any) -> Any:
    """Returns the share of the training that is done before a step, in [0, 1].

    Args:
      course: `[3]` float32: start_step, start_progress, end_step.
      step: int32, at least start_step.
    """
    start_step, start_progress, end_step = course
    share = (step - start_step) / jnp.maximum(end_step - start_step, 1.0)
    return jnp.clip(start_progress + (1.0 - start_progress) * share, 0.0, 1.0)


def revised(course: np.ndarray, step: int, end_step: int) -> np.ndarray:
    """Returns the course that goes from where it is at `step` to 1 at `end_step`."""
    start_step, start_progress, old_end = (float(x) for x in course)
    share = (step - start_step) / max(old_end - start_step, 1.0)
    progress = min(start_progress + (1.0 - start_progress) * share, 1.0)
    return np.array([step, progress, end_step], np.float32)
