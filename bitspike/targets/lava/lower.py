"""Lowering: a network in the registers of Lava's processes, as a value that can be printed, compared and built.

Rules:

1. The network is put into chip time (:func:`bitspike.convert.retime.retime`): Lava's synapses deliver in the step after
   the spike. Where a connection has a delay of its own, as every recurrent one has, it gets an input first that keeps
   the gap between two samples quiet (:func:`bitspike.convert.passes.quiet.quiet`): then samples can follow one another
   in one run, and no spike that a bias sends before the first one outlives the reset. Where that is not possible each
   sample has a run of its own.
2. A convolution becomes a ``Conv``, a sum pool one whose kernel is 1 and that has a group for each channel. What these
   connect lies in Lava's order (:mod:`bitspike.targets.lava.layout`). ``Conv`` ignores exponents and keeps its geometry
   in 8 bits with a sign: where weights are beyond 8 bits, or extents or groups beyond 127, rule 4 applies.
3. ``Conv`` has no delay. One of delay d > 1 reads a relay that is d - 1 steps late.
4. Any other connection becomes a ``Dense`` or, where that takes less memory, a ``Sparse``; of delay d > 1 a
   ``DelayDense`` or ``DelaySparse`` whose own delay is d - 1. Weights take the densest exact form
   (:mod:`bitspike.targets.lava.encode`). Weights of both signs that have none in 8 bits become the sum of up to three
   such connections.
5. A population becomes a ``LIFReset``. Lava adds 1 to the `du` that it is given, so the register holds ``du - 1``;
   an effective 0 is -1. `dv`, `vth` and the bias go over as they are. Lava's CPU model takes a `du` of -1 and a `dv` of
   4096, and lava-dl writes both; Loihi 1 has no register value for them: :attr:`LavaProgram.cautions` says where.
6. Reset by subtraction and graded spikes, which Lava's neurons have not, need a process of ours
   (:mod:`bitspike.targets.lava.neurons`); it has no model for the chip.

Registers that are narrower on the chip than in Lava's models are no concern here: the range proof refuses a network
whose summed input could leave 21 bits (Lava has no such limit), the rules one whose bias has more than 13 (Lava keeps
16, and takes what is wider for another number).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bitspike.convert.connections import Connection as Synapses
from bitspike.convert.connections import Conv2d, Dense, Integers, Windowed
from bitspike.convert.network import IntegerNetwork, Population
from bitspike.convert.passes.quiet import gap_of, quiet
from bitspike.convert.relays import waiting
from bitspike.convert.retime import retime
from bitspike.convert.rules import check
from bitspike.errors import BitspikeError, RangeError, UnsupportedError
from bitspike.targets.lava.coordinates import coordinates
from bitspike.targets.lava.encode import encode
from bitspike.targets.lava.layout import Shape, lava_index, lava_shape, our_index, to_lava
from bitspike.targets.lava.program import (
    Connection,
    ConvConnection,
    DenseConnection,
    LavaProgram,
    Neurons,
    Source,
    SparseConnection,
)

__all__ = ["LavaProgram", "lower"]

#: What Lava's ``Conv`` holds of strides, paddings, dilations, kernel sizes and groups: 8 bits with a sign.
GEOMETRY_MAX = 127
#: Bits of a target's index in a sparse synapse: none below 6, none above 12 (nengo-loihi 1.1, ``block.py``).
INDEX_BITS = (6, 12)


def lower(network: IntegerNetwork) -> LavaProgram:
    """A legal network in Lava's registers.

    Raises:
        UnsupportedError: naming the population or connection that Lava cannot hold exactly.
    """
    chip, gap = _chip_time(check(network))
    chip = waiting(chip, is_conv)
    spatial = {end for c in chip.connections if is_conv(c) for end in (c.source, c.target)}
    shapes = {node.name: lava_shape(node.shape, in_space=node.name in spatial) for node in chip.nodes()}
    payloads = {p.name: p.payload_max.bit_length() for p in chip.populations if p.graded}
    return LavaProgram(
        name=chip.name,
        sources=tuple(Source(name=i.name, shape=shapes[i.name]) for i in chip.inputs),
        neurons=tuple(_neurons(p, shapes[p.name]) for p in chip.populations),
        connections=tuple(
            made for c in chip.connections for made in _connections(c, shapes, payloads.get(c.source, 0))
        ),
        gap=gap,
        quiet=len(chip.inputs) > len(network.inputs),
    )


def is_conv(c: Synapses) -> bool:
    """Whether a connection is a window that Lava's ``Conv`` holds exactly (rule 2)."""
    if not isinstance(c, Windowed):
        return False
    geometry = (*c.window, *c.stride, *c.padding, *c.dilation, _groups(c))
    if max(geometry) > GEOMETRY_MAX:
        return False
    weights = _kernels(c)
    return len(_parts(weights)) == 1 and weights.min(initial=0) >= -256 and weights.max(initial=0) <= 255


