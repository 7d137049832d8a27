"""Images of a set, and the recipe by which a search would train what it hands over."""

from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import find_symmetries
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.recipes import Recipe


def last_recipe(dataset: str) -> tuple[ImageDataset, Recipe]:
    """Returns the images, and the recipe of a last training on them at 32 pixels at most."""
    whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
    found = find_symmetries(whole.train)
    side = min(auto.GAUGE_SIDE, auto.longest_side(whole))
    return whole, auto.final_recipe(whole, found.mirror.allowed, side, not found.shift.harms)
