"""Gallery of crops beside those of ordinary codecs."""
