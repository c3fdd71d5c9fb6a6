"""Lava's own processes for a lowered network, and the recorders that watch them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.targets.lava.lower import Connection, LavaProgram
from bitspike.targets.lava.repair import import_lava


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """Connected Lava processes: the source, each population's ``LIFReset``, and the synapses in the program's order."""

    source: Any
    neurons: dict[str, Any]
    synapses: tuple[Any, ...]


def build_processes(program: LavaProgram, spikes: npt.NDArray[np.uint8], *, reset_interval: int) -> Processes:
    """Make and connect the processes of one run.

    Args:
        program: a lowered network.
        spikes: input of the whole run, 0 or 1, shape (steps of the run, input neurons): all samples, one after the
            other, then silence. They go into one ring buffer.
        reset_interval: steps of a sample. A population is cleared in its own first step of each sample, before decay
            and integration, which also erases what a bias did before. Lava counts steps from 1.
    """
    import_lava()
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIFReset

    source = RingBuffer(data=np.ascontiguousarray(spikes.T, dtype=np.int32))
    outputs = {program.input_name: source.s_out}
    neurons = {}
    for n in program.neurons:
        neurons[n.name] = LIFReset(
            shape=(n.size,),
            du=n.du,
            dv=n.dv,
            vth=n.vth,
            bias_mant=n.bias_mant.copy(),
            bias_exp=n.bias_exp,
            reset_interval=reset_interval,
            reset_offset=n.start + 1,
        )
        outputs[n.name] = neurons[n.name].s_out
    synapses = []
    for c in program.connections:
        process = _synapse(c)
        outputs[c.source].connect(process.s_in)
        process.a_out.connect(neurons[c.target].a_in)
        synapses.append(process)
    return Processes(source=source, neurons=neurons, synapses=tuple(synapses))


def attach_recorder(neuron: Any, folder: Path, name: str, steps: int) -> None:
    """Record `neuron` for a run of `steps` into ``name.spikes.npy``, ``name.u.npy`` and ``name.v.npy`` of `folder`."""
    from bitspike.targets.lava.recorder.process import Recorder

    shape = (steps, *map(int, neuron.u.shape))
    for quantity, dtype in (("spikes", np.uint8), ("u", np.int32), ("v", np.int32)):
        path = folder / f"{name}.{quantity}.npy"
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
    recorder = Recorder(u=neuron.u, v=neuron.v, stem=str(folder / name))
    neuron.s_out.connect(recorder.s_in)


def _synapse(c: Connection) -> Any:
    from lava.proc.dense.process import DelayDense, Dense
    from lava.utils.weightutils import SignMode

    registers: dict[str, Any] = {
        "weights": c.synapses.mantissas.copy(),
        "num_weight_bits": c.synapses.bits,
        "weight_exp": c.synapses.exponent,
        "sign_mode": SignMode(int(c.synapses.sign_mode)),
    }
    if c.delay == 1:
        return Dense(**registers)
    return DelayDense(delays=np.full(c.synapses.mantissas.shape, c.delay - 1, dtype=int), **registers)
