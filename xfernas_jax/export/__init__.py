"""The folder that a user takes away: a trained network that JAX alone runs."""

from xfernas_jax.export.bundle import Bundle, TestImages, write_bundle
from xfernas_jax.export.card import ModelCard

__all__ = ["Bundle", "ModelCard", "TestImages", "write_bundle"]
