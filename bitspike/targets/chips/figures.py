"""What is known of a chip: its figures, each with a unit, a source and a grade."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: How a figure is known, from the most to the least trustworthy. ``read in code`` is a public tool that was written
#: against the chip's own software; ``second hand`` is quoted by others and was not seen at its source; ``assumed`` is
#: nobody's word but a guess that the mapper needs; ``made up`` belongs to a chip that does not exist.
GRADES = ("read in code", "published", "second hand", "differs between sources", "assumed", "made up")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure(Generic[T]):
    """One figure of a chip.

    Attributes:
        value: in the unit that the figure's name says.
        source: where it stands.
        grade: one of :data:`GRADES`.
    """

    value: T
    source: str
    grade: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a figure's value may be, in words and as a test; an array of a file is tested as a tuple."""

    expected: str
    accepts: Callable[[object], bool]


def _whole(value: object, low: int) -> bool:
    return type(value) is int and low <= value <= 1 << 40


def _durable(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12


def _widths(value: object) -> bool:
    if not isinstance(value, tuple) or not all(_whole(width, 0) and width <= 64 for width in value):
        return False
    return len(value) > 0 and list(value) == sorted(set(value))


def _range(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return all(type(end) is int and abs(end) <= 64 for end in value) and value[0] <= value[1]


def _kind(expected: str, accepts: Callable[[object], bool]) -> Mapping[str, Kind]:
    """Metadata of a field."""
    return MappingProxyType({"kind": Kind(expected=expected, accepts=accepts)})


COUNT = _kind("a whole number of 1 or more", lambda value: _whole(value, 1))
SIZE = _kind("a whole number of 0 or more", lambda value: _whole(value, 0))
DURATION = _kind("a number of nanoseconds above 0", _durable)
WIDTHS = _kind("an array of ascending whole numbers of bits, 0..64", _widths)
RANGE = _kind("an array of the lowest and the highest whole number", _range)

#: Figures that say something only together.
TOGETHER = (
    ("synapses_per_block", "block_header_bits", "memory_word_bits", "weight_widths", "index_widths"),
    ("shared_axon_slots", "shared_places"),
    ("mesh_rows", "mesh_columns", "cores_per_tile"),
    ("barrier_least_ns", "barrier_most_ns"),
)
#: A figure, and what it needs beside it.
NEEDS = {"synapse_bits": "memory_word_bits"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """A neuromorphic chip; a figure that nobody has published is None, and what it would limit is not checked.

    Attributes:
        name: as the command line takes it.
        title: for people.
        cores: for neurons, per chip.
        neurons: compartments per core.
        synapse_bits: synaptic memory per core.
        input_axons, output_axons: per core; an output axon takes a slot for each core that it leads to.
        shared_axon_slots: output slots of an axon whose synapses are shared between places, as in a convolution.
        shared_places: places of a tile of neurons that such an axon can address.
        synapses_per_block, block_header_bits, memory_word_bits: the synapses of an axon lie in blocks of at most so
            many, each with a header, rounded up to whole words.
        weight_widths: bits that a weight can have, its sign included where a matrix has both.
        index_widths: bits that the number of a synapse's target can have; 0 where all targets are listed in order.
        weight_exponents: the lowest and the highest.
        delay_steps: longest delay of a synapse.
        bias_max, bias_exponent_max: largest magnitude of a bias's mantissa, and its largest exponent.
        threshold_bits: width of the threshold's mantissa.
        state_bits: width of current and membrane, sign included.
        accumulator_bits: width of the summed synaptic input of one step after its shift by 6, sign included.
        payload_bits: width of a graded spike's payload; 0 where spikes are single bits.
        decay_groups, threshold_groups, synapse_formats: different ones per core.
        mesh_rows, mesh_columns, cores_per_tile: the mesh of routers, and how many cores share one.
        synaptic_operation_ns, active_update_ns, inactive_update_ns, spike_ns, hop_east_west_ns, hop_north_south_ns:
            times of a synaptic operation, of the update of a neuron with and without input, of a spike inside its tile
            and of a hop.
        barrier_least_ns, barrier_most_ns: the synchronisation at the end of a step, of one tile and of all.
    """

    name: str
    title: str
    cores: Figure[int] = field(metadata=COUNT)
    neurons: Figure[int] = field(metadata=COUNT)
    synapse_bits: Figure[int] | None = field(default=None, metadata=COUNT)
    input_axons: Figure[int] | None = field(default=None, metadata=COUNT)
    output_axons: Figure[int] | None = field(default=None, metadata=COUNT)
    shared_axon_slots: Figure[int] | None = field(default=None, metadata=COUNT)
    shared_places: Figure[int] | None = field(default=None, metadata=COUNT)
    synapses_per_block: Figure[int] | None = field(default=None, metadata=COUNT)
    block_header_bits: Figure[int] | None = field(default=None, metadata=SIZE)
    memory_word_bits: Figure[int] | None = field(default=None, metadata=COUNT)
    weight_widths: Figure[tuple[int, ...]] | None = field(default=None, metadata=WIDTHS)
    index_widths: Figure[tuple[int, ...]] | None = field(default=None, metadata=WIDTHS)
    weight_exponents: Figure[tuple[int, int]] | None = field(default=None, metadata=RANGE)
    delay_steps: Figure[int] | None = field(default=None, metadata=COUNT)
    bias_max: Figure[int] | None = field(default=None, metadata=SIZE)
    bias_exponent_max: Figure[int] | None = field(default=None, metadata=SIZE)
    threshold_bits: Figure[int] | None = field(default=None, metadata=COUNT)
    state_bits: Figure[int] | None = field(default=None, metadata=COUNT)
    accumulator_bits: Figure[int] | None = field(default=None, metadata=COUNT)
    payload_bits: Figure[int] | None = field(default=None, metadata=SIZE)
    decay_groups: Figure[int] | None = field(default=None, metadata=COUNT)
    threshold_groups: Figure[int] | None = field(default=None, metadata=COUNT)
    synapse_formats: Figure[int] | None = field(default=None, metadata=COUNT)
    mesh_rows: Figure[int] | None = field(default=None, metadata=COUNT)
    mesh_columns: Figure[int] | None = field(default=None, metadata=COUNT)
    cores_per_tile: Figure[int] | None = field(default=None, metadata=COUNT)
    synaptic_operation_ns: Figure[float] | None = field(default=None, metadata=DURATION)
    active_update_ns: Figure[float] | None = field(default=None, metadata=DURATION)
    inactive_update_ns: Figure[float] | None = field(default=None, metadata=DURATION)
    spike_ns: Figure[float] | None = field(default=None, metadata=DURATION)
    hop_east_west_ns: Figure[float] | None = field(default=None, metadata=DURATION)
    hop_north_south_ns: Figure[float] | None = field(default=None, metadata=DURATION)
    barrier_least_ns: Figure[float] | None = field(default=None, metadata=DURATION)
    barrier_most_ns: Figure[float] | None = field(default=None, metadata=DURATION)

    def figures(self) -> dict[str, Figure[Any] | None]:
        """Every figure by its name, in the order of the class."""
        return {f.name: getattr(self, f.name) for f in fields(self) if "kind" in f.metadata}

    def limit(self, name: str) -> int | None:
        """The value of the figure `name`; None where it is not published."""
        figure = getattr(self, name)
        return None if figure is None else figure.value

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.title}"]
        for name, figure in self.figures().items():
            known = "not published" if figure is None else f"{figure.grade}: {figure.source}"
            lines.append(f"  {name:<21} {_shown(figure):>16}  {known}")
        return "\n".join(lines)


def _shown(figure: Figure[Any] | None) -> str:
    if figure is None:
        return "-"
    return ",".join(map(str, figure.value)) if isinstance(figure.value, tuple) else str(figure.value)
