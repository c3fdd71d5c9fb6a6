"""Square windows that slide over (channels, height, width). This module does not import torch."""

from dataclasses import dataclass

from bitspike.errors import UsageError

Space = tuple[int, int, int]

CHANNELS = 1 << 16
"""Most channels of a population."""
KERNEL, STRIDE, PADDING = 255, 255, 127
"""Most of each; larger ones are mistakes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A square window.

    Attributes:
        kernel: height and width, 1 or more.
        stride: vertical and horizontal, 1 or more.
        padding: rows and columns of silence on each side, 0 or more.
    """

    kernel: int
    stride: int = 1
    padding: int = 0

    def fit(self, source: Space) -> tuple[int, int]:
        """Return height and width of what the window gives from (channels, height, width).

        Raises:
            UsageError: a window that does not fit; the message starts with ``kernel``.
        """
        padded = min(source[1:]) + 2 * self.padding
        if self.kernel > padded:
            raise UsageError(
                f"kernel: found {self.kernel} over shape {source}; expected at most {padded}, its smaller side with "
                f"padding {self.padding}"
            )
        height, width = ((size + 2 * self.padding - self.kernel) // self.stride + 1 for size in source[1:])
        return height, width
