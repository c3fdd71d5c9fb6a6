"""The compiled neurons of the fast engine: vectors of them, their spikes as bits; those with payloads one by one.

The equations are those of :mod:`bitspike.sim.reference`. The range proof says that no state leaves 24 bits.
"""

from typing import Any

import numpy as np

from bitspike.compiled import compiled
from bitspike.sim.fast import narrow
from bitspike.sim.fast.vectors import (
    LANES,
    above,
    after,
    all_states,
    charge,
    decay,
    load_inputs,
    load_states,
    minus,
    plus,
    store_states,
)

_LOW = np.int32(4095)


@compiled
def binary(inputs: Any, cells: Any) -> Any:
    """Run neurons that send binary spikes through some steps, all samples.

    Args:
        inputs: shape (samples, steps, neurons in whole columns), int16.
        cells: state, bias, small, settings, steps, fired, currents, membranes:

            - u and v, shape (2, samples, neurons), int32; carried on. All arrays have the neurons that fill a column,
              which never fire;
            - bias: shape (neurons,), int32;
            - bias in 16 bits, its largest distance from 0, and room, as :func:`bitspike.sim.fast.narrow.step` takes
              them; a distance of -1 says that 16 bits are not to be tried;
            - what a step keeps of u and of v in 1/4096, threshold in 1/64, reset to zero, the step that begins with
              cleared states, and how many steps before these `fired` begins;
            - the first step, and the one after the last;
            - result, shape (samples, lead + steps, neurons / 32), uint32: bits, the lowest first;
            - results, shape (samples, steps, neurons), int32; of no samples where nobody records them.

    Returns:
        How many samples were run in 32 bits.
    """
    wide = 0
    for sample in range(len(inputs)):
        wide += run_sample(inputs[sample], sample, cells)
    return wide


@compiled
def run_sample(inputs: Any, sample: Any, cells: Any) -> Any:
    """Run one sample, whose inputs are (steps, neurons); return whether it was run in 32 bits."""
    state, _, small, settings, steps, fired, _, _ = cells
    u, v = state[0, sample], state[1, sample]
    if narrow.begin(u, v, small):
        given, bits, words = inputs.ravel(), fired.ravel(), fired.shape[2]
        first = sample * fired.shape[1] + settings[5]
        width, none = len(v), (np.empty(0, np.int8), 1, False)
        for step in range(steps[0], steps[1]):
            span, to = (step * width, 1, 0, width), (first + step) * words
            narrow.step(given, none, span, bits, to, step == settings[4], small, settings)
        if narrow.end(u, v, small, settings):
            return False
    run_wide(inputs, sample, cells, steps)
    return True


@compiled
def run_wide(inputs: Any, sample: Any, cells: Any, steps: Any) -> None:
    """Run steps of one sample, whose inputs are (steps, neurons), in 32 bits, and record what is wanted."""
    state, bias, _, settings, _, fired, currents, membranes = cells
    kept = slice(sample, sample + 1)
    u, v, recorded = state[0, sample], state[1, sample], (currents[kept], membranes[kept])
    _run(inputs, u, v, bias, settings, steps, fired[sample], recorded)


@compiled
def _run(  # noqa: PLR0917
    inputs: Any, u: Any, v: Any, bias: Any, settings: Any, steps: Any, words: Any, records: Any
) -> None:
    currents, membranes = records
    keep_u, keep_v, threshold, zero, start, lead = settings
    limit = all_states(np.int32(threshold))
    nothing = all_states(np.int32(0))
    recorded = len(currents) > 0
    fired = words.view(np.uint16)
    for step in range(steps[0], steps[1]):
        if step == start:
            u[:] = 0
            v[:] = 0
        row, bits = inputs[step], fired[lead + step]
        for n in range(0, len(v), LANES):
            current = nothing
            if keep_u:
                current = decay(load_states(u, n), keep_u)
            current = charge(current, load_inputs(row, n))
            if keep_u:
                store_states(u, n, current)
            membrane = load_states(v, n)
            if keep_v != 4096:
                membrane = decay(membrane, keep_v)
            membrane = plus(plus(membrane, current), load_states(bias, n))
            bits[n // LANES] = above(membrane, limit)
            membrane = after(membrane, limit, nothing if zero else minus(membrane, limit))
            store_states(v, n, membrane)
            if recorded:
                store_states(currents[0, step], n, current)
                store_states(membranes[0, step], n, membrane)


@compiled
def _decayed(state: Any, keep: Any) -> Any:
    """Return ``sign(x) * (|x| * keep >> 12)``, in 32 bits."""
    size = abs(state)
    part = (size >> np.int32(12)) * keep + (((size & _LOW) * keep) >> np.int32(12))
    return part if state >= 0 else -part


@compiled
def graded(inputs: Any, cells: Any) -> None:
    """Run neurons that send payloads, as :func:`binary` runs the others.

    Args:
        inputs: as there.
        cells: state, bias, settings, shift, steps, fired, currents, membranes: as there, but for how many low bits of
            the membrane a payload leaves out, and `fired`: shape (samples, lead + steps, neurons), int32, 0 or the
            payload.
    """
    state, bias, settings, shift, steps, fired, currents, membranes = cells
    keep_u, keep_v, threshold, zero, start, lead = settings
    recorded = len(currents) > 0
    for sample in range(len(inputs)):
        u, v = state[0, sample], state[1, sample]
        for step in range(steps[0], steps[1]):
            for n in range(len(v)):
                old_u, old_v = (np.int32(0), np.int32(0)) if step == start else (u[n], v[n])
                u[n] = _decayed(old_u, keep_u) + (np.int32(inputs[sample, step, n]) << np.int32(6))
                membrane = _decayed(old_v, keep_v) + u[n] + bias[n]
                fired[sample, lead + step, n] = 0
                if membrane > threshold:
                    fired[sample, lead + step, n] = membrane >> shift
                    membrane = np.int32(0) if zero else membrane - threshold
                v[n] = membrane
                if recorded:
                    currents[sample, step, n] = u[n]
                    membranes[sample, step, n] = membrane
