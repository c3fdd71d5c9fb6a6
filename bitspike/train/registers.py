"""Sizes of the chip's registers, and what all neurons of a population share. This module does not import torch."""

from dataclasses import dataclass
from typing import Literal

from bitspike.errors import UsageError

Reset = Literal["zero", "subtract"]
Spike = Literal["binary", "graded"]

FORGETS = 4096
"""Decay that keeps nothing of the step before."""
NEVER = 131071
"""Largest threshold; a population with it cannot spike."""
UNITS = 64
"""Register units in one weight."""
DECAY_BITS = 12
STATE_LIMIT = 2**23
"""Registers hold -2**23 to 2**23 - 1."""
INPUT_LIMIT = 2**15
"""The summed synaptic input of one step stays below this in magnitude."""
MANTISSA_RANGE = (-4096, 4095)
MAX_SHIFT = 16
"""Most bits, beyond those below one weight, that a payload leaves out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neuron:
    """What all neurons of a population share.

    Attributes:
        du: current decay, 0 to 4096; 4096 means no current memory.
        dv: voltage decay, 0 to 4096; 0 forgets nothing.
        vth: threshold in whole weights, 0 to 131071.
        reset: what a spike leaves of the membrane.
        bias_exponent: left shift of the bias mantissa in register units, 0 to 7.
        spike: what a neuron sends: ``binary``, 1, or ``graded``, the membrane before its reset in 2**shift weights,
            rounded down.
        shift: of graded spikes, 0 to 16; 2**shift is at most `vth`.
    """

    du: int = FORGETS
    dv: int = 0
    vth: int = NEVER
    reset: Reset = "zero"
    bias_exponent: int = 6
    spike: Spike = "binary"
    shift: int = 0

    def __post_init__(self) -> None:
        check_spike(self.spike, shift=self.shift, vth=self.vth)

    @property
    def graded(self) -> bool:
        """Whether spikes carry a payload."""
        return self.spike == "graded"

    @property
    def keep_u(self) -> float:
        """Fraction of the current that one step keeps."""
        return (FORGETS - self.du) / FORGETS

    @property
    def keep_v(self) -> float:
        """Fraction of the membrane that one step keeps."""
        return (FORGETS - self.dv) / FORGETS

    @property
    def bias_unit(self) -> float:
        """What a bias mantissa of 1 adds to the membrane in one step, in weights."""
        return 2.0**self.bias_exponent / UNITS


def check_spike(spike: Spike, *, shift: int, vth: int) -> None:
    """Raise UsageError, which starts with the key, where neurons cannot send such spikes."""
    if spike == "binary":
        if shift:
            raise UsageError(f"shift: found {shift} with binary spikes; expected 0, or spike 'graded'")
    elif vth == NEVER:
        raise UsageError(f"spike: found {spike!r} with a threshold of {NEVER}, which cannot spike; expected 'binary'")
    elif vth < 1 << shift:
        raise UsageError(f"vth: found {vth} with graded spikes of shift {shift}; expected {1 << shift} or more")
