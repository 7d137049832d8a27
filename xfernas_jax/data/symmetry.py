"""Whether left-right mirroring keeps the class, told from training images without training.

The question is whether mirrored images would help or harm a learner. So each image is classified
by its nearest other image, once among the images as they are and once among those and their mirror
images. Where a mirror image is nearer and right, it helped; where it is nearer and wrong in place
of a right one, it harmed. Letters and digits harm many times more often than they help; natural
images do both about equally. `experiments/SYMMETRY.md` has the measurements.

Rejected: how well mirrored images are recognised among others as they are. Series of nearly equal
photos of one object lose as much then as letters do.
"""

import dataclasses
import math

import numpy as np

from xfernas_jax.data.lazy import take_images
from xfernas_jax.data.resize import shrink
from xfernas_jax.types import ImageRows

MOST_IMAGES, _PIXELS = 4000, 16
_LEAST_SHARE = 1 / 3  # of help, for certain: between .19 of characters and .49 of others
_Z = 1.96  # 95 %


@dataclasses.dataclass(frozen=True)
class MirrorEvidence:
    """What mirrored images do to a nearest-neighbour classifier.

    Attributes:
      original: accuracy among the other images as they are.
      mirrored: accuracy among those and their mirror images.
      num: images that were classified.
      helped: wrong before, right with mirror images.
      harmed: right before, wrong with mirror images.
      low: end of the 95 % interval (Wilson) of helped / (helped + harmed).
      high: the other end.
      allowed: whether `low` is above one third; what is not known for certain is not allowed.
    """

    original: float
    mirrored: float
    num: int
    helped: int
    harmed: int
    low: float
    high: float
    allowed: bool


def keeps_class_when_mirrored(images: ImageRows, labels: np.ndarray, seed: int) -> MirrorEvidence:
    """Tells whether training images may be mirrored left-right.

    Args:
      images: `[N, H, W, C]` uint8 of the training part; at most 4,000 are drawn and read.
      labels: `[N]` int32.
      seed: of the draw.
    """
    pixels, labels = _drawn(images, labels, seed)
    return _evidence(pixels, [pixels[:, :, ::-1]], labels)


def keeps_class_when_shifted(images: ImageRows, labels: np.ndarray, seed: int) -> MirrorEvidence:
    """Tells the same of shifts by an eighth of the side in four directions; for information."""
    pixels, labels = _drawn(images, labels, seed)
    height, width = pixels.shape[1:3]
    rows, columns = max(1, height // 8), max(1, width // 8)
    padded = np.pad(pixels, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode="edge")
    corners = ((0, columns), (2 * rows, columns), (rows, 0), (rows, 2 * columns))
    shifted = [padded[:, top : top + height, left : left + width] for top, left in corners]
    return _evidence(pixels, shifted, labels)


def _drawn(images: ImageRows, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(seed).permutation(len(images))[:MOST_IMAGES]
    rows.sort()  # a file is read in its order
    return shrink(np.asarray(take_images(images, rows)), _PIXELS), labels[rows]


def _evidence(pixels: np.ndarray, changed: list[np.ndarray], labels: np.ndarray) -> MirrorEvidence:
    features = _features(pixels)
    near, label = _nearest(features, features, labels)
    right = label == labels
    for other in changed:
        closeness, other_label = _nearest(features, _features(other), labels)
        label = np.where(closeness > near, other_label, label)
        near = np.maximum(near, closeness)
    now = label == labels
    helped, harmed = int((now & ~right).sum()), int((right & ~now).sum())
    low, high = _wilson(helped, helped + harmed)
    return MirrorEvidence(
        original=float(right.mean()),
        mirrored=float(now.mean()),
        num=len(labels),
        helped=helped,
        harmed=harmed,
        low=low,
        high=high,
        allowed=low > _LEAST_SHARE,
    )


def _features(images: np.ndarray) -> np.ndarray:
    """Returns `[N, F]` float32: pixels of zero mean and unit length, so light does not count."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-6))


def _nearest(
    features: np.ndarray, others: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `[N]` closeness and label of the nearest of the others, never of an image's own."""
    closeness = features @ others.T
    np.fill_diagonal(closeness, -np.inf)
    nearest = closeness.argmax(axis=1)
    return closeness[np.arange(len(labels)), nearest], labels[nearest]


def _wilson(successes: int, count: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share; (0, 1) where there is nothing to tell it from."""
    if not count:
        return 0.0, 1.0
    share, square = successes / count, _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    half = _Z * spread / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)
