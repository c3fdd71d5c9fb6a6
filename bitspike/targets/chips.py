"""Chips as data: the limits that are checked or printed, each with its source and how far to trust it."""

from dataclasses import dataclass, fields

from bitspike.errors import UsageError

#: How a limit is known, from the most to the least trustworthy. ``read in code`` is a public tool that was written
#: against the chip's own software; ``second hand`` is quoted by others and was not seen at its source.
GRADES = ("read in code", "published", "second hand", "differs between sources")

_NENGO = "nengo-loihi 1.1.0"
_DAVIES = "Davies et al., Loihi, IEEE Micro 38(1), 2018"
_LAVA = "lava-nc 0.10.0"
_LAVA_DL = "lava-dl 0.6.0"
_COMMUNITY = "open-neuromorphic.org"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """One figure of a chip.

    Attributes:
        value: in the unit that the limit's name says.
        source: where it stands.
        grade: one of :data:`GRADES`.
    """

    value: int
    source: str
    grade: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """A neuromorphic chip; a limit that nobody has published is None.

    Attributes:
        name: as the command line takes it.
        title: for people.
        cores: per chip, for neurons.
        neurons: per core.
        synapse_bytes: synaptic memory per core.
        input_axons, output_axons: per core.
        weight_bits: widest weight; a matrix of both signs spends one of them on the sign.
        delay_steps: longest synaptic delay.
        state_bits: width of current and membrane, sign included.
        accumulator_bits: width of the summed synaptic input of one step after its shift by 6, sign included.
        threshold_bits: width of the threshold's mantissa.
    """

    name: str
    title: str
    cores: Limit
    neurons: Limit
    synapse_bytes: Limit
    input_axons: Limit | None
    output_axons: Limit | None
    weight_bits: Limit
    delay_steps: Limit
    state_bits: Limit
    accumulator_bits: Limit | None
    threshold_bits: Limit

    def limits(self) -> dict[str, Limit | None]:
        """Every limit by its name, in the order of the class."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("name", "title")}

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.title}"]
        for name, limit in self.limits().items():
            value, known = ("-", "not published") if limit is None else (limit.value, f"{limit.grade}: {limit.source}")
            lines.append(f"  {name:<17}{value:>8}  {known}")
        return "\n".join(lines)


def _read(value: int, source: str) -> Limit:
    return Limit(value=value, source=source, grade="read in code")


def _told(value: int, source: str, grade: str = "second hand") -> Limit:
    return Limit(value=value, source=source, grade=grade)


LOIHI_1 = Chip(
    name="loihi1",
    title="Intel Loihi",
    cores=_read(128, f"{_NENGO}, hardware/allocators.py"),
    neurons=_read(1024, f"{_NENGO}, block.py"),
    synapse_bytes=_read(131072, f"{_NENGO}, block.py"),
    input_axons=_read(4096, f"{_NENGO}, block.py"),
    output_axons=_read(4096, f"{_NENGO}, block.py"),
    weight_bits=_read(8, f"{_NENGO}, block.py; {_LAVA}, utils/weightutils.py"),
    delay_steps=_told(62, f"{_DAVIES}; {_LAVA_DL} clamps there"),
    state_bits=_read(24, f"{_NENGO}, builder/discretize.py; {_LAVA}, proc/lif/models.py"),
    accumulator_bits=_read(22, f"{_NENGO}, builder/discretize.py"),
    threshold_bits=_read(17, f"{_NENGO}, builder/discretize.py; {_LAVA}, proc/lif/models.py"),
)

LOIHI_2 = Chip(
    name="loihi2",
    title="Intel Loihi 2",
    cores=_told(120, f"{_LAVA}, subcompilers/constants.py; {_COMMUNITY} says 128", "differs between sources"),
    neurons=_told(8192, f"{_COMMUNITY}; no public limit table", "differs between sources"),
    synapse_bytes=_told(131072, "128 and 192 KB are both quoted", "differs between sources"),
    input_axons=None,
    output_axons=None,
    weight_bits=_read(8, f"{_LAVA}, utils/weightutils.py"),
    delay_steps=_read(62, f"{_LAVA_DL}, netx/hdf5.py; the register has 6 bits"),
    state_bits=_read(24, f"{_LAVA}, proc/lif/models.py"),
    accumulator_bits=None,
    threshold_bits=_read(17, f"{_LAVA}, proc/lif/models.py"),
)

CHIPS: dict[str, Chip] = {chip.name: chip for chip in (LOIHI_1, LOIHI_2)}


def chip(name: str) -> Chip:
    """The chip called `name`; UsageError lists those that are known."""
    if name not in CHIPS:
        raise UsageError(f"chip {name!r}; expected one of {', '.join(CHIPS)}")
    return CHIPS[name]
