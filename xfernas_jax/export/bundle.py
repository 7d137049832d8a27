"""Writes the folder of an exported network and proves that it gives its score.

genotype.json     the architecture
model.json        what `load_network` needs beside it; `classes.json`: names in the logits' order
variables.npz     trained parameters and statistics, by path; `variables/`: the same for Orbax
model.stablehlo   inference, see `program.py`
model.onnx        the same for ONNX, where asked for; see `onnx_file.py`
test.npz          test images, labels and the predictions at export
reload.py         prints the test value; needs jax and NumPy only
model_card.md     see `card.py`
"""

import dataclasses
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import export

from xfernas_jax.errors import ExportError
from xfernas_jax.export.card import ModelCard
from xfernas_jax.export.measure import Measure
from xfernas_jax.export.model import ModelFacts
from xfernas_jax.export.onnx_file import check_onnx, needs_onnx, write_onnx
from xfernas_jax.export.program import export_program, flat_arrays
from xfernas_jax.space import write_genotype
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.train.checkpoint import VariablesStore

MAX_DIFFERENT = 0.001
"""By how much a value may differ on another kind of device than the recorded one."""

RELOAD = '''"""Prints the test {name} of this network; needs jax, flatbuffers and NumPy only."""
import pathlib
import numpy as np
from jax import export
here = pathlib.Path(__file__).parent
model = export.deserialize(bytearray((here / "model.stablehlo").read_bytes()))
variables, test = dict(np.load(here / "variables.npz")), np.load(here / "test.npz")
parts = [test["images"][i : i + 512] for i in range(0, len(test["labels"]), 512)]
logits = np.concatenate([np.asarray(model.call(variables, part), float) for part in parts])
labels = test["labels"]
value = {code}
print(f"test_{name}: {{float(value)}}")
'''

LOAD_TEST = '''"""Writes test.npz, which does not come along; needs xfernas_jax and the data set."""
import pathlib
import numpy as np
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.registry import load_dataset
test = load_dataset({name!r}, DataConfig(**{config!r})).test
np.savez(pathlib.Path(__file__).with_name("test.npz"), images=test.images[:], labels=test.labels)
'''


@dataclasses.dataclass(frozen=True)
class TestImages:
    """The test part that comes along.

    Attributes:
      images: `[N, H, W, C]` uint8, as the network takes them.
      labels: `[N]` int32.
      loader: text of the script that writes `test.npz` where the images may not be passed on;
        None where they may.
    """

    __test__ = False  # pytest would take it for a test

    images: np.ndarray
    labels: np.ndarray
    loader: str | None = None


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What is exported.

    Attributes:
      space: of the genotype.
      genotype: the architecture.
      variables: its trained `params` and `batch_stats`.
      infer: see `export_program`.
      facts: what `load_network` reads.
      card: what a person reads.
      measure: what `reload.py` computes.
      value: that it must print.
      test: the test part.
      same_device: whether the recorded score is of this kind of device.
      originals: some test images by their numbers as they are in their source, `[H, W, C]`.
      onnx: whether an ONNX model is written too.
    """

    space: Space
    genotype: Genotype
    variables: Mapping[str, Any]
    infer: Callable[[Any, jax.Array], jax.Array]
    facts: ModelFacts
    card: ModelCard
    measure: Measure
    value: float
    test: TestImages
    same_device: bool
    originals: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)
    onnx: bool = False


def write_bundle(folder: pathlib.Path, bundle: Bundle) -> float:
    """Writes the folder whole or not at all, and returns the value that `reload.py` printed.

    Raises:
      ExportError: the folder exists or cannot be written, or the reloaded network does not give
        the recorded score.
    """
    if os.path.exists(folder):
        raise ExportError(f"--output_dir={folder} exists already; name a new folder.")
    if bundle.onnx:
        needs_onnx()
    partial = folder.with_name(f".{folder.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        partial.mkdir(parents=True)
        _write_files(partial, bundle)
        value = _check(partial, bundle)
        _check_originals(partial, bundle)
        if bundle.onnx:
            plan = bundle.space.plan(bundle.genotype)
            write_onnx(partial, plan, bundle.facts, bundle.variables)
            check_onnx(partial, bundle.infer, bundle.variables, bundle.test.images)
        if bundle.test.loader is not None:
            (partial / "test.npz").unlink()
            (partial / "load_test.py").write_text(bundle.test.loader)
        os.replace(partial, folder)
    except OSError as error:
        raise ExportError(
            f"--output_dir={folder} cannot be written ({error.strerror or error}); name another "
            "folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return value


def _write_files(folder: pathlib.Path, bundle: Bundle) -> None:
    arrays = flat_arrays(bundle.variables)
    write_genotype(folder / "genotype.json", bundle.space, bundle.genotype)
    VariablesStore(folder).save("variables", bundle.variables)
    np.savez_compressed(folder / "variables.npz", allow_pickle=False, **arrays)
    bundle.facts.write(folder)
    image_shape = bundle.facts.image_shape
    (folder / "model.stablehlo").write_bytes(export_program(bundle.infer, arrays, image_shape))
    test, measure = bundle.test, bundle.measure
    np.savez_compressed(
        folder / "test.npz", allow_pickle=False, images=test.images, labels=test.labels
    )
    (folder / "reload.py").write_text(RELOAD.format(name=measure.name, code=measure.code))
    (folder / "model_card.md").write_text(bundle.card.text())


def _check_originals(folder: pathlib.Path, bundle: Bundle) -> None:
    """Gives the program images as they are in their source, of other sizes than the network's."""
    model = export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    arrays = flat_arrays(bundle.variables)
    for row, image in bundle.originals.items():
        found, wanted = (
            np.asarray(model.call(arrays, pixels[None]))
            for pixels in (image, bundle.test.images[row])
        )
        if not np.allclose(found, wanted, rtol=1e-4, atol=1e-4):
            raise ExportError(
                f"The exported program says otherwise of test image {row} as it is in its source "
                f"({image.shape[0]}x{image.shape[1]} pixels) than of what the network was tested "
                "on; nothing was exported. Please report this."
            )


def _check(folder: pathlib.Path, bundle: Bundle) -> float:
    """Runs `reload.py` in a process of its own and compares."""
    environment = {**os.environ, "JAX_PLATFORMS": jax.default_backend()}
    done = subprocess.run(
        [sys.executable, "reload.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    measure, wanted = bundle.measure, bundle.value
    name, _, text = done.stdout.strip().partition(": ")
    if done.returncode or name != f"test_{measure.name}":
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise ExportError(f"The exported reload.py failed: {lines[-1]}")
    value = float(text)
    allowed = measure.tolerance if bundle.same_device else max(MAX_DIFFERENT, measure.tolerance)
    if not abs(value - wanted) <= allowed:
        raise ExportError(
            f"The reloaded network has test {measure.name} {value}, but {wanted} is recorded; "
            "nothing was exported. Was the study made with other data or another version?"
        )
    return value
