"""The integer network as a NIR graph: every node, its parameters, and what NIR cannot say.

NIR describes a network in continuous time. The parameters are chosen so that the usual discretisation, forward Euler
with the synapse first (as Norse, SpikingJelly and snnTorch do it), gives the network's own recursion in weight units
(state / 64), but for the truncation of the decayed state to 1/64::

    i += dt/tau_syn * (-i + w_in * s)
    v += dt/tau * ((v_leak - v) + r * i)        (IF, I: v += dt * r * i)
    z  = v > v_threshold;  v = 0 where z

==================  ==================  ==============================================================
population          node                parameters, one of each per neuron, float32
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

A connection is a Linear node ``<source>_to_<target>`` that holds ``weight * 2^exponent``; one with a delay has its
delay in steps appended to the name and a Delay node of ``delay * dt`` before it. Where `du` is 4096 the bias, in
weight units, is the bias of the population's first connection, which is then an Affine node. The input and all
populations are flat. Output ``output`` follows the read-out; other populations that feed nothing have one of their own.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.binary_only import refuse_graded
from bitspike.convert.dense_only import dense_connections
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, Dense, IntegerNetwork, Population
from bitspike.convert.single_only import refuse_several
from bitspike.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    import nir

Vector = npt.NDArray[np.float32]
#: Half of the lattice on which a membrane lies, in weight units.
HALF_STEP = 1 / 128
#: Time steps in seconds for which all parameters are ordinary 32-bit floats.
DT_RANGE = (1e-9, 1e3)
POSITIVE = ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_threshold")


def nodes_and_edges(network: IntegerNetwork, dt: float) -> tuple[dict[str, "nir.NIRNode"], list[tuple[str, str]]]:
    """All nodes by name, and the edges between them, of a legal network.

    Raises:
        UsageError: for a `dt` outside 1e-9..1e3 seconds.
        UnsupportedError: naming the first population or connection that NIR cannot say; graded spikes among them.
    """
    import nir

    if not (isfinite(dt) and DT_RANGE[0] <= dt <= DT_RANGE[1]):
        raise UsageError(f"dt {dt}; expected {DT_RANGE[0]}..{DT_RANGE[1]} seconds")
    refuse_graded(network, "the NIR writer")
    refuse_several(network, "the NIR writer")
    dense = dense_connections(network, "the NIR writer")
    refuse(network)
    nodes: dict[str, Any] = {network.input.name: nir.Input(np.array([network.input.size]))}
    nodes |= {p.name: _neurons(network, p, dt) for p in network.populations}
    edges: list[tuple[str, str]] = []
    biased: set[str] = set()
    endpoints = [(c.source, c.target, c.delay) for c in network.connections]
    for c, name in zip(dense, connection_names(nodes, endpoints), strict=True):
        path = [c.source, name, c.target]
        if c.delay:
            path.insert(1, f"{name}_delay")
            seconds = np.full(c.weights.shape[1], c.delay * dt, np.float32)
            nodes[f"{name}_delay"] = nir.Delay(seconds)
        target = network.population(c.target)
        bias = None if c.target in biased else bias_of_affine(target)
        biased.add(c.target)
        nodes[name] = _synapses(c, bias)
        edges += pairwise(path)
    for p in network.populations:
        if p.name == network.readout.population or not network.outgoing(p.name):
            name = "output" if p.name == network.readout.population else f"output_{p.name}"
            name = _unused(name, nodes)
            nodes[name] = nir.Output(np.array([p.size]))
            edges.append((p.name, name))
    return nodes, edges


def connection_names(taken: Iterable[str], endpoints: Iterable[tuple[str, str, int]]) -> list[str]:
    """A name for each connection of (source, target, delay), in order, none of them in `taken`."""
    used = set(taken)
    names = []
    for source, target, delay in endpoints:
        name = _unused(f"{source}_to_{target}" + (f"_{delay}" if delay else ""), used)
        used |= {name, f"{name}_delay"}
        names.append(name)
    return names


def refuse(network: IntegerNetwork) -> None:
    """UnsupportedError for the first thing that NIR cannot say exactly.

    1. Reset by subtraction, in a population that can spike: NIR has a reset potential only.
    2. A current that never decays (du 0), or a current that decays into a membrane that does not (dv 0, du below
       4096): a time constant would be infinite.
    3. A population without a connection into it: NIR would take it for an input.
    4. A `start` that clears something: NIR has no such event. It is allowed where the state is zero by then anyway, as
       in a retimed network without biases; before retiming, every start is 0.
    """
    busy = {network.input.name: 0}
    for p in network.populations:
        where = f"population {p.name}"
        incoming = network.incoming(p.name)
        if p.reset != "zero" and not leaks_only(network, p):
            raise UnsupportedError(f"{where}: reset {p.reset!r}; NIR has only a reset to a fixed potential")
        if p.du == 0:
            raise UnsupportedError(f"{where}: du 0, a current that never decays; NIR has no infinite time constant")
        if p.dv == 0 and p.du < DECAY_ONE:
            raise UnsupportedError(
                f"{where}: dv 0 with du {p.du}, a membrane that never decays behind a current that does; "
                "NIR has no infinite time constant"
            )
        if not incoming:
            raise UnsupportedError(f"{where}: no connection leads to it; NIR takes such a node for an input")
        busy[p.name] = 0 if np.any(p.bias_mantissa) else min(busy[c.source] + c.delay for c in incoming)
        if p.start > busy[p.name]:
            raise UnsupportedError(
                f"{where}: its state is cleared at step {p.start} and may be other than zero from step {busy[p.name]} "
                "on (a bias, or an early spike); NIR has no such event: export the network before it is retimed"
            )


def leaks_only(network: IntegerNetwork, p: Population) -> bool:
    """True for a population that needs no threshold: it cannot spike, feeds nothing, and its spikes are not read."""
    counted = network.readout.population == p.name and network.readout.kind == "spike_count"
    return not (p.spiking or counted or network.outgoing(p.name))


def bias_of_affine(p: Population) -> Vector | None:
    """The bias in weight units that stands before `p`; None where it is zero or part of the population's own node."""
    if p.du < DECAY_ONE or not np.any(p.bias_mantissa):
        return None
    return (p.bias / (1 << STATE_SHIFT)).astype(np.float32)


