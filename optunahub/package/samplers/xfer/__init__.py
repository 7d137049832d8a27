"""A sampler that learns from other studies, of the package xfernas_jax."""

try:
    from xfernas_jax import XferSampler
except ImportError as error:
    raise ImportError(
        "samplers/xfer needs the package xfernas_jax; see its page, section Installation."
    ) from error

__all__ = ["XferSampler"]
