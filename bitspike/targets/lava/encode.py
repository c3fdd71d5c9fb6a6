"""Weights in the registers of Lava's ``Dense`` and ``Sparse``, exact or refused.

Lava's fixed-point synapses hold a matrix of mantissas, one width, one exponent and one sign mode. What a spike then
adds is, by ``PyDenseModelBitAcc``, ``PySparseModelBitAcc`` and ``lava.utils.weightutils`` of lava-nc 0.10:

1. Each mantissa is clipped: excitatory to 0..255, inhibitory to -255..0, mixed to -256..255.
2. Its lowest ``8 - bits`` bits (one more in mixed mode) are dropped: toward minus infinity, in inhibitory mode toward
   0.
3. The sum over a step's spikes is shifted by the exponent: left, or right toward minus infinity. A right shift of the
   sum is exact where it is exact for each weight.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from bitspike.convert.value import Value, read_only
from bitspike.errors import UnsupportedError

Integers = npt.NDArray[np.int64]
#: Widths that Loihi 1 has; 7 is missing (nengo-loihi 1.1, ``block.py``).
WEIGHT_BITS = (1, 2, 3, 4, 5, 6, 8)
#: Exponents that both generations take (nengo-loihi 1.1, ``builder/validate.py``).
WEIGHT_EXPONENTS = range(-7, 8)


class SignMode(IntEnum):
    """Which signs a synapse's weights have; the numbers are those of ``lava.utils.weightutils.SignMode``."""

    MIXED = 1
    EXCITATORY = 2
    INHIBITORY = 3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Synapses(Value):
    """Weights as Lava holds them.

    Attributes:
        mantissas: int32, of any shape.
        bits: ``num_weight_bits``, one of :data:`WEIGHT_BITS`.
        exponent: ``weight_exp``, one of :data:`WEIGHT_EXPONENTS`.
        sign_mode: given to Lava always, since what it infers from a matrix without one sign is another mode.
    """

    mantissas: npt.NDArray[np.int32]
    bits: int
    exponent: int
    sign_mode: SignMode

    def __post_init__(self) -> None:
        object.__setattr__(self, "mantissas", read_only(self.mantissas, np.int32))


def effective(synapses: Synapses) -> Integers | None:
    """What each synapse adds for a spike by Lava's rules, in the shape of the mantissas.

    None where the exponent drops bits: then what a spike adds depends on the other spikes of the step.
    """
    kept = _truncated(_clipped(synapses.mantissas.astype(np.int64), synapses.sign_mode), synapses)
    if synapses.exponent >= 0:
        return kept << synapses.exponent
    values = kept >> -synapses.exponent
    return values if bool(np.all(values << -synapses.exponent == kept)) else None


def encode(wanted: Integers, name: str) -> Synapses:
    """The fewest bits that hold the effective weights `wanted`, of any shape, exactly.

    Weights of -1 and +1 become mantissas of -128 and +128 in 2 bits with exponent -7; 0 and 1 become 0 and 128 in one.

    Raises:
        UnsupportedError: naming connection `name`, where Lava has no exact form: weights that need 9 bits.
    """
    for bits in WEIGHT_BITS:
        for mode in _modes(wanted):
            synapses = _scaled(wanted, bits, mode)
            if synapses is not None and np.array_equal(effective(synapses), wanted):  # type: ignore[arg-type]
                return synapses
    low, high = int(wanted.min(initial=0)), int(wanted.max(initial=0))
    raise UnsupportedError(
        f"connection {name}: weights {low}..{high} have no exact form in Lava's 8 bits "
        "(of one sign they may reach 255; of both signs -128..127, or twice that where all are even)"
    )


def _modes(wanted: Integers) -> tuple[SignMode, ...]:
    """The sign modes that can hold these signs, the densest first."""
    if wanted.min(initial=0) >= 0:
        return SignMode.EXCITATORY, SignMode.MIXED
    if wanted.max(initial=0) <= 0:
        return SignMode.INHIBITORY, SignMode.MIXED
    return (SignMode.MIXED,)


def _scaled(wanted: Integers, bits: int, mode: SignMode) -> Synapses | None:
    """Weights divided by their common power of two, then moved to the top of the mantissa; None where out of reach."""
    common = int(np.bitwise_or.reduce(np.abs(wanted), axis=None))
    twos = (common & -common).bit_length() - 1 if common else 0
    dropped = _dropped_bits(bits, mode)
    exponent = twos - dropped if common else 0
    if exponent not in WEIGHT_EXPONENTS:
        return None
    return Synapses(mantissas=(wanted >> twos) << dropped, bits=bits, exponent=exponent, sign_mode=mode)


def _dropped_bits(bits: int, mode: SignMode) -> int:
    return 8 - bits + (mode is SignMode.MIXED)


def _clipped(mantissas: Integers, mode: SignMode) -> Integers:
    low = {SignMode.MIXED: -256, SignMode.EXCITATORY: 0, SignMode.INHIBITORY: -255}[mode]
    return np.clip(mantissas, low, 0 if mode is SignMode.INHIBITORY else 255)


def _truncated(mantissas: Integers, synapses: Synapses) -> Integers:
    dropped = _dropped_bits(synapses.bits, synapses.sign_mode)
    if synapses.sign_mode is SignMode.INHIBITORY:
        return -((-mantissas >> dropped) << dropped)
    return (mantissas >> dropped) << dropped
