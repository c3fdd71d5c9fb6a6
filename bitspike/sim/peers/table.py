"""One network's energy by several tools, from the same spikes, with a sentence for each difference."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bitspike.convert.network import IntegerNetwork
from bitspike.errors import MissingDependencyError
from bitspike.samples import SpikeData
from bitspike.sim.counts import Counts, count
from bitspike.sim.energy import price
from bitspike.sim.peers.tools import neurobench_counts, spikingjelly_energy
from bitspike.sim.record import Record
from bitspike.sim.run import simulate
from bitspike.targets.prices import price_list

#: The price of a synaptic operation that is most often quoted, in picojoules.
QUOTED_PJ = 23.6


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerRow:
    """What one tool says, mean per inference.

    Attributes:
        tool: and the model or prices that it used.
        energy_nj: None where it gives none.
        memory_nj: the part of it that is memory; None where the model does not tell.
        operations: synaptic operations that it counted.
        difference: what is different from the first row, and why.
    """

    tool: str
    energy_nj: float | None
    memory_nj: float | None
    operations: float
    difference: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerTable:
    """Several tools side by side.

    Attributes:
        network, data, samples, steps: what all of them were given.
        rows: ours first.
        absent: tools that are not installed, with the command that adds each.
    """

    network: str
    data: str
    samples: int
    steps: int
    rows: tuple[PeerRow, ...]
    absent: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        head = f"one inference of {self.network}, {self.steps} steps, mean of {self.samples} samples of {self.data}:"
        lines = [head, f"{'tool':<26} {'nJ':>12} {'of it memory':>12} {'operations':>14}"]
        for row in self.rows:
            energy, memory = ("-" if x is None else f"{x:,.1f}" for x in (row.energy_nj, row.memory_nj))
            lines += [f"{row.tool:<26} {energy:>12} {memory:>12} {row.operations:>14,.1f}", f"    {row.difference}"]
        return "\n".join([*lines, *self.absent])


def compare_tools(network: IntegerNetwork, data: SpikeData, *, samples: int = 10) -> PeerTable:
    """Price `samples` recorded inferences with our lists, by the quoted figure, and by the tools that are installed.

    Raises:
        UnsupportedError: a connection that other tools do not count.
    """
    chosen = data.first(samples)
    record = simulate(network, chosen, engine_name="fast")
    counts = count(network, record)
    rows, absent = list(_ours(counts)), []
    for tool in (_spikingjelly, _neurobench):
        try:
            rows += tool(network, record, counts)
        except MissingDependencyError as error:
            absent.append(str(error))
    return PeerTable(
        network=network.name,
        data=data.name,
        samples=record.samples,
        steps=record.steps,
        rows=tuple(rows),
        absent=tuple(absent),
    )


def _ours(counts: Counts) -> Iterator[PeerRow]:
    operations = float(counts.total("synaptic_operations").mean())
    davies, sanafe, digital = (
        price(counts, price_list(prices=name)) for name in ("davies2018", "sanafe", "horowitz45")
    )
    texts = (
        "Loihi by simulations before silicon: operations, neuron updates, messages; no hops, no static power",
        f"the same counts at prices calibrated on silicon: {sanafe.nominal_nj / davies.nominal_nj:.2f} times as much, "
        "since an operation costs half as much again and spikes and messages have a price of their own",
        "the same counts on 45 nm: an operation is an addition of 16 bits, 0.053 pJ, and memory is counted apart: "
        "accumulators, weights of their own width, states of 24 bits",
    )
    for estimate, text in zip((davies, sanafe, digital), texts, strict=True):
        memory = estimate.groups.get("memory")
        yield PeerRow(
            tool=f"bitspike, {estimate.prices}",
            energy_nj=estimate.nominal_nj,
            memory_nj=None if memory is None else memory[1],
            operations=operations,
            difference=text,
        )
    plain = operations * QUOTED_PJ / 1000
    yield PeerRow(
        tool=f"operations x {QUOTED_PJ} pJ",
        energy_nj=plain,
        memory_nj=None,
        operations=operations,
        difference=f"leaves out neuron updates and messages, {1 - plain / davies.nominal_nj:.1%} of the first row",
    )


def _spikingjelly(network: IntegerNetwork, record: Record, counts: Counts) -> Iterator[PeerRow]:
    found = spikingjelly_energy(network, record)
    effective = float(counts.total("synaptic_operations").mean())
    yield PeerRow(
        tool="SpikingJelly, simple",
        energy_nj=found.simple_nj,
        memory_nj=found.simple_memory_nj,
        operations=found.synaptic_operations,
        difference="an operation is a float addition, 0.9 pJ; every weight and state that it reads has 32 bits, at "
        "24.96 pJ a byte, which is a larger memory than ours of 20 pJ for 8 bytes; accumulators cost nothing",
    )
    yield PeerRow(
        tool="SpikingJelly, Lemaire",
        energy_nj=found.lemaire_nj,
        memory_nj=found.lemaire_memory_nj,
        operations=effective,
        difference="words of 32 bits, whose price grows with the buffer, at 10 pJ for 4 bytes of 8 kB where the source "
        "has 10 pJ for 8; each operation reads and writes a potential, and each spike is addressed",
    )


def _neurobench(network: IntegerNetwork, record: Record, counts: Counts) -> Iterator[PeerRow]:
    found = neurobench_counts(network, record)
    ours = float(counts.total("effective_operations").mean())
    yield PeerRow(
        tool="NeuroBench, effective ACs",
        energy_nj=None,
        memory_nj=None,
        operations=found.effective_acs,
        difference=f"counts, no energy: {_same(found.effective_acs, ours)} our operations without weights of 0",
    )
    yield PeerRow(
        tool="NeuroBench, dense",
        energy_nj=None,
        memory_nj=None,
        operations=found.dense,
        difference="every synapse at every step, whether a spike came or not: "
        f"{found.dense / found.effective_acs if found.effective_acs else 0:.1f} times as many",
    )


def _same(theirs: float, ours: float) -> str:
    return "equal to" if theirs == ours else f"{theirs - ours:+,.1f} beside"
