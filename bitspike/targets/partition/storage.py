"""How many bits the synapses of a connection take on a core.

Rules, by nengo-loihi 1.1 (``block.py``, ``SynapseConfig.bits_per_axon``), the only public statement of them:

1. The synapses of an axon form a list. It lies in blocks of at most ``synapses_per_block``, each with a header, each
   rounded up to whole words of memory.
2. A synapse has the bits of its weight and of its delay, and in an indexed list those of its target's number, in one
   of the widths that the chip has. A dense list has no numbers: it holds all neurons of the piece in order, zeros too.
3. All lists of a connection on a core have one form: the fewest bits of weight that hold all of the connection's
   weights exactly (:func:`weight_form`), dense or indexed. Weights of -1 and +1 take 2 bits: an excitatory and an
   inhibitory list of 1 bit each have as many in all, and twice the headers.

What nengo-loihi leaves open, and is assumed here: numbers count from the piece's first neuron, also where the core
holds other pieces; a delay of d steps beyond the first takes as many bits as the number d has.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Identity
from bitspike.targets.chips import Chip

Integers = npt.NDArray[np.int64]
#: Bits of a mantissa, beside the sign.
_MANTISSA = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightForm:
    """Weights of `width` bits and an exponent; of both signs where `mixed`, with one of the bits for it."""

    width: int
    exponent: int
    mixed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Lists:
    """What a chip's lists of synapses take.

    Attributes:
        block, header, word: synapses of a block, bits of its header, bits of a word.
        indices: widths of a target's number, ascending.
    """

    block: int
    header: int
    word: int
    indices: tuple[int, ...]

    def bits(self, counts: Integers, each: int) -> Integers:
        """Bits of lists of `counts` synapses of `each` bits; of an empty list none."""
        full, rest = np.divmod(np.asarray(counts, np.int64), self.block)
        return full * self._words(self.block * each) + np.where(rest > 0, self._words(rest * each), 0)

    def least(self, count: int, each: int, parts: int) -> int:
        """The fewest bits of `count` synapses of `each` bits, cut into at most so many lists.

        All blocks of a list but its last are full. So it is the last ones, of at most `parts` lists, that cut what full
        blocks leave over; how many they have in all is what has to be found.
        """
        most = min(count, parts * (self.block - 1))
        ends = _ends(self, each, parts)[: most + 1]
        full = np.arange(count, count - most - 1, -1)
        whole = full % self.block == 0
        return int((full[whole] // self.block * int(self.bits(np.array(self.block), each)) + ends[whole]).min())

    def least_rate(self, each: int) -> Fraction:
        """The fewest bits a synapse of `each` bits takes, in the list of the best length."""
        costs = self.bits(np.arange(1, self.block + 1), each).tolist()
        return min(Fraction(cost, length) for length, cost in enumerate(costs, 1))

    def index_width(self, targets: int) -> int | None:
        """Bits of a number below `targets`; None where the chip has none so wide."""
        return next((width for width in self.indices if targets <= 1 << width), None)

    def _words(self, bits: Integers | int) -> Integers:
        return -(-(np.asarray(bits) + self.header) // self.word) * self.word


@cache
def _ends(lists: Lists, each: int, parts: int) -> Integers:
    """The fewest bits of lists that are no longer than a block less one: at most `parts`, by the synapses of all."""
    costs = lists.bits(np.arange(lists.block), each)
    found = np.full(parts * (lists.block - 1) + 1, np.iinfo(np.int64).max // 2, np.int64)
    found[0] = 0
    if parts:
        before = _ends(lists, each, parts - 1)
        for length, cost in enumerate(costs):
            there = found[length : length + len(before)]
            np.minimum(there, before + cost, out=there)
    return found


def lists_of(chip: Chip) -> Lists | None:
    """How `chip` stores synapses; None where nobody has published it."""
    block, header = chip.limit("synapses_per_block"), chip.limit("block_header_bits")
    word, indices = chip.limit("memory_word_bits"), chip.index_widths
    if block is None or header is None or word is None or indices is None:
        return None
    return Lists(block=block, header=header, word=word, indices=indices.value)


def weight_form(connection: Connection, chip: Chip) -> WeightForm | None:
    """The fewest bits in which `chip` holds the connection's effective weights exactly; None where it has no such form.

    A weight of `width` bits is the top of a mantissa of 8 bits, and is then shifted by the exponent; in a connection
    of both signs the mantissa has a ninth bit for the sign.
    """
    values = distinct_weights(connection)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    common = int(np.bitwise_or.reduce(np.abs(values))) if values.size else 0
    twos = (common & -common).bit_length() - 1 if common else 0
    mixed = low < 0 < high
    widths = tuple(range(1, _MANTISSA + 1)) if chip.weight_widths is None else chip.weight_widths.value
    least, most = (-64, 64) if chip.weight_exponents is None else chip.weight_exponents.value
    for width in widths:
        reach = (1 << width - 1, (1 << width - 1) - 1) if mixed else ((1 << width) - 1,) * 2
        for shift in range(twos, -1, -1):
            exponent = shift - (_MANTISSA - width + mixed) if common else 0
            fits = -(low >> shift) <= reach[0] and high >> shift <= reach[1]
            if width > 0 and fits and least <= exponent <= most:
                return WeightForm(width=width, exponent=exponent, mixed=mixed)
    return None


def distinct_weights(connection: Connection) -> Integers:
    """The different effective weights of a connection."""
    if isinstance(connection, Dense):
        return np.unique(connection.effective())
    if isinstance(connection, Conv2d):
        return np.unique(connection.kernels())
    weight = connection.weight if isinstance(connection, Identity) else 1
    return np.array([weight << connection.exponent], np.int64)


def delay_bits(connection: Connection) -> int:
    """Bits of a synapse's delay, in chip time: the first step is every synapse's own."""
    return max(connection.delay - 1, 0).bit_length()
