"""Transfer neural architecture search in JAX: reuse the histories of earlier searches.

What stands here is public and described in docs/API.md. This level stays light: it loads neither
JAX nor TensorFlow, Optuna, Ray or torch; a name that needs one is imported when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xfernas_jax.errors import UserError
from xfernas_jax.space import (
    SPACES,
    CategoricalSpace,
    Space,
    get_space,
    read_genotype,
    write_genotype,
)
from xfernas_jax.version import __version__

if TYPE_CHECKING:
    from xfernas_jax.data.base import ImageDataset
    from xfernas_jax.evaluate.base import Evaluator, Scored
    from xfernas_jax.executors.base import Executor
    from xfernas_jax.executors.in_process import InProcessExecutor
    from xfernas_jax.export.load import LoadedNetwork, load_network
    from xfernas_jax.history.goal import Goal
    from xfernas_jax.history.memory import MemoryRecord
    from xfernas_jax.history.metric import Metric
    from xfernas_jax.history.record import Evaluation, Job, Record, Result, Task
    from xfernas_jax.history.sources import bundled_histories
    from xfernas_jax.history.storage import Storage
    from xfernas_jax.nn.costs import Cost
    from xfernas_jax.predictor.base import Posterior, Surrogate, TaskHistory
    from xfernas_jax.search.ask_tell import AskTell
    from xfernas_jax.search.base import Optimizer
    from xfernas_jax.search.desk import Desk
    from xfernas_jax.search.plan import SearchPlan
    from xfernas_jax.search.schedule import Ask, Schedule
    from xfernas_jax.search.search import Search
    from xfernas_jax.search.seen import Seen, Suggestion
    from xfernas_jax.search.xfer_sampler import XferSampler
    from xfernas_jax.train.scores import TrainedMetric

__all__ = [
    "SPACES",
    "Ask",
    "AskTell",
    "CategoricalSpace",
    "Cost",
    "Desk",
    "Evaluation",
    "Evaluator",
    "Executor",
    "Goal",
    "ImageDataset",
    "InProcessExecutor",
    "Job",
    "LoadedNetwork",
    "MemoryRecord",
    "Metric",
    "Optimizer",
    "Posterior",
    "Record",
    "Result",
    "Schedule",
    "Scored",
    "Search",
    "SearchPlan",
    "Seen",
    "Space",
    "Storage",
    "Suggestion",
    "Surrogate",
    "Task",
    "TaskHistory",
    "TrainedMetric",
    "UserError",
    "XferSampler",
    "__version__",
    "bundled_histories",
    "get_space",
    "load_network",
    "read_genotype",
    "write_genotype",
]

_LAZY = {
    "Ask": "search.schedule",
    "AskTell": "search.ask_tell",
    "Cost": "nn.costs",
    "Desk": "search.desk",
    "Evaluation": "history.record",
    "Evaluator": "evaluate.base",
    "Executor": "executors.base",
    "Goal": "history.goal",
    "ImageDataset": "data.base",
    "InProcessExecutor": "executors.in_process",
    "Job": "history.record",
    "LoadedNetwork": "export.load",
    "MemoryRecord": "history.memory",
    "Metric": "history.metric",
    "Optimizer": "search.base",
    "Posterior": "predictor.base",
    "Record": "history.record",
    "Result": "history.record",
    "Schedule": "search.schedule",
    "Scored": "evaluate.base",
    "Search": "search.search",
    "SearchPlan": "search.plan",
    "Seen": "search.seen",
    "Storage": "history.storage",
    "Suggestion": "search.seen",
    "Surrogate": "predictor.base",
    "Task": "history.record",
    "TaskHistory": "predictor.base",
    "TrainedMetric": "train.scores",
    "XferSampler": "search.xfer_sampler",
    "bundled_histories": "history.sources",
    "load_network": "export.load",
}


def __getattr__(name: str) -> Any:
    """Imports what needs Optuna and JAX when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
