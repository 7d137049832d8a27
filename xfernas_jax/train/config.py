"""How a network is trained."""

import dataclasses

from xfernas_jax.errors import RecipeError
from xfernas_jax.options import option


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation of one training.

    Attributes:
      epochs: passes over the training part.
      batch_size: examples in a step, over all devices together.
      optimizer: "sgd" (Nesterov-free momentum), the name of an Optax optimizer such as "adamw",
        or "module:FUNCTION" of your own; the latter two are called with the schedule.
      learning_rate: at the first step.
      schedule_epochs: period of the cosine decay; None means `epochs`. A longer period stops
        the decay early, as NAO's proxy does (25 epochs of a period of 100).
      momentum: of SGD.
      weight_decay: factor of the parameters that is added to the gradient before momentum
        (L2 as in PyTorch's SGD; Optax optimizers have their own).
      clip_norm: largest global norm of the gradient; 0 for no clipping.
      label_smoothing: share of the target that is spread over all classes.
      sync_batch_norm: whether devices average batch norm's mean and mean square.
      eval_batch_size: examples in an evaluation step, over all devices together.
    """

    epochs: int = 25
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.024
    schedule_epochs: int | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 5.0
    label_smoothing: float = 0.0
    sync_batch_norm: bool = True
    eval_batch_size: int = option(512, neutral=True)

    def __post_init__(self) -> None:
        for field in ("epochs", "batch_size", "eval_batch_size"):
            if getattr(self, field) < 1:
                raise RecipeError(f"train.{field} is at least 1. Got {getattr(self, field)}.")
        if self.schedule_epochs is not None and self.schedule_epochs < self.epochs:
            raise RecipeError(
                f"train.schedule_epochs is at least train.epochs ({self.epochs}), or null for "
                f"the same. Got {self.schedule_epochs}."
            )
        if not self.learning_rate > 0.0:
            raise RecipeError(f"train.learning_rate is positive. Got {self.learning_rate}.")
        for field in ("momentum", "weight_decay", "clip_norm", "label_smoothing"):
            if not getattr(self, field) >= 0.0:
                raise RecipeError(f"train.{field} is not negative. Got {getattr(self, field)}.")
        if self.momentum >= 1.0 or self.label_smoothing >= 1.0:
            raise RecipeError(
                "train.momentum and train.label_smoothing lie below 1. Got "
                f"{self.momentum} and {self.label_smoothing}."
            )
