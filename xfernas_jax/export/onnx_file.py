"""A network's inference as an ONNX model, for whatever runs without JAX.

jax2onnx writes the network. What comes before it, the rule of `data/resize.py` and the mirror
images, is ONNX text here, since that converter has no images of any height and width. The model
takes uint8 images `[batch, height, width, channels]` of one size and gives float32 logits.
"""

import contextlib
import dataclasses
import functools
import importlib
import io
import json
import logging
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.extend import core
from scipy.special import softmax

from xfernas_jax.data.resize import FRACTION
from xfernas_jax.errors import ExportError
from xfernas_jax.evaluate.inference import all_logits, inference
from xfernas_jax.export.load import BATCH_SIZE
from xfernas_jax.export.model import ModelFacts
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.members import averaged

FILE = "model.onnx"
MOST_DIFFERENT, MOST_DIFFERENT_ELSEWHERE = 1e-5, 1e-2
"""Of a probability in onnxruntime from the network's on CPUs, and on an accelerator."""
_OPSET = 21

_SIDE = """
    {side}_at = Constant<value_int = {axis}>()
    {side}_old = Gather(sizes, {side}_at)
    {side}_new = Constant<value_int = {new}>()
    {side}_ours_line = Range(zero, {side}_new, one)
    {side}_ours = Unsqueeze({side}_ours_line, down)
    {side}_theirs_line = Range(zero, {side}_old, one)
    {side}_theirs = Unsqueeze({side}_theirs_line, across)
    {side}_ours_start = Mul({side}_ours, {side}_old)
    {side}_theirs_start = Mul({side}_theirs, {side}_new)
    {side}_ours_end = Add({side}_ours_start, {side}_old)
    {side}_theirs_end = Add({side}_theirs_start, {side}_new)
    {side}_first_end = Min({side}_ours_end, {side}_theirs_end)
    {side}_last_start = Max({side}_ours_start, {side}_theirs_start)
    {side}_area = Sub({side}_first_end, {side}_last_start)
    {side}_twice_new = Mul(two, {side}_new)
    {side}_twice_old = Mul(two, {side}_old)
    {side}_twice_start = Mul(two, {side}_ours_start)
    {side}_any_centre = Add({side}_twice_start, {side}_old)
    {side}_most = Sub({side}_twice_old, one)
    {side}_last_centre = Mul({side}_most, {side}_new)
    {side}_centre = Clip({side}_any_centre, {side}_new, {side}_last_centre)
    {side}_twice_theirs = Mul(two, {side}_theirs_start)
    {side}_their_centre = Add({side}_twice_theirs, {side}_new)
    {side}_between = Sub({side}_centre, {side}_their_centre)
    {side}_distance = Abs({side}_between)
    {side}_line = Sub({side}_twice_new, {side}_distance)
    {side}_shrinks = GreaterOrEqual({side}_old, {side}_new)
    {side}_either = Where({side}_shrinks, {side}_area, {side}_line)
    {side}_whole = Max({side}_either, zero)
    {side}_weights = Cast<to = 1>({side}_whole)
    {side}_total = Where({side}_shrinks, {side}_old, {side}_twice_new)
"""
"""The weights `[new, old]` of one side; see `data.resize._weights`, whose names these are."""

