"""Lava's own neuron and synapse models as an engine, without its runtime: no processes, no channels, nothing to hang.

The classes that Lava's runtime would run (``PyLifResetModelBitAcc``, ``PyDenseModelBitAcc``, ``PySparseModelBitAcc``,
``PyConvModelFixed`` and their delayed relatives) are stepped in this process. A synapse sends what it summed up in the
step before, then takes the spikes of this one; a neuron takes what was sent, then fires. So each step has three turns:
what the synapses are about to send is put on their wires, the neurons run, and the synapses run.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.sim.engines.lava import latencies, schedule_of, trace
from bitspike.sim.record import Record
from bitspike.targets.lava.layout import Shape, from_lava, to_lava
from bitspike.targets.lava.lower import lower
from bitspike.targets.lava.processes import sparse_matrix, synapse_registers
from bitspike.targets.lava.program import (
    Connection,
    ConvConnection,
    DenseConnection,
    LavaProgram,
    Neurons,
    SparseConnection,
)
from bitspike.targets.lava.repair import import_lava

Integers = npt.NDArray[Any]


@dataclass(slots=True)
class Wire:
    """What a model's port needs: `send` leaves values, `recv` takes them."""

    value: Integers

    def send(self, value: Integers) -> None:
        """Replace the values by a copy, as a channel makes one: a model may go on to change what it sent."""
        self.value = np.array(value)

    def recv(self) -> Integers:
        """What was sent last."""
        return self.value


@dataclass(slots=True)
class Junction:
    """An input port with any number of wires: their sum, as Lava's input ports form it; zero where there are none.

    Values arrive in another shape where a line of neurons meets a space, as through Lava's reshaping ports.
    """

    shape: Shape
    wires: list[Wire] = field(default_factory=list)

    def recv(self) -> Integers:
        """The sum of what the wires hold."""
        total = np.zeros(self.shape, dtype=np.int32)
        for wire in self.wires:
            total = total + wire.value.reshape(self.shape)
        return total


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8]) -> Record:
    """Run `network` on `spikes`, 0 or 1, shape (samples, steps, neurons of all inputs), on Lava's models.

    The network is lowered, and samples follow one another as in Lava's runtime (:mod:`bitspike.sim.engines.lava`).

    Raises:
        MissingDependencyError: where Lava is not installed.
        UnsupportedError: where Lava cannot hold the network exactly.
    """
    import_lava()
    network = replace(network, steps=spikes.shape[1])
    program = lower(network)
    schedule = schedule_of(program, spikes)
    runs = [drive(program, stream, reset_interval=schedule.reset_interval) for stream in schedule.inputs(spikes)]
    starts = {n.name: n.start for n in program.neurons}
    traces = {}
    for p in network.populations:
        whole = schedule.answers([run[p.name] for run in runs], starts[p.name])
        traces[p.name] = trace(tuple(np.moveaxis(whole, 2, 0)), p.spike_dtype)
    return Record(engine="lava-models", inputs=spikes, traces=traces, latency=latencies(network, program))


def drive(program: LavaProgram, stream: npt.NDArray[np.uint8], *, reset_interval: int) -> dict[str, Integers]:
    """Step Lava's models over `stream`, (steps of the run, neurons of all sources).

    Returns:
        For each population int32 of shape (steps of the run, 3, neurons), in our order: spikes, currents, membranes.
    """
    arriving, first = {}, 0
    for entry in program.sources:
        arriving[entry.name] = to_lava(stream[:, first : first + entry.size], entry.shape)
        first += entry.size
    outputs = {name: Wire(values[0]) for name, values in arriving.items()}
    models = {n.name: lif_model(n, reset_interval, (program.gap or 0) + n.start + 1) for n in program.neurons}
    outputs |= {n.name: Wire(np.zeros(n.shape, np.int32)) for n in program.neurons}
    for name, model in models.items():
        model.s_out = outputs[name]
    synapses = []
    for c in program.connections:
        sent, taken = c.shapes
        model = synapse_model(c)
        model.s_in, model.a_out = Junction(taken, [outputs[c.source]]), Wire(np.zeros(sent, np.int32))
        models[c.target].a_in.wires.append(model.a_out)
        synapses.append(model)
    history = {n.name: np.zeros((len(stream), 3, *n.shape), np.int32) for n in program.neurons}
    for t in range(len(stream)):
        for name, values in arriving.items():
            outputs[name].send(values[t])
        for model in synapses:
            model.a_out.send(_about_to_send(model))
        for name, model in models.items():
            model.time_step = t + 1
            model.run_spk()
            history[name][t] = model.s_out.value, model.u, model.v
        for model in synapses:
            model.run_spk()
    return {n.name: from_lava(history[n.name], n.shape) for n in program.neurons}


