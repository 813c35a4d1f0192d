"""Measurement of a device: bare networks and the service through HTTP in one run, as a page with the card's name."""
