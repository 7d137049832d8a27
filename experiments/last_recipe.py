"""Images of a set, and the recipe by which a search would train what it hands over."""

from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.recipes import Recipe


def last_recipe(dataset: str, change: bool = True) -> tuple[ImageDataset, Recipe]:
    """Returns the images, and the recipe of a last training on them at 32 pixels at most.

    Args:
      dataset: what --dataset is.
      change: whether images are changed at random; see `auto.changes_images`.
    """
    whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
    side = min(auto.GAUGE_SIDE, auto.longest_side(whole))
    return whole, auto.final_recipe(whole, mirror, side, change)
