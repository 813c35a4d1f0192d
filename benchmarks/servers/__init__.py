"""Servers of the comparison: each restores or compresses one picture a request, bytes in, bytes out."""
