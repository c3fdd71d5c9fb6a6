"""What the forward and the backward kernel share.

Samples and neurons do not depend on each other, so that a block of neurons of one sample goes through all steps while
its state stays in the cache. Each step is a row of short loops over few arrays: a compiler gives up vector lanes where
many arrays might overlap.

Numba keeps compiled kernels by the time stamp of the file that they are in: after a change here or in
:mod:`bitspike.train.kernels.arithmetic`, touch the modules of the kernels too.
"""

from typing import Any

import numpy as np
from numba import njit

from bitspike.train.kernels.arithmetic import FAST, load

BLOCK = 512
"""Neurons that go through time together."""
UNITS, PER_UNIT = np.float32(64.0), np.float32(1.0 / 64.0)
QUARTER_TURN = np.float32(np.pi / 2)
ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0.0, 0.5, 1.0, 2.0))


@njit(fastmath=FAST, error_model="numpy")
def add(state: Any, keep: Any, more: Any) -> None:
    """Multiply a state by `keep` and add."""
    for n in range(len(state)):
        state[n] = keep * state[n] + load(more, n)


@njit(fastmath=FAST, error_model="numpy")
def silence(state: Any, fired: Any) -> None:
    """Clear the state of the neurons that fired."""
    for n in range(len(state)):
        state[n] = ZERO if fired[n] != 0 else state[n]
