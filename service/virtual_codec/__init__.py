"""Image compression that stays inside a standard codec.

    image -> description -> stream -> decoded -> restored

A description network makes a small picture of the image, an ordinary JPEG encoder codes it, and after an
ordinary JPEG decode a post-processing network brings back the image. (Zhao, Bai, Wang, Zhao, "Learning a
Virtual Codec Based on Deep Convolutional Neural Network to Compress Image", arXiv 1712.05969.)

Importing this package loads nothing heavy; in particular it never loads torch.
"""

__version__ = "0.1.0"
