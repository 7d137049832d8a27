"""Genotypes as Flax modules."""
