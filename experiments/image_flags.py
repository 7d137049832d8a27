"""The flags that choose image sets."""

from absl import flags

from experiments.image_sets import IMAGE_SETS
from xfernas_jax.errors import FlagError

_IMAGES = flags.DEFINE_string(
    "images", "../shared/images", "Folder of the sets that no package ships."
)
_SETS = flags.DEFINE_list("sets", list(IMAGE_SETS), "Sets that are worked on.")


def chosen_sets() -> dict[str, str]:
    """Returns what --dataset is for each set that the flags name, by its short name.

    Raises:
      FlagError: there is no such set, or its images are not there.
    """
    if unknown := [name for name in _SETS.value if name not in IMAGE_SETS]:
        known = ", ".join(IMAGE_SETS)
        raise FlagError(f"--sets: there is no set {unknown[0]!r}; there are {known}.")
    return {name: IMAGE_SETS[name].dataset(_IMAGES.value) for name in _SETS.value}
