"""Data sets as spikes. This module does not import torch.

``digits`` are the 1797 handwritten digits that come with scikit-learn: real images of 8 x 8 pixels, values 0 to 16, the
test part of the UCI set "Optical Recognition of Handwritten Digits". A pixel of value k spikes in each step with
probability k / 16, exactly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.samples import SpikeData
from bitspike.train.encode import Stream, bernoulli_spikes, checked_seed, permutation

PARTS = ("train", "validation", "test", "all")
_SPLIT_SEED = 0


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Samples:
    """Samples before they become spikes.

    Attributes:
        intensity: probability of a spike in one step, shape (samples, neurons), read-only.
        labels: class of each sample, shape (samples,), read-only.
        indices: index of each sample in the whole data set, shape (samples,), read-only.
    """

    intensity: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.intp]

    def __post_init__(self) -> None:
        for array in (self.intensity, self.labels, self.indices):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.intp]) -> "Samples":
        """Return the samples of the given rows, in their order."""
        return Samples(intensity=self.intensity[rows], labels=self.labels[rows], indices=self.indices[rows])

    def encode(self, *, steps: int, seed: int, stream: int = Stream.SPIKES) -> npt.NDArray[np.uint8]:
        """Return the spikes of these samples, shape (samples, steps, neurons)."""
        return bernoulli_spikes(self.intensity, self.indices, steps=steps, seed=seed, stream=stream)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A known data set: its sizes, its split, and the function that reads it whole.

    The split is a fixed permutation of all samples, cut into training, validation and test; no choice is made on it.
    """

    inputs: int
    classes: int
    sizes: tuple[int, int, int]
    read: Callable[[], Samples]

    def rows(self, part: str) -> npt.NDArray[np.intp]:
        """Return the indices of the samples of `part`; those of ``all`` in the data set's own order."""
        if part not in PARTS:
            raise UsageError(f"part: found {part!r}; expected one of {', '.join(PARTS)}")
        if part == "all":
            return np.arange(sum(self.sizes))
        order = permutation(sum(self.sizes), seed=_SPLIT_SEED, stream=Stream.SPLIT)
        ends = np.cumsum(self.sizes)
        at = PARTS.index(part)
        return order[ends[at] - self.sizes[at] : ends[at]]


@cache
def _digits() -> Samples:
    from sklearn.datasets import load_digits

    images = load_digits()
    return Samples(
        intensity=np.asarray(images.data, dtype=np.float64) / 16.0,
        labels=np.asarray(images.target, dtype=np.int64),
        indices=np.arange(len(images.target)),
    )


DATA_SETS: Mapping[str, DataSet] = MappingProxyType(
    {"digits": DataSet(inputs=64, classes=10, sizes=(1257, 180, 360), read=_digits)}
)


def data_set(name: str) -> DataSet:
    """Return the data set called `name`; raise UsageError with the known names where there is none."""
    if name not in DATA_SETS:
        raise UsageError(f"data: found {name!r}; expected one of {', '.join(sorted(DATA_SETS))}")
    return DATA_SETS[name]


def load_samples(name: str, part: str) -> Samples:
    """Return one part of a data set before it becomes spikes."""
    known = data_set(name)
    return known.read().take(known.rows(part))


def load_data(name: str, *, part: str = "test", steps: int = 16, seed: int = 0) -> SpikeData:
    """Return one part of a data set as spikes.

    Args:
        name: name of the data set; ``digits``.
        part: ``train``, ``validation``, ``test`` or ``all``.
        steps: algorithmic time steps of a sample, 1 or more.
        seed: seed of the encoder; the spikes of a sample do not depend on the part it is asked in.

    Raises:
        UsageError: an unknown name or part, or an impossible number of steps or seed.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise UsageError(f"steps: found {steps!r}; expected a whole number, 1 or more")
    checked_seed(seed)
    samples = load_samples(name, part)
    spikes = samples.encode(steps=int(steps), seed=seed)
    return SpikeData(name=f"{name}:{part}", spikes=spikes, labels=samples.labels, seed=int(seed))
