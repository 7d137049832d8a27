"""Learning rate and Optax optimizer of a training."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from xfernas_jax.errors import RecipeError
from xfernas_jax.registry import near_hint
from xfernas_jax.train.config import TrainConfig
from xfernas_jax.types import PyTree
from xfernas_jax.user_code import load_user_object

_FIRST = 0.04  # of the learning rate, at the first step of a warm-up
_NOT_DECAYED = ("bias", "scale")  # by name too: scanned cells stack theirs to two dimensions


def learning_rate_factor(progress: Any, config: TrainConfig) -> Any:
    """Returns the factor of `learning_rate` at a progress in [0, 1].

    A warm-up rises linearly from 1/25, as in PyTorch's `OneCycleLR`. After it "cosine" is a
    cosine from 1 towards 0, which it reaches at the end unless `schedule_epochs` is longer, and
    "one_cycle" a line from 1 to 0.
    """
    rest = (progress - config.warmup) / (1.0 - config.warmup)
    if config.schedule == "one_cycle":
        falling = 1.0 - rest
    else:
        share = config.epochs / (config.schedule_epochs or config.epochs)
        falling = 0.5 * (1.0 + jnp.cos(math.pi * share * rest))
    if not config.warmup:
        return falling
    rising = _FIRST + (1.0 - _FIRST) * progress / config.warmup
    return jnp.where(progress < config.warmup, rising, falling)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Builds clipping, weight decay and momentum, at the constant `learning_rate`.

    The step multiplies the updates by `learning_rate_factor`: Optax scales by the learning rate
    last, so that is the same.

    Raises:
      RecipeError: for an optimizer that Optax does not have or that fails to build.
    """
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    if config.optimizer != "sgd":
        return _flat(*clip, _named_optimizer(config))
    sgd = optax.sgd(config.learning_rate, config.momentum, config.nesterov)
    if not config.weight_decay:
        return _flat(*clip, sgd)
    if config.decay_all:
        return _flat(*clip, optax.add_decayed_weights(config.weight_decay), sgd)
    decay = optax.add_decayed_weights(config.weight_decay, kernels)
    return optax.chain(*([_flat(*clip)] if clip else []), decay, _flat(sgd))


def kernels(params: PyTree) -> PyTree:
    """Returns for each parameter whether it has two or more dimensions and is no bias or scale."""

    def is_kernel(path: tuple[Any, ...], value: Any) -> bool:
        return value.ndim >= 2 and getattr(path[-1], "key", None) not in _NOT_DECAYED

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def _flat(*parts: optax.GradientTransformation) -> optax.GradientTransformation:
    """Chains on one long vector: a fraction of the operations to compile."""
    return optax.flatten(optax.chain(*parts))


def _named_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    name, schedule = config.optimizer, optax.constant_schedule(config.learning_rate)
    if ":" in name:
        build = load_user_object(name, "Optax optimizer", RecipeError)
    else:
        build = getattr(optax, name, None)
    if not callable(build):
        raise RecipeError(
            f"train.optimizer {name!r} does not exist. {near_hint(name, dir(optax))}Name an Optax "
            "optimizer, such as 'adamw', or 'module:FUNCTION' of your own."
        )
    try:
        built = build(schedule)
    except Exception as error:
        raise RecipeError(
            f"train.optimizer {name!r} cannot be built with a learning rate alone "
            f"({' '.join(str(error).split()):.200}); wrap it as 'module:FUNCTION'."
        ) from error
    if not isinstance(built, optax.GradientTransformation):
        raise RecipeError(
            f"train.optimizer {name!r} is no Optax optimizer; name one, such as "
            "'adamw', or 'module:FUNCTION' that returns one."
        )
    return built
