"""The paths of the arithmetic, and the compiled loop that finds which of them a population took.

A path is a place where a mistake could hide: two arithmetics part there and nowhere else. Each neuron has a byte, one
bit a path.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.compiled import compiled
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, Population
from bitspike.convert.ranges import Bounds
from bitspike.sim.record import Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """One path.

    Attributes:
        name: as results say it.
        head: the same as the head of a column.
        unseen: the mistake that looks right where no neuron takes the path.
    """

    name: str
    head: str
    unseen: str


#: In the order of the bits; a spike takes the reset that its population has.
PATHS = (
    Path(name="spike and reset", head="fired", unseen="another reset would look the same"),
    Path(name="membrane at the threshold", head="v = vth", unseen=">= in place of > would look the same"),
    Path(
        name="decay of a positive current", head="u+ cut", unseen="rounding in place of truncation would look the same"
    ),
    Path(name="decay of a negative current", head="u- cut", unseen="floor in place of truncation would look the same"),
    Path(
        name="decay of a positive membrane", head="v+ cut", unseen="rounding in place of truncation would look the same"
    ),
    Path(name="decay of a negative membrane", head="v- cut", unseen="floor in place of truncation would look the same"),
    Path(name="cut payload", head="payload", unseen="rounding of payloads would look the same"),
)
FIRED, AT_THRESHOLD, U_POSITIVE, U_NEGATIVE, V_POSITIVE, V_NEGATIVE, PAYLOAD_CUT = range(len(PATHS))
#: What is kept of the extremes of a sample: lowest and highest current, lowest and highest membrane before a reset.
EXTREMES = 4


def possible(p: Population, bounds: Bounds) -> tuple[bool, ...]:
    """Which paths population `p` has, in their order: those that its parameters and the range proof do not rule out."""
    fires = p.spiking and bounds.v[1] > p.vth << STATE_SHIFT
    cuts_u, cuts_v = 0 < p.du < DECAY_ONE, 0 < p.dv < DECAY_ONE
    return (
        fires,
        p.spiking and bounds.v[1] >= p.vth << STATE_SHIFT,
        cuts_u and bounds.u[1] > 0,
        cuts_u and bounds.u[0] < 0,
        cuts_v and bounds.v[1] > 0,
        cuts_v and bounds.v[0] < 0,
        p.graded and fires,
    )


def taken(p: Population, trace: Trace) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What one population did in every sample of a trace.

    Returns:
        The bits of the paths that each neuron took, (samples, neurons); how often each path was taken, (paths,); and
        the extremes, (samples, :data:`EXTREMES`).
    """
    samples, _, neurons = trace.v.shape
    marks = np.zeros((samples, neurons), np.uint8)
    counts = np.zeros(len(PATHS), np.int64)
    extremes = np.zeros((samples, EXTREMES), np.int64)
    settings = (
        np.int64(DECAY_ONE - p.du),
        np.int64(DECAY_ONE - p.dv),
        np.int64(p.vth << STATE_SHIFT),
        p.reset == "zero",
        np.int64((1 << p.payload_shift) - 1 if p.graded else 0),
    )
    fired = np.ascontiguousarray(trace.spikes != 0)
    u, v = (np.ascontiguousarray(x, dtype=np.int32) for x in (trace.u, trace.v))
    _follow(fired, u, v, np.ascontiguousarray(p.bias), settings, marks, counts, extremes)
    return marks, counts, extremes


@compiled
def _follow(  # noqa: PLR0917
    fired: Any, currents: Any, membranes: Any, bias: Any, settings: Any, marks: Any, counts: Any, extremes: Any
) -> None:
    """Go through the states of a population, each with the one before it.

    Args:
        fired: whether a neuron spiked, shape (samples, steps, neurons), bool.
        currents, membranes: at the end of the step, after the reset, the same shape, int32.
        bias: shape (neurons,), int64.
        settings: what a step keeps of u and of v in 1/4096, threshold in 1/64, reset to zero, low bits of the membrane
            that a payload leaves out.
        marks, counts, extremes: results, as :func:`taken` returns them; zeros before.
    """
    keep_u, keep_v, threshold, zero, low_bits = settings
    samples, steps, neurons = membranes.shape
    for sample in range(samples):
        for step in range(steps):
            for n in range(neurons):
                u, v = np.int64(currents[sample, step, n]), np.int64(membranes[sample, step, n])
                u_before, v_before = np.int64(0), np.int64(0)
                if step > 0:
                    u_before, v_before = (
                        np.int64(currents[sample, step - 1, n]),
                        np.int64(membranes[sample, step - 1, n]),
                    )
                mark = 0
                product = v_before * keep_v
                if fired[sample, step, n]:
                    # The membrane before the reset, which a record does not have.
                    if zero:
                        v = (product >> 12 if product >= 0 else -(-product >> 12)) + u + bias[n]
                    else:
                        v += threshold
                    mark = 1 << FIRED
                    counts[FIRED] += 1
                    if v & low_bits:
                        mark |= 1 << PAYLOAD_CUT
                        counts[PAYLOAD_CUT] += 1
                elif v == threshold:
                    mark = 1 << AT_THRESHOLD
                    counts[AT_THRESHOLD] += 1
                if (u_before * keep_u) & 4095:
                    path = U_POSITIVE if u_before > 0 else U_NEGATIVE
                    mark |= 1 << path
                    counts[path] += 1
                if product & 4095:
                    path = V_POSITIVE if v_before > 0 else V_NEGATIVE
                    mark |= 1 << path
                    counts[path] += 1
                marks[sample, n] |= mark
                extremes[sample, 0] = min(extremes[sample, 0], u)
                extremes[sample, 1] = max(extremes[sample, 1], u)
                extremes[sample, 2] = min(extremes[sample, 2], v)
                extremes[sample, 3] = max(extremes[sample, 3], v)