def _about_to_send(model: Any) -> Integers:
    """What a synapse's model will send when it runs: its buffer, or of a delayed one the buffer's first column."""
    if hasattr(model, "a_buf"):
        return np.asarray(model.a_buf)
    return np.asarray(model.a_buff if model.a_buff.ndim == 1 else model.a_buff[:, 0])


def lif_model(n: Neurons, reset_interval: int, reset_offset: int) -> Any:
    """Lava's model of a population, or ours, with the types that Lava's builder gives its variables, and no output."""
    parameters: dict[str, Any] = {"reset_interval": reset_interval, "reset_offset": reset_offset}
    if n.lava_has_it:
        from lava.proc.lif.models import PyLifResetModelBitAcc as Model
    else:
        from bitspike.targets.lava.neurons.models import PySubtractingLIF as Model

        parameters |= {"subtract": n.subtract, "payload_shift": n.payload_shift}
    model = Model(parameters)
    model.u, model.v = np.zeros(n.shape, np.int32), np.zeros(n.shape, np.int32)
    model.du, model.dv, model.vth = n.du, n.dv, n.vth
    model.bias_mant = n.bias_mant.astype(np.int16)
    model.bias_exp = np.array([n.bias_exp], np.int16)
    model.a_in = Junction(n.shape)
    return model


def synapse_model(c: Connection) -> Any:
    """Lava's model of a connection, with the types that Lava's builder gives its variables, and no ports yet."""
    if isinstance(c, ConvConnection):
        model = _conv_model(c)
    elif isinstance(c, SparseConnection):
        model = _sparse_model(c)
    elif isinstance(c, DenseConnection):
        model = _dense_model(c)
    else:
        raise TypeError(f"connection {c.name}: {type(c).__name__}")
    model.num_message_bits = np.array([c.message_bits], np.int8)
    return model


def _dense_model(c: DenseConnection) -> Any:
    from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc

    targets = c.synapses.mantissas.shape[0]
    if c.delay == 1:
        model = PyDenseModelBitAcc(synapse_registers(c.synapses))
        model.a_buff = np.zeros(targets, np.int32)
    else:
        model = PyDelayDenseModelBitAcc(synapse_registers(c.synapses))
        model.delays = np.full(c.synapses.mantissas.shape, c.delay - 1, np.int32)
        model.a_buff = np.zeros((targets, c.delay), np.int32)
    model.weights = c.synapses.mantissas.copy()
    return model


def _sparse_model(c: SparseConnection) -> Any:
    from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc

    if c.delay == 1:
        model = PySparseModelBitAcc(synapse_registers(c.synapses))
        model.a_buff = np.zeros(c.size[0], np.int32)
    else:
        model = PyDelaySparseModelBitAcc(synapse_registers(c.synapses))
        model.delays = sparse_matrix(c, np.full(len(c.sources), c.delay - 1))
        model.a_buff = np.zeros((c.size[0], c.delay), np.int32)
    model.weights = sparse_matrix(c, c.synapses.mantissas)
    return model


def _conv_model(c: ConvConnection) -> Any:
    from lava.proc.conv.models import PyConvModelFixed

    model = PyConvModelFixed({})
    model.weight = c.kernel.copy()
    model.kernel_size = np.array(c.kernel.shape[1:3], np.int8)
    model.stride, model.padding = np.array(c.stride, np.int8), np.array(c.padding, np.int8)
    model.dilation, model.groups = np.array(c.dilation, np.int8), np.array([c.groups], np.int8)
    model.a_buf = np.zeros(c.output_shape, np.int32)
    return model
