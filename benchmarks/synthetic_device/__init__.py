"""Benchmark of serving around the device: synthetic devices of known speed in place of a processor or a GPU."""
