"""Measurement of a device in one run: bare networks, and the service through HTTP. The result is a page."""
