"""The chip's neuron, evaluated exactly on its lattice.

Registers count 1/64 of a weight. One step of a population, all numbers integers, trunc toward zero:

    u[t] = trunc(u[t-1] * (4096 - du) / 4096) + 64 * a[t]
    v[t] = trunc(v[t-1] * (4096 - dv) / 4096) + u[t] + bias
    s[t] = v[t] > 64 * vth
    v[t] = 0 where s[t] (reset to zero), or v[t] - 64 * vth * s[t] (reset by subtraction)

A graded spike is sent as v[t] >> (6 + shift), of the membrane before its reset.

How the same neuron is trained is in :mod:`bitspike.train.dynamics`.
"""

import torch
from torch import Tensor

from bitspike.errors import RangeError
from bitspike.train.registers import DECAY_BITS, FORGETS, INPUT_LIMIT, STATE_LIMIT, UNITS, Neuron


def decayed(state: Tensor, decay: int) -> Tensor:
    """Return trunc(state * (4096 - decay) / 4096), toward zero, for an int64 register."""
    if decay == FORGETS:
        return torch.zeros_like(state)
    product = state * (FORGETS - decay)
    return product.sign() * (product.abs() >> DECAY_BITS)


def evaluate(
    inputs: Tensor, bias: Tensor, neuron: Neuron, *, name: str, feedback: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one population over all steps, exactly.

    Args:
        inputs: summed synaptic input a in weights, int64, shape (steps, samples, neurons).
        bias: bias in register units, int64, shape (neurons,).
        neuron: decays, threshold and reset.
        name: the population's name, for messages.
        feedback: whole weights of at most 8 bits from the population's own spikes of the step before, float32, shape
            (neurons, neurons): targets, sources; None where there are none.

    Returns:
        Spikes (uint8; payloads in int32 where they are graded), and u and v at the end of each step (int32 register
        units), shape (steps, samples, neurons).

    Raises:
        RangeError: a sum or a register that leaves its width.
    """
    spikes = torch.empty_like(inputs, dtype=torch.int32 if neuron.graded else torch.uint8)
    currents, membranes = (torch.empty_like(inputs, dtype=torch.int32) for _ in range(2))
    u = torch.zeros(inputs.shape[1:], dtype=torch.int64, device=inputs.device)
    v = torch.zeros_like(u)
    for step, fed in enumerate(inputs):
        a = fed
        if feedback is not None and step > 0:
            # Sums of whole numbers below 2**24: float32 holds them exactly.
            a = fed + (spikes[step - 1].float() @ feedback.T).long()
        _check(a, 1 - INPUT_LIMIT, INPUT_LIMIT - 1, f"{name}: summed input", step)
        u = decayed(u, neuron.du) + UNITS * a
        _check(u, -STATE_LIMIT, STATE_LIMIT - 1, f"{name}: current", step)
        v = decayed(v, neuron.dv) + u + bias
        _check(v, -STATE_LIMIT, STATE_LIMIT - 1, f"{name}: membrane", step)
        fired = v > UNITS * neuron.vth
        sent = fired * (v >> (UNITS.bit_length() - 1 + neuron.shift)) if neuron.graded else fired
        v = v.masked_fill(fired, 0) if neuron.reset == "zero" else v - UNITS * neuron.vth * fired
        spikes[step], currents[step], membranes[step] = sent, u, v
    return spikes, currents, membranes


def _check(values: Tensor, low: int, high: int, what: str, step: int) -> None:
    """Raise RangeError with the value that lies furthest out, if any leaves `low` to `high`."""
    if values.numel() == 0:
        return
    least, most = (int(bound) for bound in values.aminmax())
    if least < low or most > high:
        found = least if least < low else most
        raise RangeError([f"{what} at step {step} is {found}; the register holds {low} to {high}"])
