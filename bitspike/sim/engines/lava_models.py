"""Lava's own neuron and synapse models as an engine, without its runtime: no processes, no channels, nothing to hang.

The classes that Lava's runtime would run (``PyLifResetModelBitAcc``, ``PyDenseModelBitAcc``,
``PyDelayDenseModelBitAcc``) are stepped in this process, each in the order in which its messages would flow.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.retime import retime
from bitspike.sim.record import Record, Trace
from bitspike.targets.lava.job import runs_of
from bitspike.targets.lava.lower import Connection, LavaProgram, Neurons, lower
from bitspike.targets.lava.repair import import_lava

Integers = npt.NDArray[Any]


@dataclass(slots=True)
class Wire:
    """What a model's port needs: `send` leaves a vector, `recv` takes it."""

    value: Integers

    def send(self, value: Integers) -> None:
        """Replace the vector by a copy, as a channel makes one: a model may go on to change what it sent."""
        self.value = np.array(value)

    def recv(self) -> Integers:
        """The vector that was sent last."""
        return self.value


@dataclass(slots=True)
class Junction:
    """An input port with any number of wires: their sum, as Lava's input ports form it; zero where there are none."""

    size: int
    wires: list[Wire] = field(default_factory=list)

    def recv(self) -> Integers:
        """The sum of what the wires hold."""
        total = np.zeros(self.size, dtype=np.int32)
        for wire in self.wires:
            total = total + wire.value
        return total


def run(network: IntegerNetwork, spikes: npt.NDArray[np.uint8]) -> Record:
    """Run `network` on `spikes`, 0 or 1, shape (samples, steps, input neurons), on Lava's models.

    The network is put into chip time and lowered, samples follow one another with staggered resets (where a connection
    has a delay of its own, each begins anew), as in Lava's runtime.

    Raises:
        MissingDependencyError: where Lava is not installed.
        UnsupportedError: where Lava cannot hold the network exactly.
    """
    import_lava()
    chip = retime(network)
    program = lower(chip)
    samples, steps, _ = spikes.shape
    histories: dict[str, list[Integers]] = {n.name: [] for n in program.neurons}
    for stream in runs_of(program.streams, spikes, program.latency):
        whole = drive(program, stream, reset_interval=steps if program.streams else len(stream) + 1)
        for n in program.neurons:
            histories[n.name].append(whole[n.name][:, n.start : n.start + len(stream) - program.latency])
    traces = {}
    for n in program.neurons:
        fired, u, v = np.concatenate(histories[n.name], axis=1).reshape(3, samples, steps, n.size)
        traces[n.name] = Trace(spikes=fired.astype(np.uint8), u=u, v=v)
    return Record(engine="lava-models", inputs=spikes, traces=traces, latency=chip.latencies())


def drive(program: LavaProgram, stream: npt.NDArray[np.uint8], *, reset_interval: int) -> dict[str, Integers]:
    """Step Lava's models over `stream`, (steps of the run, input neurons).

    Returns:
        For each population int32 of shape (3, steps of the run, neurons): spikes, currents, membranes.
    """
    outputs = {program.input_name: Wire(stream[0])}
    models = {}
    for n in program.neurons:
        models[n.name] = lif_model(n, reset_interval)
        models[n.name].s_out = outputs[n.name] = Wire(np.zeros(n.size, np.int32))
    synapses: dict[str, list[Any]] = {n.name: [] for n in program.neurons}
    for c in program.connections:
        model = synapse_model(c)
        model.s_in, model.a_out = outputs[c.source], Wire(np.zeros(len(c.synapses.mantissas), np.int32))
        models[c.target].a_in.wires.append(model.a_out)
        synapses[c.target].append(model)
    history = {n.name: np.zeros((3, len(stream), n.size), np.int32) for n in program.neurons}
    for t, arriving in enumerate(stream):
        outputs[program.input_name].send(arriving)
        for name, model in models.items():
            for synapse in synapses[name]:
                synapse.run_spk()
            model.time_step = t + 1
            model.run_spk()
            history[name][:, t] = model.s_out.value, model.u, model.v
    return history


def lif_model(n: Neurons, reset_interval: int) -> Any:
    """Lava's model of a population, with the types that Lava's builder gives its variables, and no output yet."""
    from lava.proc.lif.models import PyLifResetModelBitAcc

    model = PyLifResetModelBitAcc({"reset_interval": reset_interval, "reset_offset": n.start + 1})
    model.u, model.v = np.zeros(n.size, np.int32), np.zeros(n.size, np.int32)
    model.du, model.dv, model.vth = n.du, n.dv, n.vth
    model.bias_mant = n.bias_mant.astype(np.int16)
    model.bias_exp = np.array([n.bias_exp], np.int16)
    model.a_in = Junction(n.size)
    return model


def synapse_model(c: Connection) -> Any:
    """Lava's model of a connection, with the types that Lava's builder gives its variables, and no ports yet."""
    from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc
    from lava.utils.weightutils import SignMode

    parameters = {
        "weight_exp": c.synapses.exponent,
        "num_weight_bits": c.synapses.bits,
        "sign_mode": SignMode(int(c.synapses.sign_mode)),
    }
    targets = c.synapses.mantissas.shape[0]
    if c.delay == 1:
        model = PyDenseModelBitAcc(parameters)
        model.a_buff = np.zeros(targets, np.int32)
    else:
        model = PyDelayDenseModelBitAcc(parameters)
        model.delays = np.full(c.synapses.mantissas.shape, c.delay - 1, np.int32)
        model.a_buff = np.zeros((targets, c.delay), np.int32)
    model.weights = c.synapses.mantissas.copy()
    model.num_message_bits = np.array([0])
    return model
