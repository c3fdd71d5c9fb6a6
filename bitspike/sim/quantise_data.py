"""The samples that a network is quantised on: spikes, and classes where they are known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.floating.network import FloatNetwork
from bitspike.convert.floating.nodes import FloatInput
from bitspike.errors import UsageError
from bitspike.samples import SpikeData

Spikes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """Spikes, (samples, steps, neurons of all inputs), and the class of each sample."""

    spikes: Spikes
    labels: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.spikes)

    @property
    def steps(self) -> int:
        """Of a sample."""
        return self.spikes.shape[1]

    def rows(self, start: int, stop: int) -> "Samples":
        """Some of the samples."""
        return Samples(spikes=self.spikes[start:stop], labels=None if self.labels is None else self.labels[start:stop])


def read_samples(
    network: FloatNetwork, name: str, data: SpikeData | npt.ArrayLike, labels: npt.ArrayLike | None
) -> Samples:
    """Samples for `network`, from encoded samples or an array; `name` is the argument's, for errors.

    Raises:
        UsageError: another shape, or numbers that are no spikes.
    """
    size = sum(entry.size for entry in network.inputs)
    known: Any = labels
    if isinstance(data, SpikeData):
        spikes = data.spikes
        known = data.labels if labels is None else labels
    else:
        array = np.asarray(data)
        if array.ndim < 3 or 0 in array.shape or array[0, 0].size != size:
            raise UsageError(f"{name} of shape {array.shape}; expected (samples, steps, {size})")
        if array.dtype.kind not in "biuf" or not bool(((array == 0) | (array == 1)).all()):
            raise UsageError(f"{name}: numbers other than 0 and 1; expected spikes: encode the samples first")
        spikes = array.reshape(*array.shape[:2], size).astype(np.uint8)
    if spikes.shape[2] != size or 0 in spikes.shape:
        raise UsageError(f"{name} of shape {spikes.shape}; expected (samples, steps, {size})")
    classes = None if known is None else np.asarray(known, dtype=np.int64)
    if classes is not None and classes.shape != (len(spikes),):
        raise UsageError(f"labels of shape {classes.shape} for {len(spikes)} samples of {name}")
    return Samples(spikes=spikes, labels=classes)


def by_input(inputs: Iterable[FloatInput], spikes: Spikes) -> dict[str, Spikes]:
    """The spikes of each input, which lie one after the other."""
    found, start = {}, 0
    for entry in inputs:
        found[entry.name] = spikes[:, :, start : start + entry.size]
        start += entry.size
    return found
