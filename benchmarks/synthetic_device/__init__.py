"""Benchmark of serving around the device, with synthetic devices of known speed."""
