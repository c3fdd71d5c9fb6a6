"""Programs that a network can be written as: like formats, but nothing reads them back into a network."""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bitspike.convert.network import IntegerNetwork


@dataclass(frozen=True, kw_only=True, slots=True)
class Emitter:
    """A kind of program: its module has a function ``write(network, path)``.

    Attributes:
        name: as ``--format`` takes it.
        summary: what is written.
        endings: of file names.
        module: where the function is.
        engine: that runs the same, to prove it.
    """

    name: str
    summary: str
    endings: tuple[str, ...]
    module: str
    engine: str


EMITTERS: dict[str, Emitter] = {
    one.name: one
    for one in (
        Emitter(
            name="c", summary="C99, a source and a header", endings=(".c",), module="bitspike.targets.c.source",
            engine="c",
        ),
        Emitter(
            name="lava", summary="a script for Lava alone, and its data", endings=(".py",),
            module="bitspike.targets.lava.script", engine="lava",
        ),
    )
}  # fmt: skip


def emitter_of(path: str | os.PathLike[str], name: str | None = None) -> Emitter | None:
    """The emitter called `name`, or else the one that the ending of `path` says; None where it is a format's."""
    if name is not None:
        return EMITTERS.get(name)
    ending = Path(path).suffix.lower()
    return next((one for one in EMITTERS.values() if ending in one.endings), None)


def emit(network: IntegerNetwork, path: str | os.PathLike[str], emitter: Emitter) -> None:
    """Write the program."""
    import_module(emitter.module).write(network, path)
