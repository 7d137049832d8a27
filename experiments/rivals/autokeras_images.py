"""AutoKeras for a time: run by an interpreter that has it, and needs nothing of this project.

    PYTHON experiments/rivals/autokeras_images.py --images=FILE.npz --seconds=180 --output=OUT.json
        --folder=WORK  (one line)

AutoKeras has no time limit, so a callback ends it: what counts is the network of the epoch with the
best validation accuracy until then, whose test accuracy is read once. The file holds `x_train`,
`y_train`, `x_valid`, `y_valid`, `x_test` and `y_test`: uint8 images `[N, H, W, C]` and class
numbers. Settings are AutoKeras's own; what keeps 3.0.0 from running under Keras 3.15 is mended.
"""

import argparse
import contextlib
import importlib
import json
import sys
import time
from typing import Any

import numpy as np

_KEPT_SHARE = 0.03  # of the time, for the test part


class TimeIsOver(BaseException):
    """Ends a search; tuners take an `Exception` for a failed trial and go on."""


class Keeper:
    """What a search has found so far.

    Attributes:
      valid: best validation accuracy of an epoch.
      model: of that epoch.
      weights: after it.
      epochs: that were trained in all.
    """

    def __init__(self) -> None:
        """Begins with nothing."""
        self.valid, self.model, self.weights, self.epochs = -1.0, None, None, 0

    def after_epoch(self, model: Any, logs: Any) -> None:
        """Keeps the network where it is the best so far."""
        self.epochs += 1
        found = (logs or {}).get("val_accuracy")
        if found is not None and found > self.valid:
            self.valid, self.model, self.weights = float(found), model, model.get_weights()


def make_callback(keras: Any, keeper: Keeper, end: float) -> Any:
    """Returns a callback for Keras that fills `keeper` and ends all at `end`."""

    class Callback(keras.callbacks.Callback):
        def __deepcopy__(self, memo: Any) -> Any:
            return Callback()  # tuners copy callbacks for each trial; the keeper is shared

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if time.monotonic() >= end:
                raise TimeIsOver

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            keeper.after_epoch(self.model, logs)

    return Callback()


def mend(keras: Any) -> None:
    """Has AutoKeras 3.0.0 run under Keras 3.15, which refuses its NumPy numbers for `units`."""
    original = keras.layers.Dense.__init__

    def init(self: Any, units: Any, *args: Any, **kwargs: Any) -> None:
        original(self, int(units), *args, **kwargs)

    keras.layers.Dense.__init__ = init


def search(parts: Any, seconds: float, seed: int, folder: str) -> dict[str, Any]:
    """Searches until the time is over and tests the best network.

    Args:
      parts: arrays by name.
      seconds: from now on.
      seed: of the search.
      folder: for AutoKeras's files.
    """
    end = time.monotonic() + (1.0 - _KEPT_SHARE) * seconds
    keras = importlib.import_module("keras")
    mend(keras)
    autokeras = importlib.import_module("autokeras")
    num_classes = 1 + max(int(parts[f"y_{key}"].max()) for key in ("train", "valid", "test"))
    x = {key: parts[f"x_{key}"].astype(np.float32) for key in ("train", "valid", "test")}
    y = {key: np.eye(num_classes, dtype=np.float32)[parts[f"y_{key}"]] for key in x}
    keeper = Keeper()
    found = autokeras.ImageClassifier(
        overwrite=True, max_trials=1_000, directory=folder, seed=seed or None, metrics=["accuracy"]
    )
    with contextlib.suppress(TimeIsOver):
        found.fit(
            x["train"],
            y["train"],
            validation_data=(x["valid"], y["valid"]),
            callbacks=[make_callback(keras, keeper, end)],
            verbose=2,
        )
    if keeper.model is None:
        sys.exit("AutoKeras finished no epoch in time")
    keeper.model.set_weights(keeper.weights)
    predicted = np.argmax(keeper.model.predict(x["test"], verbose=0), axis=-1)
    return {
        "network": "found",
        "valid": keeper.valid,
        "test": float(np.mean(predicted == parts["y_test"])),
        "num_params": int(keeper.model.count_params()),
        "epochs": keeper.epochs,
        "versions": {name: sys.modules[name].__version__ for name in ("keras", "autokeras")},
    }


def main() -> None:
    """Reads the images, searches, and writes and prints the result."""
    parser = argparse.ArgumentParser(description="AutoKeras for a time.")
    parser.add_argument("--images", required=True)
    parser.add_argument("--seconds", required=True, type=float)
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--output", required=True)
    words = parser.parse_args()
    with np.load(words.images) as archive:
        parts = {name: archive[name] for name in archive.files}
    text = json.dumps(search(parts, words.seconds, words.seed, words.folder))
    with open(words.output, "w") as stream:
        stream.write(text)
    print(text)


if __name__ == "__main__":
    main()
