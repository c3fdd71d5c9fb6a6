"""The fewest bits of synaptic memory that a window's target can take, in boxes of whatever extents.

Let a box have r rows, x columns and h channels, each connected to c channels of the source. Its lists hold

- dense: for each source row, column and connected channel all its ``r x h`` neurons: a neuron takes at least
  ``c * sources(rows) * sources(columns)`` times the bits of a synapse without a number;
- shared or indexed: at least ``c * h * seen(rows) * seen(columns)`` synapses with a number of at least the width that
  the box needs, where ``seen`` adds up the lengths of all different sets of places of the window that lead into the
  rows (or columns) from one source.

Both are a product over the two axes of what depends on one axis's span. So the best span of each length is found for
each axis, and then the best pair of lengths for each width of number. What a synapse takes beside its bits, a share of
a header and of rounding, is that of the best list (:meth:`bitspike.targets.partition.storage.Lists.least_rate`).
"""

from fractions import Fraction

from bitspike.targets.partition.storage import delay_bits
from bitspike.targets.partition.synapses import WindowSynapses

#: Rows (or columns) beyond which the search takes long, and each neuron is taken to cost a single bit a channel.
_FAR = 128


def least_window_bits(synapses: WindowSynapses) -> Fraction:
    """Bits that no partition of the target into boxes goes below."""
    c, lists, form = synapses.window, synapses.lists, synapses.form
    channels = int(c.connected().sum(axis=1).min())
    if lists is None or form is None or max(c.target_shape[1:]) > _FAR:
        return Fraction(0)
    each = form.width + delay_bits(c)
    rows, columns = (_best_spans(synapses, axis) for axis in (0, 1))
    # A dense box of one row and one column has the fewest sources for each of its neurons.
    best = min(s for s, _ in rows) * min(s for s, _ in columns) * lists.least_rate(each)
    for width in lists.indices:
        rate = lists.least_rate(each + width)
        for r, (_, seen_rows) in enumerate(rows, 1):
            for x, (_, seen_columns) in enumerate(columns, 1):
                if r * x <= 1 << width:
                    best = min(best, Fraction(seen_rows * seen_columns, r * x) * rate)
    return best * channels * c.shape[0]


def _best_spans(synapses: WindowSynapses, axis: int) -> list[tuple[int, int]]:
    """For each length of a span along `axis`: the fewest sources, and the fewest synapses that can be shared."""
    extent = synapses.window.target_shape[1 + axis]
    found = []
    for length in range(1, extent + 1):
        taps = [synapses.taps(axis, (first, first + length)) for first in range(extent - length + 1)]
        seen = min(sum(places.bit_count() for places in set(t.values())) for t in taps)
        found.append((min(len(t) for t in taps), seen))
    return found