_IMAGES = """
<ir_version: 10, opset_import: ["" : {opset}]>
prepare (uint8[batch, height, width, {channels}] images)
    => (uint8[rows, {new_height}, {new_width}, {channels}] prepared)
{{
    zero = Constant<value_int = 0>()
    one = Constant<value_int = 1>()
    two = Constant<value_int = 2>()
    fraction = Constant<value_int = {fraction}>()
    down = Constant<value_ints = [1]>()
    across = Constant<value_ints = [0]>()
    sizes = Shape(images)
    {height_side}
    {width_side}
    lines_shape = Constant<value_ints = [0, 0, -1]>()
    lines = Reshape(images, lines_shape)
    line_levels = Cast<to = 1>(lines)
    height_product = MatMul(height_weights, line_levels)
    height_sums = Cast<to = 7>(height_product)
    height_parts = Mul(height_sums, fraction)
    height_half = Div(height_total, two)
    height_rounded = Add(height_parts, height_half)
    height_levels = Div(height_rounded, height_total)
    levels_shape = Constant<value_ints = [0, {new_height}, -1, {channels}]>()
    levels = Reshape(height_levels, levels_shape)
    whole_levels = Div(levels, fraction)
    rest_levels = Mod(levels, fraction)
    both_levels = Concat<axis = -1>(whole_levels, rest_levels)
    both_values = Cast<to = 1>(both_levels)
    width_product = MatMul(width_weights, both_values)
    width_sums = Cast<to = 7>(width_product)
    whole_sums, rest_sums = Split<axis = -1, num_outputs = 2>(width_sums)
    whole_parts = Mul(whole_sums, fraction)
    all_parts = Add(whole_parts, rest_sums)
    width_scale = Mul(width_total, fraction)
    width_half = Div(width_scale, two)
    width_rounded = Add(all_parts, width_half)
    new_levels = Div(width_rounded, width_scale)
    small = Cast<to = 2>(new_levels)
    {mirrored}
}}
"""
_ALONE = "prepared = Identity(small)"
_WITH_MIRROR_IMAGES = """
    from_last = Constant<value_ints = [-1]>()
    to_first = Constant<value_ints = [-9223372036854775807]>()
    width_axis = Constant<value_ints = [2]>()
    flipped = Slice(small, from_last, to_first, width_axis, from_last)
    prepared = Concat<axis = 0>(small, flipped)
"""

_MEAN = """
<ir_version: 10, opset_import: ["" : {opset}]>
average (float[rows, {classes}] each) => (float[batch, {classes}] logits)
{{
    pairs_shape = Constant<value_ints = [2, -1, {classes}]>()
    pairs = Reshape(each, pairs_shape)
    first = Constant<value_ints = [0]>()
    logits = ReduceMean<keepdims = 0>(pairs, first)
}}
"""


def needs_onnx() -> None:
    """Raises `ExportError` unless all that `write_onnx` and `onnx_logits` need is installed."""
    for name in ("onnx", "jax2onnx", "onnxruntime"):
        _needed(name)


