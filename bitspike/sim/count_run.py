"""Counting whole data sets: a run in chunks of samples, so that memory does not grow with the data."""

from collections.abc import Iterator

from bitspike.convert.network import IntegerNetwork
from bitspike.samples import SpikeData
from bitspike.sim.counts import Counts, count
from bitspike.sim.counts_combined import joined
from bitspike.sim.record import Record
from bitspike.sim.run import simulate

#: What the record of a chunk may take.
CHUNK_BYTES = 1 << 28
#: Of one neuron at one step, in the engine that takes most: spikes, current and membrane in 64 bits, twice.
NEURON_BYTES = 48


def count_run(
    network: IntegerNetwork, *, data: SpikeData, engine_name: str = "fast", chunk: int | None = None
) -> Counts:
    """Run `network` on `data` and count what it does.

    Args:
        network: any legal network whose range proof holds.
        data: encoded samples.
        engine_name: any engine that runs the network alone; all of them give the same record, which
            :func:`bitspike.sim.verify.verify` proves. The default runs on all cores.
        chunk: samples that run together; chosen by size by default. No result depends on it.
    """
    return joined([count(network, record) for record in records(network, data, engine_name=engine_name, chunk=chunk)])


def records(
    network: IntegerNetwork, data: SpikeData, *, engine_name: str = "fast", chunk: int | None = None
) -> Iterator[Record]:
    """The records of a run of `data`, chunk by chunk, in order."""
    size = chunk or chunk_size(network, data.steps)
    for first in range(0, max(1, len(data)), size):
        yield simulate(network, data.spikes[first : first + size], engine_name=engine_name)


def chunk_size(network: IntegerNetwork, steps: int) -> int:
    """Samples whose record takes at most :data:`CHUNK_BYTES`, one at least."""
    neurons = network.input_size + sum(p.size for p in network.populations)
    return max(1, CHUNK_BYTES // (NEURON_BYTES * max(1, steps) * neurons))