def _chip_time(network: IntegerNetwork) -> tuple[IntegerNetwork, int | None]:
    """Rule 1: the network in chip time, and the gap between samples; None where each is alone."""
    late = network.latencies()
    if all(c.delay == late[c.target] - late[c.source] for c in network.connections):
        return retime(network), 0
    if any(late.values()):
        return retime(network), None
    # No state grows for longer than from one reset to the next, or from the run's begin to the first reset.
    latency = max(retime(network, led=True).latencies().values())
    try:
        led = quiet(replace(network, steps=network.steps + latency))
    except (UnsupportedError, RangeError) as error:
        return _alone(network, error), None
    return retime(replace(led, steps=network.steps), led=True), gap_of(network)


def _alone(network: IntegerNetwork, reason: BitspikeError) -> IntegerNetwork:
    """The network in chip time, where no gap can be kept quiet, for the reason given."""
    try:
        return retime(network)
    except UnsupportedError as error:
        raise UnsupportedError(f"{error}; nor can a gap before the first input be kept quiet: {reason}") from None


def _neurons(p: Population, shape: Shape) -> Neurons:
    return Neurons(
        name=p.name,
        shape=shape,
        du=p.du - 1,
        dv=p.dv,
        vth=p.vth,
        bias_mant=to_lava(p.bias_mantissa, shape),
        bias_exp=p.bias_exponent,
        start=p.start,
        subtract=p.reset == "subtract",
        payload_shift=p.payload_shift if p.graded else None,
    )


def _connections(c: Synapses, shapes: Mapping[str, Shape], message_bits: int) -> Iterator[Connection]:
    ends = {"source": c.source, "target": c.target, "delay": c.delay, "message_bits": message_bits}
    source, target = shapes[c.source], shapes[c.target]
    if isinstance(c, Windowed) and is_conv(c):
        yield _conv(c, ends)
    elif isinstance(c, Dense):
        for weights in _parts(c.effective()[our_index(target)][:, our_index(source)]):
            yield _dense_or_sparse(c, ends, weights)
    else:
        sources, targets, weights = coordinates(c)
        sources, targets = lava_index(source)[sources], lava_index(target)[targets]
        order = np.lexsort((sources, targets))
        for part in _parts(weights[order]):
            yield _sparse(c, ends, targets[order], sources[order], part)


def _conv(c: Windowed, ends: dict[str, Any]) -> ConvConnection:
    """Rule 2: (targets, sources, height, width) becomes (targets, width, height, sources), flipped."""
    kernel = _kernels(c)[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    channels, height, width = c.target_shape
    return ConvConnection(
        **ends,
        kernel=kernel.astype(np.int32),
        input_shape=c.source_shape[::-1],
        output_shape=(width, height, channels),
        stride=c.stride[::-1],
        padding=c.padding[::-1],
        dilation=c.dilation[::-1],
        groups=_groups(c),
    )


def _kernels(c: Windowed) -> Integers:
    """Effective weights, (target channels, source channels / groups, height, width)."""
    if isinstance(c, Conv2d):
        return c.kernels()
    return np.full((c.target_channels, 1, *c.window), 1 << c.exponent)


def _groups(c: Windowed) -> int:
    return c.groups if isinstance(c, Conv2d) else c.target_channels


def _dense_or_sparse(c: Synapses, ends: dict[str, Any], weights: Integers) -> Connection:
    """Rule 4: whichever takes less memory, of a matrix in Lava's order; a sparse synapse holds its target's index."""
    dense = encode(weights, c.name)
    targets, sources = np.nonzero(weights)
    if weights.size * dense.bits <= len(targets) * (dense.bits + _index_bits(len(weights))):
        return DenseConnection(**ends, synapses=dense)
    return _sparse(c, ends, targets, sources, weights[targets, sources])


def _sparse(
    c: Synapses, ends: dict[str, Any], targets: Integers, sources: Integers, weights: Integers
) -> SparseConnection:
    used = weights != 0
    synapses = encode(weights[used], c.name)
    return SparseConnection(**ends, size=c.shape, targets=targets[used], sources=sources[used], synapses=synapses)


def _parts(weights: Integers) -> list[Integers]:
    """Weights that have an exact form each, and whose sum is `weights`: one of them wherever it has a form itself."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    common = int(np.bitwise_or.reduce(np.abs(weights), axis=None))
    twos = (common & -common).bit_length() - 1 if common else 0
    if (low < 0 < high and (low < -128 << twos or high > 127 << twos)) or low < -255 << twos:
        first = np.clip(weights, -128 << twos, 127 << twos)
        return [first, *_parts(weights - first)]
    return [weights]


def _index_bits(targets: int) -> int:
    """Of a target's index in a sparse synapse."""
    low, high = INDEX_BITS
    return min(max((targets - 1).bit_length(), low), high)
