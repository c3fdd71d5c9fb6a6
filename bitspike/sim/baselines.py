"""What else could do the task: the same shape as a conventional network of one step, on one 45 nm process.

The spiking network and the three others are priced with the same list, `horowitz45`: arithmetic, and memory by accesses
of 64 bits. What is assumed stands in :data:`ASSUMPTIONS`; their accuracy is not measured here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.sim.counts import Counts
from bitspike.sim.energy import ACCESS_BITS, price
from bitspike.targets.prices import PriceList, price_lists

ASSUMPTIONS = (
    "the same connections and neurons; one step, or where a connection leads back all steps of the window",
    "every synapse is one product and one addition; a product of two bits is an XNOR, counted",
    "weights are read once a step, a kernel's too; inputs and outputs of a connection are read and written once",
    "memory is SRAM, every access of 64 bits is full, partial sums stay in registers; no DRAM, no control",
    "the input of the binary network has 8 bits; the spiking network reads and writes the accumulators of its targets",
    "the accuracy of these networks was not measured",
)
#: Operations of a product with its addition, of an addition in a neuron, and bits of weights and of activations.
_KINDS = {
    "binary": (("xnor_popcount",), "add_int16", 1),
    "int8": (("multiply_int8", "add_int32"), "add_int32", 8),
    "float32": (("multiply_float32", "add_float32"), "add_float32", 32),
}
_LEAST_INPUT_BITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """One network on 45 nm, per inference.

    Attributes:
        name: ``spiking``, ``binary``, ``int8`` or ``float32``.
        steps: that it runs.
        operations: products with their additions; of the spiking network synaptic operations (a mean).
        memory_bits: moved.
        low_nj, nominal_nj, high_nj: arithmetic and memory together.
        arithmetic_nj, memory_nj: the parts of the nominal figure.
    """

    name: str
    steps: int
    operations: float
    memory_bits: float
    low_nj: float
    nominal_nj: float
    high_nj: float
    arithmetic_nj: float
    memory_nj: float


def baselines(counts: Counts) -> tuple[Baseline, ...]:
    """The spiking network that was counted, then a binary, an integer and a float one of its shape."""
    prices = price_lists()["horowitz45"]
    return (_spiking(counts, prices), *(_conventional(counts, prices, name) for name in _KINDS))


def leads_back(counts: Counts) -> bool:
    """Whether a population feeds itself, or one that feeds it."""
    import networkx

    graph = networkx.DiGraph([(c.source, c.target) for c in counts.connections])
    return not networkx.is_directed_acyclic_graph(graph)


def _spiking(counts: Counts, prices: PriceList) -> Baseline:
    estimate = price(counts, prices)
    memory = estimate.groups.get("memory", (0.0, 0.0, 0.0))[1]
    moved = sum(counts.total(q) for q in ("weight_bits_read", "state_bits_read", "state_bits_written"))
    return Baseline(
        name="spiking",
        steps=counts.steps,
        operations=float(counts.total("synaptic_operations").mean()),
        memory_bits=float((moved + counts.none).mean()),
        low_nj=estimate.low_nj,
        nominal_nj=estimate.nominal_nj,
        high_nj=estimate.high_nj,
        arithmetic_nj=estimate.nominal_nj - memory,
        memory_nj=memory,
    )


def _conventional(counts: Counts, prices: PriceList, name: str) -> Baseline:
    product, addition, width = _KINDS[name]
    steps = counts.steps if leads_back(counts) else 1
    operations = steps * sum(c.synapses for c in counts.connections)
    neurons = steps * sum(p.neurons for p in counts.populations)
    bits = steps * sum(_bits(counts, width))
    arithmetic = [operations * _nj(prices, event) for event in product] + [neurons * _nj(prices, addition)]
    memory = bits / ACCESS_BITS * _nj(prices, "weight_read")
    low, nominal, high = sum(arithmetic) + memory
    return Baseline(
        name=name,
        steps=steps,
        operations=float(operations),
        memory_bits=float(bits),
        low_nj=float(low),
        nominal_nj=float(nominal),
        high_nj=float(high),
        arithmetic_nj=float(nominal - memory[1]),
        memory_nj=float(memory[1]),
    )


def _bits(counts: Counts, width: int) -> Iterator[int]:
    """Bits that one step moves: weights, what a connection reads, what a population writes."""
    sizes = {p.population: p.neurons for p in counts.populations}
    for c in counts.connections:
        yield c.parameters * width
        yield c.sources * (width if c.source in sizes else max(width, _LEAST_INPUT_BITS))
    yield from (neurons * width for neurons in sizes.values())


def _nj(prices: PriceList, event: str) -> npt.NDArray[np.float64]:
    """Low, nominal and high nanojoules of one event."""
    found = prices.find(event)
    if found is None:
        raise UsageError(f"prices {prices.name}: no price of {event}; expected one for the baselines")
    return np.array([found.low, found.nominal, found.high]) / 1000
