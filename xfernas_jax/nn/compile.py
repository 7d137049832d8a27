"""From a Flax module to its variables and their initial values."""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from xfernas_jax.errors import SpaceError
from xfernas_jax.nn.initializers import HostNormal, Path, recorded

Variables = dict[str, Any]

_COLLECTIONS = ("params", "batch_stats")


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A variable of a network before it has a value.

    Attributes:
      shape: of the array.
      dtype: of the array.
      init: what the host draws it from: a distribution, or the number that fills it. None where
        only the module's own initialiser knows.
    """

    shape: tuple[int, ...]
    dtype: Any
    init: HostNormal | float | None


def variable_leaves(network: nn.Module, image_shape: tuple[int, int, int]) -> dict[Path, Leaf]:
    """Returns the variables by path, by tracing their initialisation; nothing is run.

    Args:
      network: the module.
      image_shape: (height, width, channels).

    Raises:
      SpaceError: a module of a user's own breaks the contract of `nn.builders`.
    """
    return _trace(network, image_shape)[0]


def variable_shapes(network: nn.Module, image_shape: tuple[int, int, int]) -> Variables:
    """Returns the shapes of `params` and `batch_stats`; see `variable_leaves`."""
    leaves = variable_leaves(network, image_shape).items()
    return _nested({path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in leaves})


def count_params(variables: Variables) -> int:
    """Returns the number of trainable parameters (batch statistics do not count)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def initial_variables(
    network: nn.Module, image_shape: tuple[int, int, int], seed: int
) -> Variables:
    """Draws the values of the module's own initialisers.

    Those of `nn.initializers` and constants are drawn on the host, and no program is compiled for
    them; the rest is drawn by JAX. A leaf's draw depends on the seed and on its own place in the
    network only.

    Returns:
      `{"params": ..., "batch_stats": ...}` of NumPy arrays.
    """
    leaves, program = _trace(network, image_shape)
    wanted = [leaf.init is None for leaf in leaves.values()]
    paths = itertools.compress(leaves, wanted)
    drawn = jaxpr_as_fun(_only(program, wanted))(jax.random.key(seed)) if any(wanted) else []
    return draw_variables(leaves, seed, dict(zip(paths, jax.device_get(drawn), strict=True)))


def draw_variables(
    leaves: Mapping[Path, Leaf], seed: int, drawn: Mapping[Path, np.ndarray] | None = None
) -> Variables:
    """Draws on the host what has an `init`; see `initial_variables`.

    Args:
      leaves: by path.
      seed: of the draws.
      drawn: the values of all others.
    """
    values = dict(drawn or {})
    for path, leaf in leaves.items():
        if isinstance(leaf.init, HostNormal):
            values[path] = leaf.init.draw(path, leaf.shape, seed).astype(leaf.dtype)
        elif leaf.init is not None:
            values[path] = np.full(leaf.shape, leaf.init, leaf.dtype)
    return _nested(values)


def _trace(
    network: nn.Module, image_shape: tuple[int, int, int]
) -> tuple[dict[Path, Leaf], ClosedJaxpr]:
    """Returns the variables, and the program that gives them in this order from a key."""
    inits: dict[Path, HostNormal | None] = {}

    def init(key: jax.Array) -> list[jax.Array]:
        images, positions = jnp.zeros((1, *image_shape)), jnp.zeros(1, jnp.int32)
        rngs = {"params": key, "dropout": key}
        with recorded() as made:
            output, variables = network.init_with_output(rngs, images, positions, train=True)
        _check(network, output, variables)
        flat: dict[Any, Any] = dict(traverse_util.flatten_dict(variables))
        # A variable that is what an initialiser gave, and not computed from it or copied, is drawn
        # so on the host.
        known, uses = {id(x): host for x, host in made}, Counter(map(id, flat.values()))
        inits.update({p: known.get(id(x)) if uses[id(x)] == 1 else None for p, x in flat.items()})
        return list(flat.values())

    program = jax.make_jaxpr(init)(jax.eval_shape(lambda: jax.random.key(0)))
    leaves = zip(inits.items(), program.out_avals, _constants(program), strict=True)
    return {
        path: Leaf(aval.shape, aval.dtype, constant if init is None else init)
        for (path, init), aval, constant in leaves
    }, program


def _only(program: ClosedJaxpr, wanted: Sequence[bool]) -> ClosedJaxpr:
    """Returns what computes these outputs of a program: initialisers without the network.

    It runs operation by operation. Each compiles once for a shape, whatever network it is in; a
    program of a network's own took seconds.
    """
    outputs = list(itertools.compress(program.jaxpr.outvars, wanted))
    needed, equations = {id(x) for x in outputs}, []
    for equation in reversed(program.jaxpr.eqns):
        if any(id(x) in needed for x in equation.outvars):
            needed.update(id(x) for x in equation.invars)
            equations.append(equation)
    jaxpr = program.jaxpr.replace(outvars=outputs, eqns=equations[::-1])
    return program.replace(jaxpr=jaxpr)


def _check(network: nn.Module, output: Any, variables: Mapping[str, Any]) -> None:
    name = type(network).__name__
    if not isinstance(output, tuple) or len(output) != 2 or output[0].shape[:-1] != (1,):
        raise SpaceError(
            f"{name} must return (logits [B, num_classes], auxiliary logits or None); see "
            f"xfernas_jax/nn/builders.py. Got {output!r:.80}."
        )
    unknown = sorted(set(variables) - set(_COLLECTIONS))
    if unknown:
        raise SpaceError(
            f"{name} has variables in {', '.join(unknown)}; only params and batch_stats are kept."
        )


def _constants(program: ClosedJaxpr) -> list[float | None]:
    """Returns, for each output, the number that fills it; None where there is none."""
    filled = {
        equation.outvars[0]: _number(equation.invars[0])
        for equation in program.jaxpr.eqns
        if equation.primitive.name == "broadcast_in_dim"
    }
    return [_number(x) if isinstance(x, Literal) else filled.get(x) for x in program.jaxpr.outvars]


def _number(x: Any) -> float | None:
    is_number = isinstance(x, Literal) and np.asarray(x.val).dtype.kind == "f"
    return float(x.val) if is_number else None


def _nested(flat: Mapping[Path, Any]) -> Variables:
    return {**{name: {} for name in _COLLECTIONS}, **traverse_util.unflatten_dict(dict(flat))}
