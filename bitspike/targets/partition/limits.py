"""The limits of a chip that a network breaks, all at once: the object, what it uses, the limit, what would help.

Each function yields violations; nothing is raised before all are known. What is not published is not checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bitspike.convert.connections import Dense, Windowed
from bitspike.convert.network import STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.ranges import Bounds, range_proof
from bitspike.errors import BitspikeError
from bitspike.targets.chips import Chip
from bitspike.targets.partition.boxes import Box
from bitspike.targets.partition.loads import RESOURCES, Load, Needs
from bitspike.targets.partition.storage import distinct_weights, weight_form

#: The figures of a chip that are checked, where they are published.
CHECKED = (
    "cores", *RESOURCES, "weight_widths", "weight_exponents", "delay_steps", "bias_max", "bias_exponent_max",
    "threshold_bits", "state_bits", "accumulator_bits", "payload_bits",
)  # fmt: skip
_FEWER = "fewer or pruned sources would help: `bitspike optimise --pass prune`"
#: What a neuron takes less of where it has fewer sources.
_BY_SOURCES = ("synapse_bits", "input_axons")
#: What would help where a core has too little.
HELP = {
    "neurons": "none: a core holds one neuron at least",
    "synapse_bits": _FEWER,
    "input_axons": _FEWER,
    "output_axons": "its targets are spread over too many cores; fewer targets, or fewer synapses at each, would help",
    "decay_groups": "none: a neuron has one pair of decays",
    "threshold_groups": "none: a neuron has one threshold",
    "synapse_formats": "connections with weights of the same bits and exponent, and the same delay, would help",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One limit that is broken.

    Attributes:
        thing: a population, a connection or the network, by name.
        resource: what there is too much of.
        used, limit: how much, and how much there may be.
        help: what would help.
    """

    thing: str
    resource: str
    used: int
    limit: int
    help: str

    def __str__(self) -> str:
        return f"{self.thing}: {self.used} {self.resource}, limit {self.limit} ({self.help})"


class LimitError(BitspikeError):
    """A network that a chip cannot hold; all violations are reported at once."""

    def __init__(self, network: str, chip: str, violations: tuple[Violation, ...]) -> None:
        self.network = network
        self.chip = chip
        self.violations = violations
        super().__init__(f"network {network} does not fit {chip}: {'; '.join(map(str, violations))}")

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[Violation, ...]]]:
        """Pickle what it was made of, so that it can leave a process."""
        return type(self), (self.network, self.chip, self.violations)


def register_violations(network: IntegerNetwork, chip: Chip) -> Iterator[Violation]:
    """What leaves a register of `chip`: of a network in chip time, by population and connection."""
    for p, bounds in zip(network.populations, range_proof(network), strict=True):
        yield from _population(p, bounds, chip)
    for c in network.connections:
        values = distinct_weights(c)
        if weight_form(c, chip) is None:
            widest = 8 if chip.weight_widths is None else chip.weight_widths.value[-1]
            yield Violation(
                thing=f"connection {c.name}",
                resource=f"bits for weights {values.min()}..{values.max()}, exactly",
                used=_bits(values),
                limit=widest,
                help="weights of fewer bits, or a smaller exponent, would help",
            )
        if chip.delay_steps is not None and c.delay > chip.delay_steps.value:
            yield Violation(
                thing=f"connection {c.name}", resource="steps of delay", used=c.delay, limit=chip.delay_steps.value,
                help="relays would help: `bitspike optimise --pass hold`",
            )  # fmt: skip


