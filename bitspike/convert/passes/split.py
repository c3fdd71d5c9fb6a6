"""Splitting: populations of many neurons become several of at most so many, as a target's cores hold them.

Rules:

1. A population of more than `neurons` neurons becomes parts called ``NAME_0``, ``NAME_1``, ... (with another ``_``
   where that name is taken), neighbours in the network's order, of equal size as far as that goes. Their neurons, one
   part after the other, are those of the population. A part is flat, unless windows are about: then it has whole
   channels. Where one channel alone has more than `neurons` neurons the network is refused. Both ends of an identity or
   a pool have as many parts as the one that needs more, so that it goes from part to part.
2. Each connection becomes one for every pair of parts that has synapses: dense ones by rows and columns, convolutions
   by channels. An identity or a pool between parts that do not match, as from an input, becomes the dense matrix or the
   convolution that adds the same, with weights of 0 where there was no synapse; so does a convolution in groups.
3. The read-out of a population becomes those of its parts, in order, in the same answer, so that the scores are what
   they were (:meth:`bitspike.sim.record.Record.scores` joins them).

The claim: every neuron has the trace that it had.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitspike.convert.connection import Connection
from bitspike.convert.connections import Conv2d, Dense, Identity, SumPool2d, Windowed
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.passes.blocks import spatial
from bitspike.convert.relays import free_name
from bitspike.convert.weights import weights_of
from bitspike.errors import UnsupportedError, UsageError

#: Of each input and population its parts: names, and the neurons that each has.
Parts = dict[str, list[tuple[str, slice]]]


def split(network: IntegerNetwork, neurons: int = 1024) -> IntegerNetwork:
    """`network` in populations of at most `neurons`; the same object where none has more.

    Raises:
        UnsupportedError: where one channel of a population that windows read or fill has more neurons.
    """
    if neurons < 1:
        raise UsageError(f"neurons {neurons}; expected 1 or more")
    parts = parts_of(network, neurons)
    if all(len(found) == 1 for found in parts.values()):
        return network
    by_channel = spatial(network)
    populations = [
        replace(p, name=name, shape=_part_shape(p, where, p.name in by_channel), bias_mantissa=p.bias_mantissa[where])
        if len(parts[p.name]) > 1
        else p
        for p in network.populations
        for name, where in parts[p.name]
    ]
    return replace(
        network,
        populations=tuple(populations),
        connections=tuple(part for c in network.connections for part in _blocks(c, parts)),
        readouts=tuple(replace(r, population=name) for r in network.readouts for name, _ in parts[r.population]),
    )


def parts_of(network: IntegerNetwork, neurons: int) -> Parts:
    """The parts that :func:`split` makes of each input and population: their names, and which neurons they have."""
    taken, by_channel = set(network.shapes()), spatial(network)
    parts: Parts = {entry.name: [(entry.name, slice(0, entry.size))] for entry in network.inputs}
    units: dict[str, int] = {}
    counts: dict[str, int] = {}
    for p in network.populations:
        unit = p.size // p.shape[0] if p.name in by_channel else 1
        if unit > neurons:
            raise UnsupportedError(
                f"population {p.name}: a channel of {unit} neurons; parts of at most {neurons} hold whole channels"
            )
        units[p.name] = p.size // unit
        counts[p.name] = -(-units[p.name] // (neurons // unit))
    _balance(network, units, counts)
    for p in network.populations:
        count, number = counts[p.name], units[p.name]
        ends = [number * k // count * (p.size // number) for k in range(count + 1)]
        names = [free_name(p.name, f"_{k}", taken) for k in range(count)] if count > 1 else [p.name]
        parts[p.name] = [(name, slice(ends[k], ends[k + 1])) for k, name in enumerate(names)]
    return parts


def _balance(network: IntegerNetwork, units: dict[str, int], counts: dict[str, int]) -> None:
    """Raise `counts` to those of the other end of each identity and pool that has as many units."""
    tied = [
        (c.source, c.target)
        for c in network.connections
        if isinstance(c, Identity | SumPool2d) and units.get(c.source) == units[c.target]
    ]
    for _ in tied:
        for ends in tied:
            most = max(counts[end] for end in ends)
            counts.update(dict.fromkeys(ends, most))


def _part_shape(p: Population, where: slice, by_channel: bool) -> tuple[int, ...]:
    size = where.stop - where.start
    return (size * p.shape[0] // p.size, *p.shape[1:]) if by_channel else (size,)


def _blocks(c: Connection, parts: Parts) -> Iterator[Connection]:
    """Rule 2."""
    sources, targets = parts[c.source], parts[c.target]
    if len(sources) == len(targets) == 1:
        yield c
        return
    if isinstance(c, Identity | SumPool2d) and _match(c, sources, targets):
        for (source, where), (target, _) in zip(sources, targets, strict=True):
            size = where.stop - where.start
            if isinstance(c, Identity):
                yield replace(c, source=source, target=target, size=size)
            else:
                channels = size * c.source_shape[0] // c.shape[1]
                yield replace(c, source=source, target=target, source_shape=(channels, *c.source_shape[1:]))
        return
    whole = _matrix(c)
    for target, rows in targets:
        for source, columns in sources:
            if isinstance(c, Windowed):
                yield from _window_block(c, whole, (source, columns), (target, rows))
            elif whole[rows, columns].any():
                weights = weights_of(whole[rows, columns])
                yield Dense(source=source, target=target, weights=weights, exponent=c.exponent, delay=c.delay)


def _match(c: Connection, sources: list[tuple[str, slice]], targets: list[tuple[str, slice]]) -> bool:
    """Whether parts end at the same share of both ends, which are neurons or channels one by one."""
    rows, columns = c.shape
    return [where.stop * rows for _, where in sources] == [where.stop * columns for _, where in targets]


def _matrix(c: Connection) -> npt.NDArray[np.int64]:
    """Mantissas of all synapses, (targets, sources), or (channels, channels, height, width) of a window."""
    if isinstance(c, Dense):
        return c.weights.matrix()
    if isinstance(c, Identity):
        return np.eye(c.size, dtype=np.int64) * c.weight
    if not isinstance(c, Windowed):
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}, which has no parts")
    taps = np.stack([c.tap(y, x) for y, x in np.ndindex(*c.window)], axis=-1) >> c.exponent
    return taps.reshape(*taps.shape[:2], *c.window)


def _window_block(
    c: Windowed, whole: npt.NDArray[np.int64], source: tuple[str, slice], target: tuple[str, slice]
) -> Iterator[Connection]:
    inner, outer = (
        slice(where.start * channels // size, where.stop * channels // size)
        for (_, where), channels, size in zip((source, target), whole.shape[1::-1], c.shape[::-1], strict=True)
    )
    kernels = whole[outer, inner]
    if not kernels.any():
        return
    yield Conv2d(
        source=source[0], target=target[0], exponent=c.exponent, delay=c.delay,
        source_shape=(kernels.shape[1], *c.source_shape[1:]), kernel=c.window, stride=c.stride, padding=c.padding,
        dilation=c.dilation, weights=weights_of(kernels.reshape(len(kernels), -1)),
    )  # fmt: skip
