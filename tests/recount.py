"""What the cores of a partition use, counted anew from single synapses, in loops."""

from collections import defaultdict

import numpy as np

from bitspike.convert.connections import Conv2d, Dense, Windowed
from bitspike.targets.lava.encode import encode
from bitspike.targets.partition import Partition


def recount(partition: Partition) -> list[dict[str, int]]:
    """Each core's use of each resource."""
    network, chip = partition.network, partition.chip
    totals = [defaultdict(int) for _ in partition.cores]
    sets = [defaultdict(set) for _ in partition.cores]
    cores_of = {p.name: partition.core_of(p.name) for p in network.populations}
    for number, core in enumerate(partition.cores):
        for piece in core.pieces:
            p = network.population(piece.population)
            totals[number]["neurons"] += len(piece.neurons)
            sets[number]["decay_groups"].add((p.du, p.dv))
            sets[number]["threshold_groups"].add(p.vth)
    for c in network.connections:
        encoded, width = encode(effective_weights(c), c.name), weight_width(c, chip)
        sign, shift = (
            bool(effective_weights(c).min(initial=0) < 0 < effective_weights(c).max(initial=0)),
            width - encoded.bits,
        )
        name = c.name if sum(o.name == c.name for o in network.connections) == 1 else f"{c.name} delay={c.delay}"
        for number, core in enumerate(partition.cores):
            mine = np.flatnonzero(cores_of[c.target] == number)
            if not len(mine):
                continue
            way = dict(core.storage)[name]
            lists, index = synapse_lists(c, mine), index_width(chip, len(mine)) if way != "dense" else 0
            form = (width, index, (c.delay - 1).bit_length())
            used = {source for source, found in lists.items() if found}
            if used:
                sets[number]["synapse_formats"].add((*form, encoded.exponent + shift, sign))
            if way == "shared":
                (stored, axons), slots = shared(c, lists), chip.shared_axon_slots.value
            else:
                stored = [len(mine) if way == "dense" else len(found) for found in lists.values() if found]
                axons, slots = len(used), 1
            totals[number]["input_axons"] += axons
            totals[number]["synapse_bits"] += sum(list_bits(chip, length, sum(form)) for length in stored)
            if c.source in cores_of:
                for source in used:
                    totals[cores_of[c.source][source]]["output_axons"] += slots
    return [
        {**{k: total[k] for k in ("neurons", "synapse_bits", "input_axons", "output_axons")},
         **{k: len(some[k]) for k in ("decay_groups", "threshold_groups", "synapse_formats")}}
        for total, some in zip(totals, sets, strict=True)
    ]  # fmt: skip


def synapse_lists(c, targets):
    """By source, its targets: their places among `targets`, with the weight's place in the window."""
    lists = {source: [] for source in range(c.shape[1])}
    if isinstance(c, Dense):
        for place, source in np.argwhere(c.weights.matrix()[targets]).tolist():
            lists[source].append((place, None))
        return lists
    for place, target in enumerate(targets.tolist()):
        for source in c.inputs_of(target)[0].tolist():
            lists[source].append((place, tap(c, target, source)))
    return lists


def tap(c, target, source):
    """The place of the window that leads from `source` to `target`."""
    if not isinstance(c, Windowed):
        return None
    _, *there = np.unravel_index(target, c.target_shape)
    _, *here = np.unravel_index(source, c.source_shape)
    return tuple(
        (int(h) + pad - int(t) * stride) // dilation
        for h, t, pad, stride, dilation in zip(here, there, c.padding, c.stride, c.dilation, strict=True)
    )


def shared(c, lists):
    """Lengths of the lists that are no copies of others, and the number of places of the source."""
    distinct, places = set(), set()
    for source, found in lists.items():
        if found:
            channel, *place = np.unravel_index(source, c.source_shape)
            first = found[0][0]
            distinct.add((int(channel), tuple((target - first, which) for target, which in found)))
            places.add(tuple(map(int, place)))
    return [len(connected) for _, connected in distinct], len(places)


def weight_width(c, chip):
    """The fewest of the chip's bits that are enough by Lava's own encoding."""
    least = encode(effective_weights(c), c.name).bits
    return min(width for width in chip.weight_widths.value if width >= least)


def effective_weights(c):
    """All effective weights, at least once each."""
    if isinstance(c, Dense):
        return c.effective()
    if isinstance(c, Conv2d):
        return c.kernels()
    return np.concatenate([c.inputs_of(target)[1] for target in range(c.shape[0])])


def index_width(chip, targets):
    """The first width that is enough."""
    return next(width for width in chip.index_widths.value if 2**width >= targets)


def list_bits(chip, length, each):
    """Blocks of a header and synapses, in whole words."""
    bits, block = 0, chip.synapses_per_block.value
    while length > 0:
        some = chip.block_header_bits.value + min(length, block) * each
        word = chip.memory_word_bits.value
        bits += (some + word - 1) // word * word
        length -= block
    return bits
