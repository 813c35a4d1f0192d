"""Benchmark of restoring: where its time goes, and what could make it cheaper."""
