"""A training of a linear classifier, small enough to be done again by hand."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.data.pipeline import epoch_indices, eval_indices
from xfernas_jax.train.config import TrainConfig
from xfernas_jax.train.feed import ResidentFeed
from xfernas_jax.train.loop import Trainer
from xfernas_jax.train.scores import METRICS
from xfernas_jax.train.state import TaskFunctions

NUM_CLASSES, NUM_EXAMPLES, BATCH = 3, 32, 8
STEPS = NUM_EXAMPLES // BATCH  # in an epoch
NUM_SEEN = 32  # steps whose progress is kept

_rng = np.random.default_rng(0)
IMAGES = _rng.integers(0, 256, (NUM_EXAMPLES, 2, 2, 1), dtype=np.uint8)
LABELS = (IMAGES[:, 0, 0, 0].astype(np.int32) * NUM_CLASSES) // 256
KERNEL = _rng.normal(size=(4, NUM_CLASSES)).astype(np.float32)
BIAS = np.array([0.5, -0.25, 0.125], np.float32)


def inputs(images: Any) -> Any:
    return images.reshape(-1, 4) / np.float32(255)


def variables() -> dict[str, Any]:
    """`batch_stats` holds the progress of the latest steps, the latest last."""
    stats = {"seen": np.full(NUM_SEEN, -1.0, np.float32), "mean": np.zeros(4, np.float32)}
    return {"params": {"dense": {"kernel": KERNEL, "bias": BIAS}}, "batch_stats": stats}


def _apply(
    values: Any, images: jax.Array, positions: Any, progress: Any, train: bool, key: Any
) -> tuple[jax.Array, None, Any]:
    del positions, key
    dense, stats, x = values["params"]["dense"], values["batch_stats"], images.reshape(-1, 4)
    logits = x @ dense["kernel"] + dense["bias"][None]
    if not train:
        return logits, None, stats
    seen = jnp.concatenate([stats["seen"][1:], jnp.asarray(progress, jnp.float32)[None]])
    return logits, None, {"seen": seen, "mean": 0.5 * stats["mean"] + 0.5 * x.mean(axis=0)}


def batch_order(seed: int, epoch: int) -> np.ndarray:
    return epoch_indices(NUM_EXAMPLES, BATCH, seed, epoch)


def feed(devices: Sequence[Any]) -> ResidentFeed:
    return ResidentFeed(IMAGES, LABELS, devices)


def make_trainer(
    config: TrainConfig, num_devices: int = 1, class_weights: tuple[float, ...] | None = None
) -> tuple[Trainer, ResidentFeed]:
    """Returns a trainer and its training part, which is validated on too."""
    devices = jax.devices()[:num_devices]
    scale = lambda images, *_: images.astype(jnp.float32) / 255.0  # noqa: E731
    metric = METRICS["log_loss"]
    task = TaskFunctions(_apply, scale, scale, metric, NUM_CLASSES, 0.0, class_weights)
    part = feed(devices)
    return Trainer(task, config, part, batch_order, eval_indices, devices), part


def toy_config(**changes: Any) -> TrainConfig:
    values = {"learning_rate": 0.2, "clip_norm": 0.0, "weight_decay": 0.0, "sync_batch_norm": False}
    return TrainConfig(**{"batch_size": BATCH, "eval_batch_size": 16, **values, **changes})
