"""Learning rate and Optax optimizer of a training."""

import optax

from xfernas_jax.errors import RecipeError
from xfernas_jax.registry import near_hint
from xfernas_jax.train.config import TrainConfig
from xfernas_jax.user_code import load_user_object


def make_optimizer(config: TrainConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """Builds clipping, weight decay, momentum and schedule.

    The learning rate by step is a cosine from `learning_rate` to 0 without a restart.

    Raises:
      RecipeError: for an optimizer that Optax does not have or that fails to build.
    """
    period = (config.schedule_epochs or config.epochs) * steps_per_epoch
    schedule = optax.cosine_decay_schedule(config.learning_rate, period)
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    if config.optimizer == "sgd":
        decay = [optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []
        chain = optax.chain(*clip, *decay, optax.sgd(schedule, config.momentum))
    else:
        chain = optax.chain(*clip, _named_optimizer(config, schedule))
    return optax.flatten(chain)  # one long vector: a fraction of the operations to compile


def _named_optimizer(config: TrainConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    name = config.optimizer
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
