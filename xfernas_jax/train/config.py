"""How a network is trained."""

import dataclasses
from typing import Literal, get_args

from xfernas_jax.errors import RecipeError
from xfernas_jax.options import option

ScheduleName = Literal["cosine", "one_cycle"]
ClassWeights = Literal["none", "root", "balanced"]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation of one training.

    Attributes:
      epochs: passes over the training part.
      batch_size: examples in a step, over all devices together.
      optimizer: "sgd" (with momentum), the name of an Optax optimizer such as "adamw", or
        "module:FUNCTION" of your own; the latter two are called with a schedule that is constantly
        `learning_rate`, and their updates are multiplied by its course (`schedule.py`).
      learning_rate: the largest one.
      schedule_epochs: period of the cosine decay; None means `epochs`. A longer period stops
        the decay early, as NAO's proxy does (25 epochs of a period of 100).
      momentum: of SGD.
      weight_decay: factor of the parameters that is added to the gradient before momentum
        (L2 as in PyTorch's SGD; Optax optimizers have their own).
      clip_norm: largest global norm of the gradient; 0 for no clipping.
      label_smoothing: share of the target that is spread over all classes.
      sync_batch_norm: whether devices average batch norm's mean and mean square.
      eval_batch_size: examples in an evaluation step, over all devices together.
      schedule: "cosine", or "one_cycle" for a line to 0; both after the warm-up.
      warmup: share of the training over which the learning rate rises linearly.
      nesterov: whether SGD's momentum is Nesterov's.
      decay_all: whether SGD's weight decay is of all parameters, or of kernels alone: those of two
        or more dimensions that are not called bias or scale.
      average_decay: share that an exponential average of parameters and batch statistics keeps in
        a step, at most (`average.py`); what is evaluated, tested and handed over is the average.
        0 averages nothing.
      mixup: alpha of Beta(alpha, alpha), of which the shares are drawn with which each example is
        mixed with another (`mixup.py`); 0 mixes nothing.
      class_weights: "balanced" weighs examples in the training loss by n / (K n_c), of the training
        part's n examples, K classes and n_c examples of the class; "root" by a multiple of the
        square root of that, such that the mean weight of the examples is 1 again.
      initial: digest of the earlier variables that a training starts from where they fit
        (`initial.py`); they come by --initial_variables. Empty for none.
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
    schedule: ScheduleName = option("cosine", later=True)
    warmup: float = option(0.0, later=True)
    nesterov: bool = option(False, later=True)
    decay_all: bool = option(True, later=True)
    average_decay: float = option(0.0, later=True)
    mixup: float = option(0.0, later=True)
    class_weights: ClassWeights = option("none", later=True)
    initial: str = option("", later=True)

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
        for field in ("momentum", "weight_decay", "clip_norm", "label_smoothing", "mixup"):
            if not getattr(self, field) >= 0.0:
                raise RecipeError(f"train.{field} is not negative. Got {getattr(self, field)}.")
        if self.momentum >= 1.0 or self.label_smoothing >= 1.0:
            raise RecipeError(
                "train.momentum and train.label_smoothing lie below 1. Got "
                f"{self.momentum} and {self.label_smoothing}."
            )
        for field in ("warmup", "average_decay"):
            if not 0.0 <= getattr(self, field) < 1.0:
                raise RecipeError(f"train.{field} lies in [0, 1). Got {getattr(self, field)}.")
        for field, kind in (("schedule", ScheduleName), ("class_weights", ClassWeights)):
            if getattr(self, field) not in get_args(kind):
                raise RecipeError(
                    f"train.{field} is one of {', '.join(get_args(kind))}. Got "
                    f"{getattr(self, field)!r}."
                )
        self._check_together()

    def _check_together(self) -> None:
        if self.schedule == "one_cycle" and self.schedule_epochs is not None:
            raise RecipeError(
                "train.schedule_epochs is the period of the cosine; set "
                "train.schedule_epochs=null before train.schedule=one_cycle."
            )
        if self.optimizer != "sgd" and (self.nesterov or not self.decay_all):
            raise RecipeError(
                "train.nesterov=true and train.decay_all=false are of train.optimizer=sgd. Got "
                f"{self.optimizer!r}; write the optimizer that you want as 'module:FUNCTION'."
            )
