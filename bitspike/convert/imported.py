"""What an importer gives: a network, and what a person should know of how it came about."""

from dataclasses import dataclass

from bitspike.convert.network import IntegerNetwork


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """A network read from a file.

    Attributes:
        network: legal, on our lattice.
        notes: one sentence for each thing that the file left open, or that lies outside the network; empty for files
            that bitspike wrote.
    """

    network: IntegerNetwork
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([str(self.network), *(f"note: {note}" for note in self.notes)])
