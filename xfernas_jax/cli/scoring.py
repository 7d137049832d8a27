"""The one builder of evaluations: from flags to a spec, and to the executor that runs it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from xfernas_jax.cli import flags, goals, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.recipes import Recipe, default_recipe, get_recipe
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import EvaluatorSpec, ObjectiveSpec, TrainedSpec
from xfernas_jax.evaluate.trained import check_fits
from xfernas_jax.executors import ray_cluster
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.devices import device_groups, find_devices
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.executors.local import LocalExecutor
from xfernas_jax.executors.ray import RayExecutor
from xfernas_jax.executors.ray_resources import reserve
from xfernas_jax.options import from_flags, neutral_words
from xfernas_jax.space.base import Space
