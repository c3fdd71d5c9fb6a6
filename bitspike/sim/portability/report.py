"""The portability report: which framework reads a NIR file, and to which spikes."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["ran", "refused", "failed", "missing"]
#: The reader that is always there: the float engine, on the file's own numbers, in 64 bits and without truncation.
FLOATS = "floats"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The first spike that differs, in the order sample, step, population, neuron.

    Attributes:
        expected: what the integer network sends, 0 or 1.
        found: what the reader sends.
    """

    sample: int
    step: int
    population: str
    neuron: int
    expected: int
    found: float

    def __str__(self) -> str:
        return (
            f"sample {self.sample}, step {self.step}, {self.population}[{self.neuron}]: "
            f"{self.expected} in integers, {self.found:g} there"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One reader of the file.

    Attributes:
        reader: the framework, or ``floats``: our own float engine.
        version: that is installed; None where none is.
        outcome: ``ran``; ``refused``: it cannot read the file; ``failed``: it crashed or ran out of time; ``missing``:
            it is not installed.
        node: the node that it refuses, or is known to compute otherwise; empty where no single node is to blame.
        reason: its exception in one line, what went wrong, or the command that installs it; a warning where it ran.
        compared: spikes of every population, neuron, step and sample.
        differing: by population, how many of them differ from the integer network's.
        beyond_floats: how many differ from what the file's own numbers give without the lattice's truncation; None
            where that is not known. 0 beside spikes that differ: the reader is right, and the truncation is why.
        first: the first difference.
        seconds: of its run, start-up included.
    """

    reader: str
    version: str | None
    outcome: Outcome
    node: str = ""
    reason: str = ""
    compared: int = 0
    differing: dict[str, int]
    beyond_floats: int | None = None
    first: Place | None = None
    seconds: float = 0.0

    @property
    def wrong(self) -> int:
        """All spikes that differ."""
        return sum(self.differing.values())

    @property
    def equal(self) -> bool:
        """True where it ran to the same spikes."""
        return self.outcome == "ran" and self.wrong == 0

    @property
    def line(self) -> str:
        """A row of the table."""
        name = f"{self.reader} {self.version}" if self.version else self.reader
        if self.outcome != "ran":
            return f"{name:<20} {self.outcome}"
        beyond = "" if self.beyond_floats is None else f"{self.beyond_floats:,}"
        return f"{name:<20} {'ran':<8} {self.compared:>12,} {self.wrong:>9,} {beyond:>14} {self.seconds:>7.1f}"

    def details(self) -> list[str]:
        """What the row has no room for."""
        told = []
        if self.outcome != "ran" or self.reason:
            where = f"node {self.node}: " if self.node else ""
            told.append(f"{self.reader}: {where}{self.reason}")
        if self.first is not None:
            parts = ", ".join(f"{name} {count:,}" for name, count in self.differing.items() if count)
            told.append(f"{self.reader}: spikes that differ: {parts}; first at {self.first}")
        return told


@dataclass(frozen=True, kw_only=True, slots=True)
class Portability:
    """What every reader makes of one file; prints as a table and the reasons below it.

    Attributes:
        network, digest: of the integer network in the file.
        form: ``exact`` or ``portable``.
        data: what it was fed.
        samples, steps: how much.
        truncating: the populations whose decay is truncated, with their decays: where a right reader can differ.
    """

    network: str
    digest: str
    form: str
    data: str
    samples: int
    steps: int
    truncating: dict[str, str]
    readings: tuple[Reading, ...]

    @property
    def passed(self) -> bool:
        """True where no framework reads the file to other spikes; one that says that it cannot read it does not."""
        return not any(r.outcome == "failed" or (r.outcome == "ran" and r.wrong) for r in self.frameworks)

    @property
    def frameworks(self) -> tuple[Reading, ...]:
        """The readings but for our own."""
        return tuple(r for r in self.readings if r.reader != FLOATS)

    def reading(self, reader: str) -> Reading:
        """The reading of one framework, by its name."""
        return next(r for r in self.readings if r.reader == reader)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"passed": self.passed, **asdict(self)}

    def __str__(self) -> str:
        head = f"{'reader':<20} {'':<8} {'compared':>12} {'differ':>9} {'beyond floats':>14} {'s':>7}"
        title = (
            f"{self.form} NIR of {self.network} on {self.data}, {self.samples} samples of {self.steps} steps; "
            "spikes against the integers:"
        )
        rows = [r.line for r in self.readings]
        details = [line for r in self.readings for line in r.details()]
        return "\n".join([title, head, *rows, *details, *self._why()])

    def _why(self) -> list[str]:
        if not any(r.wrong for r in self.readings):
            return []
        if not self.truncating:
            return ["No population of this network truncates: a difference is the reader's own."]
        decays = ", ".join(f"{name} ({decay})" for name, decay in self.truncating.items())
        return [
            f"The lattice truncates what decays to 1/64, float readers do not: {decays}. Column beyond floats counts "
            "the differences that this does not explain; decays of 0 and 4096 are exact everywhere."
        ]