def write_onnx(
    folder: pathlib.Path, plan: Any, facts: ModelFacts, variables: Mapping[str, Any]
) -> None:
    """Writes an ONNX model that takes images of any height and width.

    Args:
      folder: where `FILE` is written.
      plan: of the network, see `nn.builders.build_network`.
      facts: of it.
      variables: of the network; they become constants of the model.

    Raises:
      ExportError: what is needed is not installed, or the network has an operation that jax2onnx
        does not know.
    """
    onnx, num_classes = _needed("onnx"), len(facts.class_names)
    plain = dataclasses.replace(facts.network, depthwise="lax", scan_cells=False, remat=False)
    module = averaged(build_network(plan, plain, num_classes), facts.num_members)
    infer = inference(module, facts.normalizer, flips=False)
    constants = jax.tree.map(jnp.asarray, variables)
    network = _converted(inlined(functools.partial(infer, constants)), facts.image_shape)
    model = onnx.compose.merge_models(
        preparation(facts.image_shape, facts.test_flips),
        network,
        io_map=[("prepared", "network_images")],
    )
    if facts.test_flips:
        mean = onnx.parser.parse_model(_MEAN.format(opset=_OPSET, classes=num_classes))
        model = onnx.compose.merge_models(model, mean, io_map=[("network_logits", "each")])
    onnx.helper.set_model_props(model, {"classes": json.dumps(facts.class_names)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, folder / FILE)


def preparation(image_shape: tuple[int, int, int], test_flips: bool) -> Any:
    """Returns the ONNX model that brings images to the network's size.

    Args:
      image_shape: (height, width, channels) of the network.
      test_flips: whether their mirror images follow.

    Returns:
      From `images`, uint8 `[N, H, W, C]`, to `prepared`, uint8 `[N or 2 N, height, width, C]`.
    """
    onnx = _needed("onnx")
    height, width, channels = image_shape
    return onnx.parser.parse_model(
        _IMAGES.format(
            opset=_OPSET,
            channels=channels,
            new_height=height,
            new_width=width,
            fraction=FRACTION,
            height_side=_SIDE.format(side="height", axis=1, new=height),
            width_side=_SIDE.format(side="width", axis=2, new=width),
            mirrored=_WITH_MIRROR_IMAGES if test_flips else _ALONE,
        )
    )


def onnx_logits(file: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Returns what onnxruntime gives on CPUs.

    Args:
      file: of `write_onnx`.
      images: `[N, H, W, C]` uint8, N at least 1.

    Returns:
      `[N, classes]` float32.
    """
    runtime = _needed("onnxruntime")
    session = runtime.InferenceSession(os.fspath(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]
    return np.concatenate([session.run(None, {name: part})[0] for part in parts])


def check_onnx(
    folder: pathlib.Path,
    infer: Callable[[Any, jax.Array], jax.Array],
    variables: Mapping[str, Any],
    images: np.ndarray,
) -> None:
    """Compares the model in onnxruntime with the network itself.

    Args:
      folder: of `write_onnx`.
      infer: of `evaluate.inference`, as the network was tested.
      variables: of the network.
      images: test images `[N, H, W, C]` uint8 of the network's size.

    Raises:
      ExportError: a probability differs by more than `MOST_DIFFERENT` (on an accelerator by
        more than `MOST_DIFFERENT_ELSEWHERE`).
    """
    wanted = softmax(all_logits(jax.jit(infer), variables, images, BATCH_SIZE), axis=-1)
    found = softmax(onnx_logits(folder / FILE, images), axis=-1)
    differs = float(np.abs(found - wanted).max())
    allowed = MOST_DIFFERENT if jax.default_backend() == "cpu" else MOST_DIFFERENT_ELSEWHERE
    if not differs <= allowed:
        raise ExportError(
            f"The ONNX model's probabilities differ by up to {differs:.2g} from the network's; at "
            f"most {allowed:g} is allowed. Nothing was exported; leave --format=onnx out, and "
            "please report this."
        )


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of arrays that traces to plain operations, without calls in calls.

    jax2onnx does not know the calls that `nn.boundary` makes, which change nothing of the values.
    """

    def traced(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        found = _run(closed.jaxpr, closed.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return traced


def _run(jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        inner = equation.params.get("call_jaxpr") or equation.params.get("jaxpr")
        if inner is not None and equation.primitive.name != "scan":
            found = _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), given)
        else:
            bound = equation.primitive.bind(*given, **equation.params)
            found = bound if equation.primitive.multiple_results else [bound]
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _converted(network: Callable[[jax.Array], jax.Array], image_shape: tuple[int, int, int]) -> Any:
    """Returns the network as an ONNX model, from `network_images` to `network_logits`."""
    jax2onnx = _needed("jax2onnx")
    (rows,) = export.symbolic_shape("rows")
    images = jax.ShapeDtypeStruct((rows, *image_shape), np.uint8)
    try:
        with _quiet():
            return jax2onnx.to_onnx(
                network,
                [images],
                model_name="network",
                opset=_OPSET,
                input_names=["network_images"],
                output_names=["network_logits"],
            )
    except NotImplementedError as error:
        raise ExportError(f"The network cannot be written as ONNX ({error!s:.200}).") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what jax2onnx prints of its steps, and of plugins for packages we do not use."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _needed(name: str) -> Any:
    """Imports a module of the extra `onnx`."""
    try:
        with _quiet():
            for part in ("onnx.compose", "onnx.parser") if name == "onnx" else ():
                importlib.import_module(part)
            return importlib.import_module(name)
    except ImportError as error:
        raise ExportError(
            f"--format=onnx needs the package {name} ({error}); pip install 'xfernas_jax[onnx]'."
        ) from error