def neuron_violations(needs: Needs) -> Iterator[Violation]:
    """Resources of which a neuron alone takes more than an empty core has: the worst of each population."""
    for name in needs.shapes:
        worst: dict[str, tuple[int, int, int]] = {}
        for box in _single(needs, name):
            load = needs.incoming(name, box)
            for resource, used, limit in load.excess(needs.chip):
                worst[resource] = max(worst.get(resource, (0, 0, 0)), (used, limit, load.input_axons))
        for resource, (used, limit, axons) in worst.items():
            broken = violation(f"population {name}: one neuron", resource, used, limit)
            parts = _in_parts(needs.chip, axons * limit // used) if resource in _BY_SOURCES else ""
            yield replace(broken, help=broken.help + parts)


def _in_parts(chip: Chip, sources: int) -> str:
    """The pass that makes sums of at most so many `sources`; empty where that is too few for one."""
    binary = chip.limit("payload_bits") == 0
    return f", or a sum in parts: `--pass fan-in{'-binary' * binary}:{sources}`" if sources > 1 else ""


def load_violations(thing: str, load: Load, chip: Chip) -> Iterator[Violation]:
    """Resources of which `load` takes more than a core has."""
    for resource, used, limit in load.excess(chip):
        yield violation(thing, resource, used, limit)


def violation(thing: str, resource: str, used: int, limit: int) -> Violation:
    """Too much of one of :data:`bitspike.targets.partition.loads.RESOURCES`."""
    return Violation(thing=thing, resource=RESOURCES[resource], used=used, limit=limit, help=HELP[resource])


def core_violation(used: int, chip: Chip, *, least: bool = False) -> Violation:
    """More cores than the chip has: `used`, or as the lower bound says at `least` so many."""
    limit = chip.cores.value
    return Violation(
        thing="network", resource="cores or more" if least else "cores", used=used, limit=limit,
        help=f"fewer neurons or synapses would help: `bitspike optimise --pass prune`; or {-(-used // limit)} chips",
    )  # fmt: skip


def _population(p: Population, bounds: Bounds, chip: Chip) -> Iterator[Violation]:
    bias = int(np.abs(p.bias_mantissa.astype(np.int64)).max(initial=0))
    reached = max(abs(end) for end in bounds.input) << STATE_SHIFT
    payload = bounds.payload.bit_length() if p.graded else 0
    rows = (
        ("of bias mantissa", bias, chip.limit("bias_max"), "a larger bias exponent would help"),
        ("of bias exponent", p.bias_exponent, chip.limit("bias_exponent_max"), "a smaller bias exponent would help"),
        (
            "bits of threshold",
            p.vth.bit_length(),
            chip.limit("threshold_bits"),
            "smaller weights and thresholds would help",
        ),
        ("bits of state", bounds.bits, chip.limit("state_bits"), "smaller weights or a stronger decay would help"),
        (
            "bits of summed input",
            reached.bit_length() + 1,
            chip.limit("accumulator_bits"),
            "fewer or smaller weights would help",
        ),
        ("bits of payload", payload, chip.limit("payload_bits"), "binary spikes, or a larger shift, would help"),
    )
    for resource, used, limit, advice in rows:
        if limit is not None and used > limit:
            yield Violation(thing=f"population {p.name}", resource=resource, used=used, limit=limit, help=advice)


def _bits(values: np.ndarray) -> int:
    """Bits of the widest weight, its sign included where there are both."""
    common = int(np.bitwise_or.reduce(np.abs(values)))
    twos = (common & -common).bit_length() - 1 if common else 0
    low, high = int(values.min()) >> twos, int(values.max()) >> twos
    return max((-low - 1).bit_length(), high.bit_length()) + 1 if low < 0 < high else max(-low, high).bit_length()


def _single(needs: Needs, name: str) -> Iterator[Box]:
    """A box for each neuron that may differ in what it takes; windows take the same in every channel."""
    channels, rows, columns = needs.shapes[name]
    connections = needs.network.incoming(name)
    mixed = any(isinstance(c, Dense) and not np.all(c.weights.matrix()) for c in connections)
    if not mixed and not any(isinstance(c, Windowed) for c in connections):
        rows = columns = 1
    for c in range(channels if mixed else 1):
        for r in range(rows):
            for x in range(columns):
                yield Box((c, c + 1), (r, r + 1), (x, x + 1))