def find_faults(nodes: dict[str, Any]) -> Iterator[str]:
    """What NIR's own checks leave out: numbers that are not finite or not positive, lengths, dtypes."""
    for name, node in nodes.items():
        arrays = {key: value for key, value in fields_of(node).items() if isinstance(value, np.ndarray)}
        for key, value in arrays.items():
            if value.dtype != np.float32 and key != "shape":
                yield f"node {name}: {key} is {value.dtype}; expected float32"
            if not bool(np.all(np.isfinite(value))):
                yield f"node {name}: {key} is not finite"
            if key in POSITIVE and not bool(np.all(value > np.float32(0))):
                yield f"node {name}: {key} is not positive"
        rows = Counter(value.shape[0] for value in arrays.values())
        if len(rows) != 1:
            yield f"node {name}: fields of different lengths {sorted(rows)}"


def fields_of(node: Any) -> dict[str, Any]:
    """The fields of a NIR node as it is stored, with its type; arrays are not copied.

    NIR's nodes compare by identity, so their fields are what can be compared.
    """
    import nir

    fields = {key: value for key, value in vars(node).items() if key not in ("input_type", "output_type")}
    if isinstance(node, nir.Input | nir.Output):
        fields["shape"] = np.asarray(next(iter((node.input_type or {}).values()), None))
    return fields | {"type": type(node).__name__}


def _unused(name: str, taken: Iterable[str]) -> str:
    while name in taken or f"{name}_delay" in taken:
        name += "_"
    return name


def _synapses(connection: Dense, bias: Vector | None) -> "nir.Affine | nir.Linear":
    import nir

    weight = connection.effective().astype(np.float32)
    return nir.Linear(weight) if bias is None else nir.Affine(weight, bias)


def _neurons(network: IntegerNetwork, p: Population, dt: float) -> "nir.NIRNode":
    import nir

    def each(value: float) -> Vector:
        return np.full(p.size, value, np.float32)

    fire = {} if leaks_only(network, p) else {"v_threshold": each(p.vth + HALF_STEP), "v_reset": each(0)}
    if p.du == DECAY_ONE and p.dv == 0:
        return nir.IF(r=each(1 / dt), **fire) if fire else nir.I(r=each(1 / dt))
    steps = DECAY_ONE / p.dv
    if p.du == DECAY_ONE:
        leak = {"tau": each(dt * steps), "r": each(steps), "v_leak": each(0)}
        return nir.LIF(**leak, **fire) if fire else nir.LI(**leak)
    rest = (p.bias / (1 << STATE_SHIFT) * steps).astype(np.float32)
    synapse = {"tau_syn": each(dt * DECAY_ONE / p.du), "w_in": each(DECAY_ONE / p.du)}
    leak = {"tau_mem": each(dt * steps), "r": each(steps), "v_leak": rest}
    return nir.CubaLIF(**synapse, **leak, **fire) if fire else nir.CubaLI(**synapse, **leak)
