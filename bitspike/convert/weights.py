"""Weight matrices: one bit a weight, packed 64 to a word, or integers of up to 8 bits and sign."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.value import Value, read_only
from bitspike.errors import UsageError

WORD = 64
#: The two values that a one-bit weight can have, by the name that files use.
BIT_VALUES: dict[str, tuple[int, int]] = {"pm1": (-1, 1), "01": (0, 1)}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BinaryWeights(Value):
    """One-bit weights.

    Attributes:
        words: shape (rows, ceil(columns / 64)), uint64; row = target neuron; bit `k` of word `j` is the synapse from
            source neuron ``64 * j + k``; unused bits are 0.
        columns: number of source neurons.
        low, high: the values of a 0 bit and of a 1 bit: -1 and +1, or 0 and +1.
    """

    words: npt.NDArray[np.uint64]
    columns: int
    low: int = -1
    high: int = 1

    def __post_init__(self) -> None:
        words = read_only(self.words, np.uint64)
        expected = -(-self.columns // WORD)
        if words.ndim != 2 or words.shape[1] != expected:
            raise UsageError(f"words of shape {words.shape}; expected (rows, {expected}) for {self.columns} columns")
        if (self.low, self.high) not in BIT_VALUES.values():
            raise UsageError(f"bit values {self.low}, {self.high}; expected -1, 1 or 0, 1")
        unused = expected * WORD - self.columns
        if unused and bool(np.any(words[:, -1] >> np.uint64(WORD - unused))):
            raise UsageError(f"words hold bits beyond column {self.columns}; expected zeros there")
        object.__setattr__(self, "words", words)

    @classmethod
    def pack(cls, matrix: npt.ArrayLike, *, low: int = -1, high: int = 1) -> "BinaryWeights":
        """Pack a (targets, sources) matrix of the two values; any other value is refused."""
        dense = np.asarray(matrix)
        if dense.ndim != 2:
            raise UsageError(f"weights of shape {dense.shape}; expected (targets, sources)")
        if not bool(np.all((dense == low) | (dense == high))):
            raise UsageError(f"weights other than {low} and {high}; expected one bit a weight")
        rows, columns = dense.shape
        padded = np.zeros((rows, -(-columns // WORD) * WORD), dtype=bool)
        padded[:, :columns] = dense == high
        words = np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)
        return cls(words=words, columns=columns, low=low, high=high)

    @property
    def shape(self) -> tuple[int, int]:
        """(targets, sources)."""
        return self.words.shape[0], self.columns

    @property
    def bits(self) -> int:
        """Storage of one weight."""
        return 1

    @property
    def stored_bits(self) -> int:
        """Storage of one weight with its sign: the bit says both."""
        return 1

    def matrix(self) -> npt.NDArray[np.int64]:
        """The weights as integers, shape (targets, sources)."""
        octets = np.ascontiguousarray(self.words.astype("<u8")).view(np.uint8)
        ones = np.unpackbits(octets, axis=1, bitorder="little")[:, : self.columns].astype(np.int64)
        return self.low + (self.high - self.low) * ones

    def describe(self) -> str:
        """Value range for the text form."""
        return f"bits=1 values={{{self.low:+d},{self.high:+d}}}" if self.low else "bits=1 values={0,+1}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IntegerWeights(Value):
    """Weights of up to 8 bits and sign: `values`, int16, shape (targets, sources), each in -256..255."""

    values: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        wide = np.asarray(self.values)
        if wide.ndim != 2 or wide.dtype.kind not in "iu":
            raise UsageError(f"weights of shape {wide.shape}, {wide.dtype}; expected integers (targets, sources)")
        if wide.size and (wide.min() < -256 or wide.max() > 255):
            raise UsageError(f"weights in {wide.min()}..{wide.max()}; expected -256..255")
        object.__setattr__(self, "values", read_only(wide, np.int16))

    @property
    def shape(self) -> tuple[int, int]:
        """(targets, sources)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def bits(self) -> int:
        """Storage of one weight: the fewest bits that hold every magnitude (the sign is counted apart)."""
        return max(1, int(np.abs(self.values.astype(np.int32)).max(initial=0)).bit_length())

    @property
    def stored_bits(self) -> int:
        """Storage of one weight with its sign; a matrix of one sign has none to store."""
        mixed = bool(np.any(self.values < 0)) and bool(np.any(self.values > 0))
        return self.bits + mixed

    def matrix(self) -> npt.NDArray[np.int64]:
        """The weights as integers, shape (targets, sources)."""
        return self.values.astype(np.int64)

    def describe(self) -> str:
        """Value range for the text form."""
        low, high = (int(self.values.min()), int(self.values.max())) if self.values.size else (0, 0)
        return f"bits={self.bits} values={low:+d}..{high:+d}"


Weights = BinaryWeights | IntegerWeights


def weights_of(matrix: npt.ArrayLike) -> Weights:
    """The densest form that holds `matrix`: one bit where all weights are -1 or +1 (or 0 or 1), else integers."""
    dense = np.asarray(matrix)
    for low, high in BIT_VALUES.values():
        if dense.size and bool(np.all((dense == low) | (dense == high))):
            return BinaryWeights.pack(dense, low=low, high=high)
    return IntegerWeights(values=dense)
