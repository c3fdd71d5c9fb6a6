"""Lava's own processes for a lowered network, and the recorders that watch them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.targets.lava.encode import Synapses
from bitspike.targets.lava.layout import to_lava
from bitspike.targets.lava.program import (
    Connection,
    ConvConnection,
    DenseConnection,
    LavaProgram,
    Neurons,
    SparseConnection,
)
from bitspike.targets.lava.repair import import_lava


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """Connected Lava processes: sources and neurons by name, and the synapses in the program's order."""

    sources: dict[str, Any]
    neurons: dict[str, Any]
    synapses: tuple[Any, ...]


def build_processes(program: LavaProgram, spikes: npt.NDArray[np.uint8], *, reset_interval: int) -> Processes:
    """Make and connect the processes of one run.

    Args:
        program: a lowered network.
        spikes: input of the whole run, 0 or 1, shape (steps of the run, neurons of all sources): all samples, one after
            the other, then silence. They go into one ring buffer for each source.
        reset_interval: steps from a sample's begin to the next one's. A population is cleared in its own first step of
            each sample, before decay and integration, which also erases what a bias did before. Lava counts steps
            from 1.
    """
    import_lava()
    from lava.proc.io.source import RingBuffer

    sources, first = {}, 0
    for entry in program.sources:
        arriving = to_lava(spikes[:, first : first + entry.size], entry.shape)
        sources[entry.name] = RingBuffer(data=np.ascontiguousarray(np.moveaxis(arriving, 0, -1), dtype=np.int32))
        first += entry.size
    neurons = {n.name: _neurons(n, reset_interval, (program.gap or 0) + n.start + 1) for n in program.neurons}
    outputs = {name: process.s_out for name, process in (sources | neurons).items()}
    synapses = []
    for c in program.connections:
        process = _synapses(c)
        _reshaped(outputs[c.source], process.s_in.shape).connect(process.s_in)
        _reshaped(process.a_out, neurons[c.target].a_in.shape).connect(neurons[c.target].a_in)
        synapses.append(process)
    return Processes(sources=sources, neurons=neurons, synapses=tuple(synapses))


def attach_recorder(neuron: Any, folder: Path, name: str, steps: int) -> None:
    """Record `neuron` for a run of `steps` into ``name.spikes.npy``, ``name.u.npy`` and ``name.v.npy`` of `folder`."""
    from bitspike.targets.lava.recorder.process import Recorder

    shape = (steps, *map(int, neuron.u.shape))
    for quantity in ("spikes", "u", "v"):
        path = folder / f"{name}.{quantity}.npy"
        np.lib.format.open_memmap(path, mode="w+", dtype=np.int32, shape=shape).flush()
    recorder = Recorder(u=neuron.u, v=neuron.v, stem=str(folder / name))
    neuron.s_out.connect(recorder.s_in)


def synapse_registers(synapses: Synapses) -> dict[str, Any]:
    """The registers that ``Dense`` and ``Sparse`` share, besides their weights."""
    from lava.utils.weightutils import SignMode

    return {
        "num_weight_bits": synapses.bits,
        "weight_exp": synapses.exponent,
        "sign_mode": SignMode(int(synapses.sign_mode)),
    }


def sparse_matrix(c: SparseConnection, values: npt.NDArray[Any]) -> Any:
    """`values` of the synapses of a sparse connection as the matrix that Lava takes, (targets, sources)."""
    from scipy.sparse import csr_matrix

    return csr_matrix((values, (c.targets, c.sources)), shape=c.size, dtype=values.dtype)


def _neurons(n: Neurons, reset_interval: int, reset_offset: int) -> Any:
    registers: dict[str, Any] = {
        "shape": n.shape,
        "du": n.du,
        "dv": n.dv,
        "vth": n.vth,
        "bias_mant": n.bias_mant.copy(),
        "bias_exp": n.bias_exp,
        "reset_interval": reset_interval,
        "reset_offset": reset_offset,
    }
    if n.lava_has_it:
        from lava.proc.lif.process import LIFReset

        return LIFReset(**registers)
    from bitspike.targets.lava.neurons.process import SubtractingLIF

    return SubtractingLIF(subtract=n.subtract, payload_shift=n.payload_shift, **registers)


def _synapses(c: Connection) -> Any:
    from lava.proc.conv.process import Conv
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.sparse.process import DelaySparse, Sparse

    message = {"num_message_bits": c.message_bits}
    if isinstance(c, ConvConnection):
        return Conv(
            weight=c.kernel.copy(),
            input_shape=c.input_shape,
            stride=c.stride,
            padding=c.padding,
            dilation=c.dilation,
            groups=c.groups,
            **message,
        )
    if isinstance(c, SparseConnection):
        registers = synapse_registers(c.synapses) | message | {"weights": sparse_matrix(c, c.synapses.mantissas)}
        if c.delay == 1:
            return Sparse(**registers)
        return DelaySparse(delays=sparse_matrix(c, np.full(len(c.sources), c.delay - 1)), **registers)
    if not isinstance(c, DenseConnection):
        raise TypeError(f"connection {c.name}: {type(c).__name__}")
    registers = synapse_registers(c.synapses) | message | {"weights": c.synapses.mantissas.copy()}
    if c.delay == 1:
        return Dense(**registers)
    return DelayDense(delays=np.full(c.synapses.mantissas.shape, c.delay - 1, dtype=int), **registers)


def _reshaped(port: Any, shape: tuple[int, ...]) -> Any:
    """The port with the shape that the other side has; a line of neurons and a space hold the same order."""
    return port if port.shape == shape else port.reshape(shape)
