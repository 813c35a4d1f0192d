"""Benchmark of restoring: time of its parts, and ways to reduce it."""
