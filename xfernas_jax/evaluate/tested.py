"""What a network says of each test image, and what follows: scores, intervals, mistakes.

A value, without JAX: it is written beside a search's result and read again by the report.
"""

import csv
import dataclasses
import functools
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import softmax
from scipy.stats import binomtest

from xfernas_jax.errors import StudyError
from xfernas_jax.files import write_atomically

FILE, TABLE_FILE = "test_predictions.npz", "test_predictions.csv"
_NUM_DRAWS, _MOST_DRAWN = 1_000, 50_000_000  # resamplings of an interval, and images in all of them
_LEAST_LOSS_SHARE = 1e-12
_NUM_BINS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Tested:
    """The test part as a network sees it.

    Attributes:
      class_names: in the order of the numbers below.
      labels: `[N]` int32.
      predicted: `[N]` int32.
      probability: `[N]` float32 that the network gives to what it predicts.
      label_probability: `[N]` float32 that it gives to the label.
      files: `[N]` names of the images' files, or none.
      mistakes: `[M]` numbers of the worst mistakes.
      images: `[M, H, W, C]` uint8, what the network saw of these.
    """

    __test__ = False  # pytest would take it for a test

    class_names: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    label_probability: np.ndarray
    files: tuple[str, ...] = ()
    mistakes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))
    images: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))

    def __len__(self) -> int:
        return len(self.labels)

    def score(self, metric: str) -> float | None:
        """Returns a metric of ours; None for one of a user's own."""
        found = _SCORES.get(metric)
        return None if found is None else found(self, np.arange(len(self)))

    def interval(self, metric: str) -> tuple[float, float] | None:
        """Returns the 95 % interval of a metric; None for one of a user's own.

        It tells what other images of the same kind would do to the score of this very network, not
        what another training would. Of accuracy it is Wilson's, which also says how little it means
        that all of a few images are right; of others a bootstrap over images, percentiles, seed 0.
        """
        found, count = _SCORES.get(metric), len(self)
        if found is None:
            return None
        if metric == "accuracy":
            right = int(np.sum(self.predicted == self.labels))
            ends = binomtest(right, count).proportion_ci(method="wilson")
            return float(ends.low), float(ends.high)
        rng = np.random.default_rng(0)
        draws = max(100, min(_NUM_DRAWS, _MOST_DRAWN // count))
        scores = [found(self, rng.integers(count, size=count)) for _ in range(draws)]
        low, high = np.quantile(scores, [0.025, 0.975])
        return float(low), float(high)

    @property
    def majority_share(self) -> float:
        """What always naming the most frequent class of the test part would score."""
        return float(self._label_counts.max() / len(self))

    @property
    def majority_class(self) -> str:
        """The most frequent class of the test part."""
        return self.class_names[int(self._label_counts.argmax())]

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """`[K, K]` images by label (row) and by what was predicted (column)."""
        size = len(self.class_names)
        places = self.labels.astype(np.int64) * size + self.predicted
        return np.bincount(places, minlength=size * size).reshape(size, size)

    def per_class(self) -> list["ClassScores"]:
        """Returns the scores of each class, in the order of the classes."""
        right = np.diag(self.confusion)
        labels, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return [
            ClassScores(
                name,
                int(labels[i]),
                _share(int(right[i]), int(labels[i])),
                _share(int(right[i]), int(predicted[i])),
                _share(2 * int(right[i]), int(labels[i] + predicted[i])),
            )
            for i, name in enumerate(self.class_names)
        ]

    def calibration(self) -> list["Bin"]:
        """Returns how often the network is right, by how sure it is; no bin is empty."""
        right = self.predicted == self.labels
        places = np.minimum((self.probability * _NUM_BINS).astype(int), _NUM_BINS - 1)
        return [
            Bin(
                int(inside.sum()),
                float(self.probability[inside].mean()),
                float(right[inside].mean()),
            )
            for inside in (places == place for place in range(_NUM_BINS))
            if inside.any()
        ]

    def worst(self, count: int) -> np.ndarray:
        """Returns up to `count` numbers of images that the network is most surely wrong about."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-self.probability[wrong], kind="stable")][:count].astype(np.int32)

    def name_of(self, number: int) -> str:
        """Returns the file of an image, or its number."""
        return self.files[number] if self.files else f"test image {number}"

    def to_csv(self) -> str:
        """Returns a row for each image."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "class", "predicted", "probability", "probability_of_class"])
        for i in range(len(self)):
            names = self.class_names[self.labels[i]], self.class_names[self.predicted[i]]
            shares = f"{self.probability[i]:.6g}", f"{self.label_probability[i]:.6g}"
            writer.writerow([self.name_of(i), *names, *shares])
        return text.getvalue()

    @functools.cached_property
    def _label_counts(self) -> np.ndarray:
        return np.bincount(self.labels, minlength=len(self.class_names))


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """How well a class is told from the others; None where nothing is known.

    Attributes:
      name: of the class.
      num_images: that it has in the test part.
      recall: share of these that are called so.
      precision: share of what is called so that is.
      f1: their harmonic mean.
    """

    name: str
    num_images: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclasses.dataclass(frozen=True)
class Bin:
    """Images about which the network is about equally sure.

    Attributes:
      num_images: of it.
      probability: mean of what the network gives to its predictions.
      accuracy: share of the predictions that are right.
    """

    num_images: int
    probability: float
    accuracy: float


def from_logits(
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    files: tuple[str, ...] = (),
) -> Tested:
    """Returns what logits `[N, K]` say of images with these labels `[N]`."""
    shares = softmax(logits.astype(np.float64), axis=-1)
    predicted, rows = shares.argmax(axis=-1).astype(np.int32), np.arange(len(labels))
    return Tested(
        class_names,
        labels.astype(np.int32),
        predicted,
        shares[rows, predicted].astype(np.float32),
        shares[rows, labels].astype(np.float32),
        files,
    )


def write_tested(folder: pathlib.Path, tested: Tested) -> None:
    """Writes both files; `OSError` as the operating system says."""
    arrays = {
        "class_names": np.array(tested.class_names, dtype=np.str_),
        "labels": tested.labels,
        "predicted": tested.predicted,
        "probability": tested.probability,
        "label_probability": tested.label_probability,
        "files": np.array(tested.files, dtype=np.str_),
        "mistakes": tested.mistakes,
        "images": tested.images,
    }
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **arrays)
    write_atomically(folder / TABLE_FILE, tested.to_csv().encode(errors="replace"))
    write_atomically(folder / FILE, data.getvalue())


def read_tested(folder: str | os.PathLike[str]) -> Tested | None:
    """Reads what `write_tested` wrote; None where there is nothing.

    Raises:
      StudyError: the file is damaged.
    """
    file = pathlib.Path(folder, FILE)
    if not file.exists():
        return None
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        found = Tested(
            tuple(arrays["class_names"].tolist()),
            arrays["labels"],
            arrays["predicted"],
            arrays["probability"],
            arrays["label_probability"],
            tuple(arrays["files"].tolist()),
            arrays["mistakes"],
            arrays["images"],
        )
        _check(found)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StudyError(
            f"{file}: is damaged ({reason:.120}); delete it, and the report is without it."
        ) from error
    return found


def _check(found: Tested) -> None:
    """Raises `ValueError` where parts do not fit one another."""
    count, size = len(found.labels), len(found.class_names)
    for name in ("labels", "predicted"):
        numbers = getattr(found, name)
        if numbers.shape != (count,) or numbers.dtype.kind not in "iu" or not count:
            raise ValueError(f"{name} is no list of class numbers")
        if not 0 <= int(numbers.min()) <= int(numbers.max()) < size:
            raise ValueError(f"{name} names a class that is not there")
    for name in ("probability", "label_probability"):
        shares = getattr(found, name)
        if shares.shape != (count,) or shares.dtype.kind != "f":
            raise ValueError(f"{name} is no list of numbers")
        if not (np.isfinite(shares).all() and shares.min() >= 0.0 and shares.max() <= 1.0):
            raise ValueError(f"{name} holds what is no probability")
    mistakes, images = found.mistakes, found.images
    if found.files and len(found.files) != count:
        raise ValueError("files are not as many as images")
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(mistakes):
        raise ValueError("images are no pictures of the mistakes")
    if mistakes.dtype.kind not in "iu" or (len(mistakes) and not 0 <= mistakes.max() < count):
        raise ValueError("mistakes are no numbers of images")


def _share(part: int, whole: int) -> float | None:
    return None if not whole else float(part / whole)


def _accuracy(tested: Tested, rows: np.ndarray) -> float:
    return float(np.mean(tested.predicted[rows] == tested.labels[rows]))


def _counts(tested: Tested, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns by class: the images that are right, those of the label, those predicted to be so."""
    size, labels, predicted = len(tested.class_names), tested.labels[rows], tested.predicted[rows]
    right = np.bincount(labels[labels == predicted], minlength=size)
    return right, np.bincount(labels, minlength=size), np.bincount(predicted, minlength=size)


def _balanced_accuracy(tested: Tested, rows: np.ndarray) -> float:
    right, labels, _ = _counts(tested, rows)
    occurs = labels > 0
    return float(np.mean(right[occurs] / labels[occurs]))


def _macro_f1(tested: Tested, rows: np.ndarray) -> float:
    right, labels, predicted = _counts(tested, rows)
    both = labels + predicted
    occurs = both > 0
    return float(np.mean(2 * right[occurs] / both[occurs]))


def _log_loss(tested: Tested, rows: np.ndarray) -> float:
    shares = np.maximum(tested.label_probability[rows].astype(np.float64), _LEAST_LOSS_SHARE)
    return float(-np.mean(np.log(shares)))


_SCORES: Mapping[str, Callable[[Tested, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "log_loss": _log_loss,
}
"""As `train.scores.METRICS` defines them."""
