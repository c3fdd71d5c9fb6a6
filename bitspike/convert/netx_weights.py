"""What lava-dl's NetX loader and Lava's Dense process make of a weight matrix, so that a file never says one thing and
a chip does another.

NetX 0.6.0 shifts the matrix up until it fills 8 bits and gives Lava the mantissas, a number of weight bits and a
negative exponent; Lava 0.10.0 then infers the signs anew, clips, clears the low bits that the weight bits leave no room
for, and shifts the *sum* over a neuron's active synapses by the exponent. For most matrices the two cancel. For some
they do not: all weights -1 become 0, weights of -1 and 0 are halved, weights that are all 0 fail, odd weights beyond
127 beside negative ones need a ninth bit.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitspike.errors import UnsupportedError

Integers = npt.NDArray[np.int64]
WEIGHT_BITS = 8
#: The range of a mantissa in Lava: 8 bits and a sign.
LOWEST, HIGHEST = -256, 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Synapses:
    """A matrix as NetX hands it to Lava: it stands for ``mantissas * 2^exponent``, with `bits` bits kept."""

    mantissas: Integers
    bits: int
    exponent: int


def optimised(matrix: npt.ArrayLike) -> Synapses:
    """The mantissas, weight bits and exponent that NetX derives from an integer matrix.

    Raises:
        UnsupportedError: for an all-zero matrix, on which NetX fails, and for weights outside -256..255.
    """
    weights = np.asarray(matrix, dtype=np.int64)
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    if low == high == 0:
        raise UnsupportedError("all weights are 0, on which lava-dl's loader fails")
    if low < LOWEST or high > HIGHEST:
        raise UnsupportedError(f"weights in {low}..{high}; lava-dl's loader holds {LOWEST}..{HIGHEST}")
    low, high = int(weights.min()), int(weights.max())
    signed = low < 0 <= high
    if signed and high > HIGHEST - 1:
        weights, high = np.minimum(weights, HIGHEST - 1), HIGHEST - 1
    above, below = (127, -128) if signed else (255, -256)
    room = min(above / high if high > 0 else math.inf, below / low if low < 0 else math.inf)
    shift = math.floor(math.log2(room)) + signed
    zeros = next(n for n in range(8, -1, -1) if n == 0 or not np.any(weights % (1 << n))) - signed
    return Synapses(mantissas=weights << shift, bits=WEIGHT_BITS - shift - zeros, exponent=-shift)


def effective_weights(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """What each synapse of an integer matrix (targets, sources) adds in Lava, loaded by NetX.

    A value that is not an integer adds a part of a unit to the sum, which Lava then rounds down. The file is right
    exactly where the result equals the matrix.

    Raises:
        UnsupportedError: as :func:`optimised`.
    """
    return _kept(optimised(matrix))


def _kept(synapses: Synapses) -> npt.NDArray[np.float64]:
    mantissas = synapses.mantissas
    sign = -1 if mantissas.max() <= 0 else 1
    signed = bool(mantissas.min() < 0 < mantissas.max())
    clipped = np.clip(sign * mantissas, LOWEST if signed else 0, HIGHEST)
    dropped = WEIGHT_BITS - synapses.bits + signed
    # A negative number of bits happens for weights of at most 0 beyond -128; numpy's shift then leaves nothing.
    kept = (clipped >> dropped) << dropped if dropped >= 0 else np.zeros_like(clipped)
    return np.ldexp((sign * kept).astype(np.float64), synapses.exponent)


def refuse_changed(name: str, *matrices: npt.ArrayLike) -> None:
    """UnsupportedError, naming the connection, unless lava-dl and Lava leave it as it is, in 1..8 weight bits.

    A recurrent layer has two matrices: NetX chooses one number of bits and one exponent for both, and Lava looks at the
    signs of each alone.
    """
    parts = [np.asarray(matrix, dtype=np.int64) for matrix in matrices]
    try:
        both = optimised(np.hstack(parts))
    except UnsupportedError as error:
        raise UnsupportedError(f"connection {name}: {error}") from None
    begin = 0
    for weights in parts:
        part = replace(both, mantissas=both.mantissas[:, begin : begin + weights.shape[1]])
        begin += weights.shape[1]
        found = _kept(part)
        changed = found != weights
        if bool(np.any(changed)):
            row, column = (int(index[0]) for index in np.nonzero(changed))
            raise UnsupportedError(
                f"connection {name}: lava-dl's loader turns weight [{row}, {column}] from {weights[row, column]} into "
                f"{found[row, column]:g}; expected weights of both signs, or of at least 0, and none odd beyond 127"
            )
    if not 1 <= both.bits <= WEIGHT_BITS:
        raise UnsupportedError(f"connection {name}: lava-dl's loader gives it {both.bits} weight bits; the chip has 8")
