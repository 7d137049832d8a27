"""Image data sets: by name, split by a stated rule, augmented on the device."""

from xfernas_jax.data.augment import Normalizer, augment_batch, normalize, normalizer
from xfernas_jax.data.base import DataConfig, ImageDataset, Split
from xfernas_jax.data.pipeline import epoch_indices, eval_indices
from xfernas_jax.data.registry import KNOWN_NAMES, load_dataset

__all__ = [
    "KNOWN_NAMES",
    "DataConfig",
    "ImageDataset",
    "Normalizer",
    "Split",
    "augment_batch",
    "epoch_indices",
    "eval_indices",
    "load_dataset",
    "normalize",
    "normalizer",
]
