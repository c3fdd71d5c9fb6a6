"""What quantising a float network moved: weights, thresholds, decays and biases, spikes that differ, and accuracy."""

from dataclasses import asdict, dataclass
from typing import Any

from bitspike.convert.floating.network import FloatNetwork
from bitspike.convert.floating.rounding import WeightMove
from bitspike.convert.network import DECAY_ONE, IntegerNetwork


@dataclass(frozen=True, kw_only=True, slots=True)
class PopulationMove:
    """How far one population moved; biases in thresholds of the float network.

    Its threshold does not move: a scale is a whole number of weight units a threshold. Where the thresholds of neurons
    differ they are in the weights, and move as those do.

    Attributes:
        population: in the integer network.
        origin: the population of the float network that it stands for; empty where it was added.
        vth: the threshold in weight units.
        du, dv: decays in 1/4096.
        current_most, membrane_most: the largest move of a share that a step keeps.
        bias_most, bias_rms: moves of the biases.
    """

    population: str
    origin: str
    neurons: int
    vth: int
    du: int
    dv: int
    current_most: float
    membrane_most: float
    bias_most: float
    bias_rms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SpikesMoved:
    """Spikes of one population of the float network in all samples and steps of one part of the data.

    Attributes:
        before, after: spikes of the float network and of the integer network.
        differing: places (sample, step, neuron) in which one spikes and the other does not.
        places: all places.
    """

    population: str
    before: int
    after: int
    differing: int
    places: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PartMoved:
    """The float network and the integer network on one part of the data.

    Attributes:
        part: ``calibration`` or ``held out``.
        spikes: by population.
        agreeing: samples to which both give the same class.
        right_before, right_after: samples to which they give the class of their label; None without labels.
    """

    part: str
    samples: int
    steps: int
    spikes: tuple[SpikesMoved, ...]
    agreeing: int
    right_before: int | None
    right_after: int | None

    @property
    def accuracy_before(self) -> float | None:
        """Share of the samples."""
        return None if self.right_before is None else self.right_before / self.samples

    @property
    def accuracy_after(self) -> float | None:
        """Share of the samples."""
        return None if self.right_after is None else self.right_after / self.samples


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Quantisation:
    """An integer network, and how far it is from the float network that it was made from. Prints as tables.

    Attributes:
        network: the integer network; legal, and its ranges are proved for the window of the calibration data.
        source: the float network.
        populations, connections: how far each moved.
        parts: spikes and accuracy on the calibration data, and on data that the search has not seen.
        notes: what is approximated and not only rounded, one sentence each; empty where nothing is.
        tried: networks and populations that the search compared.
    """

    network: IntegerNetwork
    source: FloatNetwork
    populations: tuple[PopulationMove, ...]
    connections: tuple[WeightMove, ...]
    parts: tuple[PartMoved, ...]
    notes: tuple[str, ...]
    tried: int

    def part(self, name: str) -> PartMoved:
        """The part called `name`."""
        return next(part for part in self.parts if part.part == name)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        parts = [
            asdict(part) | {"accuracy_before": part.accuracy_before, "accuracy_after": part.accuracy_after}
            for part in self.parts
        ]
        return {
            "network": self.network.name,
            "digest": self.network.digest(),
            "source": self.source.digest(),
            "populations": [asdict(move) for move in self.populations],
            "connections": [asdict(move) for move in self.connections],
            "parts": parts,
            "notes": list(self.notes),
            "source_notes": list(self.source.notes),
            "tried": self.tried,
        }

    def __str__(self) -> str:
        blocks = [
            f"network {self.network.name}, quantised; moves of weights and biases in thresholds",
            _table(
                ("connection", "bits", "exponent", "largest", "moved by", "rms", "clipped"),
                [
                    (m.connection, m.bits, m.exponent, f"{m.largest:.4g}", f"{m.most:.2g}", f"{m.rms:.2g}", m.clipped)
                    for m in self.connections
                ],
            ),
            _table(
                ("population", "neurons", "vth", "du", "dv", "kept: i", "kept: v", "bias", "rms"),
                [_population_row(move) for move in self.populations],
            ),
            _table(
                ("spikes", "part", "before", "after", "differ", "of places"),
                [_spikes_row(part, move) for part in self.parts for move in part.spikes],
            ),
            *(_sentence(part) for part in self.parts),
            *(f"approximated: {note}" for note in self.notes),
        ]
        return "\n".join(blocks)

    def __repr__(self) -> str:
        return f"<Quantisation {self.network!r}>"


def _population_row(move: PopulationMove) -> tuple[object, ...]:
    moves = (move.current_most, move.membrane_most, move.bias_most, move.bias_rms)
    current, membrane, most, rms = (f"{value:.2g}" for value in moves)
    return (move.population, move.neurons, move.vth, f"{move.du}/{DECAY_ONE}", f"{move.dv}/{DECAY_ONE}",
            current, membrane, most, rms)  # fmt: skip


def _spikes_row(part: PartMoved, move: SpikesMoved) -> tuple[object, ...]:
    counts = (f"{value:,}" for value in (move.before, move.after, move.differing, move.places))
    return (move.population, part.part, *counts)


def _sentence(part: PartMoved) -> str:
    text = f"{part.part}: {part.samples} samples x {part.steps} steps, the same class in {part.agreeing}"
    if part.accuracy_before is not None and part.accuracy_after is not None:
        text += f"; accuracy {part.accuracy_before:.2%} before, {part.accuracy_after:.2%} after"
    return text


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    cells = [head, *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    )
