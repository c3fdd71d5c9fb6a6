"""Which populations a layer reads: sums of spikes, and currents that are added again. No torch here.

A layer reads its **sources**: their spikes are summed and go through the layer's weights. Since
W (a + b) = W a + W b, the collapsed network has one connection from each source, all with the same weights, and a
residual sum needs no spike other than 0 and 1. A source with fewer channels than the widest is padded with channels of
silence: its connection has the kernels' first input channels only.

Its **shortcuts** name earlier layers of the same shape. What those layers sum is added to what this one does,
y = W s + y_earlier (the shortcuts of arXiv 2508.12609): connections from the earlier sources with the earlier weights.
An earlier layer's own shortcuts are part of its sum.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitspike.errors import UsageError
from bitspike.train.windows import Window

Shape = tuple[int, ...]
INPUT = "input"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wires:
    """What one layer reads.

    Attributes:
        sources: earlier populations, or ``input``, whose spikes are summed; one or more.
        shortcuts: earlier layers whose summed input is added.
    """

    sources: tuple[str, ...]
    shortcuts: tuple[str, ...] = ()


def chain(names: Sequence[str]) -> tuple[Wires, ...]:
    """Return the wires of layers that each read the one before."""
    return tuple(Wires(sources=(before,)) for before in (INPUT, *names[:-1]))


def wire(names: Sequence[str], sources: tuple[str, ...], shortcuts: tuple[str, ...]) -> Wires:
    """Return the wires of the layer after the layers called `names`; without sources it reads the last of them.

    Raises:
        UsageError: an unknown or a repeated name; the message starts with ``sources`` or ``shortcuts``.
    """
    known = (INPUT, *names)
    for key, given, expected in (("sources", sources, known), ("shortcuts", shortcuts, tuple(names))):
        for name in given:
            if name not in expected:
                earlier = ", ".join(expected) or "none, since this is the first layer"
                raise UsageError(f"{key}: found {name!r}; expected earlier ones: {earlier}")
            if given.count(name) > 1:
                raise UsageError(f"{key}: found {name!r} {given.count(name)} times; expected each once")
    return Wires(sources=sources or known[-1:], shortcuts=shortcuts)


def widest(shapes: Mapping[str, Shape], sources: Sequence[str]) -> Shape:
    """Return the shape of the sum of several populations: the one with the most channels.

    Raises:
        UsageError: shapes that differ in more than their channels; the message starts with ``sources``.
    """
    found = [shapes[name] for name in sources]
    for shape in found[1:]:
        channels = len(shape) == len(found[0]) == 3
        if shape != found[0] and not (channels and shape[1:] == found[0][1:]):
            told = ", ".join(f"{name} {shapes[name]}" for name in sources)
            raise UsageError(f"sources: found {told}; expected equal shapes, or equal heights and widths")
    return max(found, key=math.prod)


def same_shape(shapes: Mapping[str, Shape], shortcuts: Sequence[str], shape: Shape) -> None:
    """Raise UsageError, which starts with ``shortcuts``, where one has another shape than `shape`, the layer's own."""
    for name in shortcuts:
        if shapes[name] != shape:
            raise UsageError(f"shortcuts: found {name} of shape {shapes[name]}; expected {shape}, this layer's own")


def terms(names: Sequence[str], wires: Sequence[Wires]) -> tuple[tuple[int, ...], ...]:
    """Return for each layer the numbers of all layers whose weighted sums are added up in it, itself first.

    A layer that is reached twice is there twice.
    """
    number = {name: at for at, name in enumerate(names)}
    found: list[tuple[int, ...]] = []
    for at, wired in enumerate(wires):
        found.append((at, *(term for name in wired.shortcuts for term in found[number[name]])))
    return tuple(found)


def check_read(names: Sequence[str], wires: Sequence[Wires]) -> None:
    """Refuse a layer before the last that no layer reads, as where a source was misspelt or forgotten.

    Raises:
        UsageError: the message starts with the layer's place.
    """
    read = {name for wired in wires for name in (*wired.sources, *wired.shortcuts)}
    for at, name in enumerate(names[:-1]):
        if name not in read:
            raise UsageError(
                f"layers[{at}]: found {name!r}, which no layer reads; expected it among the sources or shortcuts of one"
            )


def check_parallel(names: Sequence[str], wires: Sequence[Wires], windows: Sequence[Window | None]) -> None:
    """Refuse a layer that a source reaches several times over windows that cannot be laid into one.

    The collapsed network adds the weights of such connections (:mod:`bitspike.convert.parallel`).

    Raises:
        UsageError: the message starts with the layer's place and ``shortcuts``.
    """
    for at, numbers in enumerate(terms(names, wires)):
        reached: dict[str, list[Window]] = {}
        for number in numbers:
            window = windows[number]
            if window is not None:
                for source in wires[number].sources:
                    reached.setdefault(source, []).append(window)
        for source, found in reached.items():
            frame = max(found, key=lambda one: (one.padding, one.kernel))
            for one in found:
                rim = frame.padding - one.padding
                if one.stride != frame.stride or rim + one.kernel > frame.kernel:
                    raise UsageError(
                        f"layers[{at}].shortcuts: found a second way from {source}, over {one}; expected one that lies "
                        f"inside {frame}"
                    )
