"""One layer of a NetX file of lava-dl: its entries, each checked before it is used and named where it is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitspike.convert.json_values import Arrays
from bitspike.convert.rules import MAX_NEURONS
from bitspike.errors import BitspikeError

Integers = npt.NDArray[np.int64]
MAX_LAYERS = 4096
MAX_EXTENTS = 8


@dataclass(frozen=True, slots=True)
class Layer:
    """Layer `index`; `entries` are its datasets by the path below ``/layer/<index>/``."""

    index: int
    entries: Arrays

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"layer {self.index}"

    @property
    def type(self) -> str:
        """``dense``, ``conv`` and so on."""
        return self.text("type")

    @property
    def has_neuron(self) -> bool:
        """Whether anything below ``neuron/`` is there."""
        return any(key.startswith("neuron/") for key in self.entries)

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def refuse_unknown(self, known: set[str]) -> None:
        """BitspikeError naming the first entry that is not `known`."""
        for key in sorted(set(self.entries) - known):
            raise BitspikeError(f"{self.where}: {key} is unknown; a reader that left it out could run another network")

    def text(self, key: str) -> str:
        """A text, alone or in an array of one, as lava-dl writes it."""
        array = self._entry(key)
        value = array.reshape(-1)[0] if array.size == 1 else None
        if not isinstance(value, bytes) or not value.isascii():
            raise BitspikeError(f"{self.where}: {key} is no text")
        return value.decode("ascii")

    def numbers(self, key: str) -> npt.NDArray[np.float64]:
        """Finite numbers."""
        array = self._entry(key)
        if array.dtype.kind not in "biuf" or not bool(np.all(np.isfinite(array))):
            raise BitspikeError(f"{self.where}: {key} is no finite number")
        return array.astype(np.float64)

    def integers(self, key: str) -> Integers:
        """Whole numbers, as integers or as floats."""
        array = self._entry(key)
        # Rounding a signalling NaN, which a file can hold, would warn.
        finite = array.dtype.kind in "iuf" and bool(np.all(np.isfinite(array)))
        if not finite or not bool(np.all((array == np.rint(array)) & (np.abs(array.astype("f8")) < 1 << 31))):
            raise BitspikeError(f"{self.where}: {key} is not integers")
        return array.astype(np.int64)

    def number(self, key: str) -> int:
        """One whole number, alone or in an array of one."""
        values = self.integers(key)
        if values.size != 1:
            raise BitspikeError(f"{self.where}: {key} of shape {values.shape}; expected one number for the layer")
        return int(values.reshape(-1)[0])

    def pair(self, key: str, default: int) -> tuple[int, int]:
        """(vertical, horizontal), of one number or of two."""
        values = self._few(key) if key in self else [default]
        if len(values) not in (1, 2):
            raise BitspikeError(f"{self.where}: {key} of {len(values)} numbers; expected 1 or 2")
        return values[0], values[-1]

    def shape(self) -> tuple[int, ...]:
        """Neurons, as (N,) or (channels, height, width)."""
        extents = tuple(self._few("shape"))
        size = 1
        for extent in extents:
            size *= extent if 0 < extent <= MAX_NEURONS else MAX_NEURONS + 1
        if not extents or size > MAX_NEURONS:
            raise BitspikeError(f"{self.where}: shape {extents}; expected 1 to {MAX_NEURONS} neurons")
        return extents

    def _few(self, key: str) -> list[int]:
        """At most `MAX_EXTENTS` integers: a file can have a million where a shape is expected."""
        size = self._entry(key).size
        if size > MAX_EXTENTS:
            raise BitspikeError(f"{self.where}: {key} of {size} numbers; expected at most {MAX_EXTENTS}")
        return [int(value) for value in self.integers(key).reshape(-1)]

    def _entry(self, key: str) -> npt.NDArray[np.generic]:
        if key not in self.entries:
            raise BitspikeError(f"{self.where} has no {key}")
        return self.entries[key]


def layers_of(found: Arrays) -> Iterator[Layer]:
    """The layers 0, 1, 2, ... of a file whose datasets are `found`, by path.

    Raises:
        BitspikeError: where one is missing, or is called something else.
    """
    layers: dict[str, Arrays] = {}
    for path, array in found.items():
        first, _, rest = path.partition("/")
        name, _, key = rest.partition("/")
        if first == "layer":
            layers.setdefault(name, {})[key] = array
    if len(layers) > MAX_LAYERS:
        raise BitspikeError(f"{len(layers)} layers; expected at most {MAX_LAYERS}")
    for number in range(len(layers)):
        if str(number) not in layers:
            there = ", ".join(sorted(layers)[:8])[:80]
            raise BitspikeError(f"layer {number} has no entries (lava-dl writes none of KWTA); found layer {there}")
        yield Layer(number, layers[str(number)])
