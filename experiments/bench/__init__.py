"""Timing scripts; each prints what it measures and writes JSON with --output."""
