"""From a folder of photos to predictions, in the time that you give.

    python examples/own_photos.py FOLDER --time_budget=10m

FOLDER has a subfolder of pictures for each class. Without one, a few pictures of handwritten digits
are written to `example_photos` and used.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_digits(folder: pathlib.Path) -> None:
    """Writes 60 pictures of each of three digits, as a person would have them."""
    images, labels = load_digits(return_X_y=True)
    for digit in range(3):
        own = folder / f"digit_{digit}"
        own.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(images[labels == digit][:60]):
            grey = (pixels.reshape(8, 8) * 15).astype(np.uint8)
            Image.fromarray(grey).resize((40, 40)).save(own / f"{number}.png")


def xfernas(*words: str) -> None:
    """Runs a command of xfernas_jax; where it fails, it has said why."""
    if subprocess.run([sys.executable, "-m", "xfernas_jax", *words], check=False).returncode:
        sys.exit(1)


def main() -> None:
    """Searches, exports and predicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--time_budget", default="1m")
    parser.add_argument("--workdir", default="runs")
    given = parser.parse_args()
    folder = given.folder or pathlib.Path("example_photos")
    if given.folder is None:
        write_digits(folder)
    record = [f"--workdir={given.workdir}", "--study=photos"]
    data = f"--dataset=folder:{folder}"
    xfernas("search", data, f"--time_budget={given.time_budget}", *record)
    xfernas("export", data, *record, "--output_dir=my_network")
    # Any folder of pictures, or single ones, of any size:
    xfernas("predict", "--model=my_network", "--output=predictions.csv", str(folder))


if __name__ == "__main__":
    main()
