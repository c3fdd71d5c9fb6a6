"""Chips as data: what a core holds, what a register holds and how long a step takes, each figure with its source.

The files beside this module are read by :mod:`bitspike.targets.chips.reader`, as a user's own file is.
"""

import os
from functools import cache
from pathlib import Path

from bitspike.errors import UsageError
from bitspike.targets.chips.figures import GRADES, Chip, Figure
from bitspike.targets.chips.reader import read_chip

__all__ = ["CHIPS", "GRADES", "Chip", "Figure", "chip"]

#: The chips that come with the package.
CHIPS = ("loihi1", "loihi2", "tiny")


def chip(name: str | os.PathLike[str] | Chip) -> Chip:
    """The chip called `name`, or that of the file `name`, which ends in ``.toml``; a chip itself is returned as it is.

    Raises:
        UsageError: no such chip; the message lists those that are known.
        FileError, ChipError: a file that cannot be read, or whose figures are not what they should be.
    """
    if isinstance(name, Chip):
        return name
    if str(name) in CHIPS:
        return _packaged(str(name))
    if str(name).endswith(".toml"):
        return read_chip(Path(name))
    raise UsageError(f"chip {str(name)!r}; expected one of {', '.join(CHIPS)}, or a file FILE.toml")


@cache
def _packaged(name: str) -> Chip:
    return read_chip(Path(__file__).parent / f"{name}.toml")
