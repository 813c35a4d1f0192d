"""Networks of the virtual-codec paper (arXiv 1712.05969): grey, plain convolutions, no skip, no normalisation.

Their argument is the width, 128 in the paper. Each network serves one codec at one setting, so the condition is
ignored.
"""

from __future__ import annotations

from typing import Final, final

from torch import Tensor, nn

PUBLISHED_WIDTH: Final = 128


@final
class PaperDescriptionNet(nn.Module):
    """Description network of the paper (FDNN): makes a picture of half the image's size.

    image ──► 9x9, 1→C ──► 3x3 stride 2 ──► four 3x3 ──► 9x9, C→1 ──► description
    """

    def __init__(self, *, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        self.ratio = 0.5
        self.multiple = 2
        self.stride = 1
        self.radius = 22
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 9, padding=4),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(),
            *_convolutions(width, layers=4),
        )
        self.tail = nn.Conv2d(width, 1, 9, padding=4)

    def forward(self, image: Tensor, _condition: Tensor | None = None) -> Tensor:
        """[B, 1, 2h, 2w] in [0, 1] -> [B, 1, h, w], not clipped."""
        described: Tensor = self.tail(self.body(image))
        return described


@final
class PaperRestorationNet(nn.Module):
    """Architecture of the paper's PPNN and of its VCNN, each with its own weights: doubles the size of a picture.

    decoded, or description ──► 9x9, 1→C ──► six 3x3 ──► transposed 9x9 stride 2, C→1 ──► restored
    """

    def __init__(self, *, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        self.ratio = 2
        self.multiple = self.stride = 1
        self.radius = 13
        self.body = nn.Sequential(nn.Conv2d(1, width, 9, padding=4), nn.ReLU(), *_convolutions(width, layers=6))
        self.tail = nn.ConvTranspose2d(width, 1, 9, stride=2, padding=4, output_padding=1)

    def forward(self, picture: Tensor, _condition: Tensor | None = None) -> Tensor:
        """[B, 1, h, w] in [0, 1] -> [B, 1, 2h, 2w], not clipped."""
        restored: Tensor = self.tail(self.body(picture))
        return restored


def _convolutions(width: int, *, layers: int) -> list[nn.Module]:
    pairs = [(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()) for _ in range(layers)]
    return [module for pair in pairs for module in pair]
