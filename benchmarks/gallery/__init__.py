"""Gallery of crops, compared with ordinary codecs."""
