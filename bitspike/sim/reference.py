"""The reference engine: the definition of what a network computes, in plain integers.

One population at one step, with ``trunc(x, n) = sign(x) * (|x| >> n)``, toward zero::

    u[t] = trunc(u[t-1] * (4096 - du), 12) + 64 * a[t]        a[t]: summed synaptic input
    v[t] = trunc(v[t-1] * (4096 - dv), 12) + u[t] + bias
    s[t] = v[t] > 64 * vth                                    strict
    v[t] = 0                  where s[t]                      reset "zero"
    v[t] = v[t] - 64 * vth    where s[t]                      reset "subtract"

and ``a[t] = sum of weight * 2^exponent * s_source[t - delay]``. A population of graded spikes sends a payload instead
of the one bit, taken of the membrane before its reset, and ``g_source`` is summed instead of ``s_source``::

    g[t] = v[t] >> (6 + shift)    where s[t], else 0

This is the graded spike of ReverB-SNN (arXiv 2506.07720), ``O = U where U >= Vth, else 0``, truncated to multiples of
2^shift weight units. A payload has at most 24 bits with its sign, the width of Loihi 2's in Lava; the membrane has no
more, so none is clipped; 2^shift is at most `vth`, so none is 0. In a record `spikes` are the payloads.

Both states are cleared at the population's `start`, before decay and integration. This is the arithmetic of Loihi as
Lava 0.10 models it (``PyLifModelBitAcc``) and as a recorded Loihi 2 trace shows it; every other engine is tested
against this one for equality. The sums are those of :meth:`~bitspike.convert.connection.Connection.deliver`, made where
that is exact from products of floats (:mod:`bitspike.convert.products`).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import DECAY_ONE, STATE_MAX, STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.products import prepared
from bitspike.errors import RangeError
from bitspike.sim.record import Record, aligned, padded

Integers = npt.NDArray[np.int64]
#: ``exact`` refuses to leave 24 bits; ``lava`` wraps `u` once and clips `v`, as Lava's model does.
Overflow = Literal["exact", "lava"]

#: What :func:`step` is: population, u, v and input give the new u, v and spikes.
Rule = Callable[..., tuple[Integers, Integers, Integers]]

INPUT_MAX = (1 << 15) - 1


def truncate(x: Integers, bits: int) -> Integers:
    """``sign(x) * (|x| >> bits)``: division by a power of two, toward zero."""
    return np.sign(x) * (np.abs(x) >> bits)


def run_reference(
    network: IntegerNetwork,
    spikes: npt.NDArray[np.uint8],
    *,
    overflow: Overflow = "exact",
    rule: Rule | None = None,
) -> Record:
    """Run a legal network on `spikes`, 0 or 1 of shape (samples, steps, neurons of all inputs).

    The run lasts ``steps`` plus the largest latency; input is silent after its last step. A `rule` takes the place of
    :func:`step`: to see what another arithmetic would have given.

    Raises:
        RangeError: where `overflow` is ``exact`` and a state or an input leaves its register.
    """
    inputs = padded(network, spikes).astype(np.int64)
    samples, total, _ = inputs.shape
    fired: dict[str, Integers] = network.input_spikes(inputs)
    history: dict[str, tuple[Integers, Integers]] = {}
    for p in network.populations:
        shape = (samples, total, p.size)
        fired[p.name] = np.zeros(shape, np.int64)
        history[p.name] = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    incoming = {p.name: [(c, prepared(c)) for c in network.incoming(p.name)] for p in network.populations}
    state = {p.name: (np.zeros((samples, p.size), np.int64),) * 2 for p in network.populations}

    for t in range(total):
        for p in network.populations:
            a = np.zeros((samples, p.size), dtype=np.int64)
            for c, deliver in incoming[p.name]:
                if t >= c.delay:
                    a = a + deliver(fired[c.source][:, t - c.delay])
            u, v = state[p.name]
            if t == p.start:
                u, v = np.zeros_like(u), np.zeros_like(v)
            u, v, s = (rule or step)(p, u, v, a, overflow=overflow, when=t)
            state[p.name] = u, v
            fired[p.name][:, t] = s
            history[p.name][0][:, t], history[p.name][1][:, t] = u, v

    return aligned("reference", network, spikes, {name: (fired[name], u, v) for name, (u, v) in history.items()})


def step(
    p: Population, u: Integers, v: Integers, a: Integers, *, overflow: Overflow = "exact", when: int = 0
) -> tuple[Integers, Integers, Integers]:
    """One step of population `p`: states `u`, `v` and input `a`, (samples, neurons), give the new `u`, `v` and spikes.

    Spikes are 0 or 1, or where the population sends graded ones, 0 or the payload. `when` is the
    step's number, for error messages only.
    """
    u = truncate(u * (DECAY_ONE - p.du), 12) + (a << STATE_SHIFT)
    if overflow == "lava":
        u = np.where(u > STATE_MAX + 1, u - (1 << 24), np.where(u <= -(STATE_MAX + 1), u + (1 << 24), u))
    v = truncate(v * (DECAY_ONE - p.dv), 12) + u + p.bias
    if overflow == "lava":
        v = np.clip(v, -STATE_MAX, STATE_MAX)
    else:
        _within(p, "synaptic input", a, INPUT_MAX, when)
        _within(p, "current u", u, STATE_MAX, when)
        _within(p, "membrane v", v, STATE_MAX, when)
    s = v > (p.vth << STATE_SHIFT)
    sent = np.where(s, v >> p.payload_shift, 0) if p.graded else s.astype(np.int64)
    v = np.where(s, 0 if p.reset == "zero" else v - (p.vth << STATE_SHIFT), v)
    return u, v, sent


def _within(p: Population, quantity: str, values: Integers, limit: int, when: int) -> None:
    worst = int(np.abs(values).max(initial=0))
    if worst > limit:
        raise RangeError([f"population {p.name}, step {when}: {quantity} reaches {worst}; the register holds {limit}"])
