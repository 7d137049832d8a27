"""From a plan to its Flax module: the class of a plan names the function that builds it.

A builder is a function, or the class of a module, that is called with the plan, a `NetworkConfig`,
the number of classes and the axis name over which batch norm is synchronised (None for none). The
module that it returns has

    __call__(images, positions=None, progress=1.0, train=False) -> (logits, auxiliary)

as `nn.network.Network` documents it: normalised images `[B, H, W, C]`, float32 logits
`[B, num_classes]`, and logits of an auxiliary head or None. Its variables are `params` and, where
it has running statistics, `batch_stats`; its random draws take the rng "dropout". While it
initialises there is no axis. To be exported it takes the batch size from `images.shape[0]`, which
is a symbol then; `len(images)` would ask it for a number.

A builder may have `least_costs(plan, image_shape)`, a mapping of lower bounds on `flops` and
`activations`: what exceeds a limit by them is refused without being traced.

A plan's class may name in `reads` the fields of `NetworkConfig` that its networks heed. Who changes
another one is told so (`evaluate.recipes`); without the attribute all count as heeded.
"""

from collections.abc import Callable

import flax.linen as nn

from xfernas_jax.errors import SpaceError
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space.graph import Plan
from xfernas_jax.user_code import load_user_object

Builder = Callable[[Plan, NetworkConfig, int, str | None], nn.Module]


def find_builder(plan: Plan) -> Builder:
    """Imports what builds plans of this class.

    Raises:
      SpaceError: the plan is not hashable, or its class names no builder that can be found.
    """
    kind, address = type(plan).__name__, getattr(type(plan), "builder", None)
    try:
        hash(plan)
    except TypeError as error:
        raise SpaceError(
            f"A plan is a frozen, hashable value, such as one of @dataclass(frozen=True); {error}."
        ) from error
    if not isinstance(address, str):
        raise SpaceError(
            f"No network can be built from a {kind}: its class must name its builder, such as "
            "builder = 'my_package.my_file:build'; docs/EXTENDING.md has an example."
        )
    builder: Builder | None = load_user_object(address, "network builder", SpaceError)
    if not callable(builder):
        raise SpaceError(
            f"{kind}.builder names {address!r}, which is no function or class; correct the name."
        )
    return builder


def build_network(
    plan: Plan, config: NetworkConfig, num_classes: int, axis_name: str | None = None
) -> nn.Module:
    """Builds the module of a plan; nothing is traced or compiled yet.

    Args:
      plan: a space's.
      config: size and regularisation.
      num_classes: of the classifier.
      axis_name: devices over which batch norm is synchronised while training; None for none.

    Raises:
      SpaceError: the plan's class names no builder, or what it builds is no module.
    """
    network = find_builder(plan)(plan, config, num_classes, axis_name)
    if not isinstance(network, nn.Module):
        raise SpaceError(
            f"The builder of {type(plan).__name__} must return a flax.linen.Module. "
            f"Got {network!r:.80}."
        )
    return network
