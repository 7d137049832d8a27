"""Trained networks of one architecture whose logits are averaged: one network again."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from xfernas_jax.nn.compile import Variables

_PREFIX = "networks_"  # by which Flax names the members of an attribute


class Members(nn.Module):
    """The mean of the logits of several networks; see `nn.builders` for the contract.

    It is the geometric mean of their probabilities, normalised. Each network has variables of its
    own; trained in one loss, as when one is fine-tuned, they learn together.

    Attributes:
      networks: of a space's builder, each another object.
    """

    networks: Sequence[nn.Module]

    def __call__(
        self,
        images: jax.Array,
        positions: jax.Array | None = None,
        progress: jax.Array | float = 1.0,
        train: bool = False,
    ) -> tuple[jax.Array, None]:
        """Classifies images; see `nn.network.Network`. Auxiliary heads do not count."""
        logits = [network(images, positions, progress, train)[0] for network in self.networks]
        return jnp.stack(logits).mean(axis=0), None


def averaged(network: nn.Module, count: int) -> nn.Module:
    """Returns the module of so many networks like this one; of one it is that itself."""
    return network if count == 1 else Members(tuple(network.clone() for _ in range(count)))


def joined(members: Sequence[Mapping[str, Any]]) -> Variables:
    """Returns the variables of `averaged` from those of each network; a single one stays as it is.

    Args:
      members: `params` and `batch_stats` of each.
    """
    if len(members) == 1:
        return dict(members[0])
    collections = dict.fromkeys(name for member in members for name in member)
    return {
        name: {f"{_PREFIX}{i}": member.get(name, {}) for i, member in enumerate(members)}
        for name in collections
    }


def parted(variables: Mapping[str, Any]) -> list[Variables]:
    """Returns the variables of each network; the inverse of `joined`."""
    params = variables.get("params", {})
    names = [f"{_PREFIX}{i}" for i in range(len(params))]
    if set(names) != set(params) or len(names) < 2:
        return [dict(variables)]
    return [{kind: values.get(name, {}) for kind, values in variables.items()} for name in names]
