"""Servers of the comparison. Each request restores or compresses one picture, from bytes to bytes."""
