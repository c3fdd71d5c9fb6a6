"""Populations as NIR nodes.

NIR describes a network in continuous time. The parameters are chosen so that the usual discretisation, forward Euler
with the synapse first (as Norse, SpikingJelly and snnTorch do it), gives the network's own recursion in weight units
(state / 64), but for the truncation of the decayed state to 1/64::

    i += dt/tau_syn * (-i + w_in * s)
    v += dt/tau * ((v_leak - v) + r * i)        (IF, I: v += dt * r * i)
    z  = v > v_threshold;  v = 0 where z

==================  ==================  ==============================================================
population          node                parameters, one of each per neuron
==================  ==================  ==============================================================
du 4096, dv > 0     LIF, or LI          tau = dt * 4096 / dv, r = tau / dt, v_leak = 0
du 4096, dv 0       IF, or I            r = 1 / dt
0 < du < 4096,      CubaLIF, or CubaLI  tau_syn = dt * 4096 / du, w_in = tau_syn / dt, tau_mem = dt * 4096 / dv,
dv > 0                                  r = tau_mem / dt, v_leak = bias / 64 * 4096 / dv
spiking             LIF, IF, CubaLIF    v_threshold = vth + 1/128, v_reset = 0
==================  ==================  ==============================================================

A membrane is a multiple of 1/64, so a threshold half-way between two multiples means the same as ``v > vth``; it keeps
meaning it where a reader rounds (32-bit floats, ``>=``). The second node of each pair, without a threshold, is
for a population that cannot spike (vth 131071), feeds nothing and is not read as spike counts.

A portable file has CubaLIF alone, for `du` 4096 too (``tau_syn = dt``): Norse takes every `r` of a LIF for 1, snnTorch
reads IF as a neuron that leaks, and none of the three frameworks reads LI. Where `dv` is 0 the membrane has a time
constant of ``dt * 2^60``: what it loses in a step is far below the last digit of a 64-bit float. A population that
cannot spike keeps its threshold there, which nothing reaches, and its membrane is in the state that the framework
returns. Parameters are 64-bit floats: SpikingJelly refuses a time constant below `dt`, which 1e-4 as a 32-bit float is.
SpikingJelly also fires at the threshold itself, where the others fire above it. What decays in a float reader can come
to lie on ``vth + 1/128``, so a portable file says ``vth + 1/127``, which is no sum of powers of two.

A reset by subtraction is no field of a node. Where it is asked for, population ``p`` becomes an integrator
``p_membrane`` (LI or I), a threshold ``p`` and a feedback ``p_reset`` that takes ``vth * (4096 - dv) / 4096`` off in
the next step, which is where the decay has brought the `vth` that the reset takes off in this one.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.nir_form import NirForm

if TYPE_CHECKING:
    import nir

Vector = npt.NDArray[np.floating[Any]]
#: Half of the lattice on which a membrane lies, in weight units.
HALF_STEP = 1 / 128
#: About as much, where ``>`` and ``>=`` must mean the same of a membrane that is not on the lattice.
NEARLY_HALF_STEP = 1 / 127
#: Steps of a time constant that stands for none.
ENDLESS = 2.0**60


def leaks_only(network: IntegerNetwork, p: Population) -> bool:
    """True for a population that needs no threshold: it cannot spike, feeds nothing, and its spikes are not read."""
    counted = any(r.population == p.name and r.kind == "spike_count" for r in network.readouts)
    return not (p.spiking or counted or network.outgoing(p.name))


def is_soft(network: IntegerNetwork, p: Population) -> bool:
    """True for a population whose reset subtracts, and has something to subtract from."""
    return p.reset == "subtract" and not leaks_only(network, p)


def entry_of(network: IntegerNetwork, p: Population) -> str:
    """The name of the node where the input of `p` arrives."""
    return f"{p.name}_membrane" if is_soft(network, p) else p.name


def neurons(
    network: IntegerNetwork, p: Population, form: NirForm, shape: tuple[int, ...]
) -> tuple[dict[str, "nir.NIRNode"], list[tuple[str, str]]]:
    """The nodes of population `p`, whose parameters have `shape`, by name, and the edges between them."""
    import nir

    def each(value: float) -> Vector:
        return np.full(shape, value, np.float32)

    if not is_soft(network, p):
        return {p.name: _neuron(network, p, form, shape)}, []
    steps = DECAY_ONE / p.dv if p.dv else 1.0
    if p.dv:
        membrane: Any = nir.LI(tau=each(form.dt * steps), r=each(steps), v_leak=each(0))
    else:
        membrane = nir.I(r=each(1 / form.dt))
    entry, back = entry_of(network, p), f"{p.name}_reset"
    nodes = {
        entry: membrane,
        p.name: nir.Threshold(threshold=each(p.vth + HALF_STEP)),
        back: nir.Scale(scale=each(-p.vth * (DECAY_ONE - p.dv) / DECAY_ONE)),
    }
    return nodes, [(entry, p.name), (p.name, back), (back, entry)]


def _neuron(network: IntegerNetwork, p: Population, form: NirForm, shape: tuple[int, ...]) -> Any:
    import nir

    dtype: type[np.floating[Any]] = np.float64 if form.portable else np.float32

    def each(value: float) -> Vector:
        return np.full(shape, value, dtype)

    margin = NEARLY_HALF_STEP if form.portable else HALF_STEP
    fire = {"v_threshold": each(p.vth + margin), "v_reset": each(0)}
    if leaks_only(network, p) and not form.portable:
        fire = {}
    if p.du == DECAY_ONE and p.dv == 0 and not form.portable:
        return nir.IF(r=each(1 / form.dt), **fire) if fire else nir.I(r=each(1 / form.dt))
    steps = DECAY_ONE / p.dv if p.dv else ENDLESS
    rest = each(0)
    if p.du < DECAY_ONE:
        rest = np.asarray(p.bias / (1 << STATE_SHIFT) * steps, dtype).reshape(shape)
    elif not form.portable:
        leak = {"tau": each(form.dt * steps), "r": each(steps), "v_leak": rest}
        return nir.LIF(**leak, **fire) if fire else nir.LI(**leak)
    synapse = {"tau_syn": each(form.dt * DECAY_ONE / p.du), "w_in": each(DECAY_ONE / p.du)}
    leak = {"tau_mem": each(form.dt * steps), "r": each(steps), "v_leak": rest}
    return nir.CubaLIF(**synapse, **leak, **fire) if fire else nir.CubaLI(**synapse, **leak)
