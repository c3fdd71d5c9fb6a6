"""Which way events move, as spikes: a detector of motion before the network. This module does not import torch.

A step is cut into parts. An event in a part came from a direction where one of its kind lies `reach` places that way
in the part before, and none lies as far the other way: the correlation detector of Hassenstein and Reichardt, 1956, in
whole numbers. A step has, for each place and each kind of event (ON, OFF), a neuron for the events, then one for each
of down, up, right and left, the way in which they move; each spikes where any of its parts has one.

A network can learn the same from the parts of a step alone (``fold``), but needs many more samples for it: a product of
two events is not a sum.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.train.dataset import Rows, Samples
from bitspike.train.encode import Stream
from bitspike.train.encoders import WAYS

Spikes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class MovingSamples:
    """Recordings of which a step has the events and which way they move.

    Attributes:
        finer: the recordings in their parts.
        fold: parts in one step.
        reach: places that an event moves from part to part.
    """

    finer: Samples
    fold: int
    reach: int

    def __post_init__(self) -> None:
        if len(self.finer.shape) != 3:
            raise UsageError(f"motion: found events of shape {self.finer.shape}; expected (polarity, height, width)")

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class of each sample."""
        return self.finer.labels

    @property
    def indices(self) -> Rows:
        """Index of each sample in the whole data set."""
        return self.finer.indices

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the neurons: the kinds of events, then the same for each way."""
        kinds, *space = self.finer.shape
        return (kinds * (1 + WAYS), *space)

    def __len__(self) -> int:
        return len(self.finer)

    def take(self, rows: Rows) -> "MovingSamples":
        """Return the samples of the given rows, in their order."""
        return replace(self, finer=self.finer.take(rows))

    def encode(self, *, steps: int, seed: int, stream: int = Stream.SPIKES) -> Spikes:
        """Return the spikes of these samples, shape (samples, steps, neurons)."""
        return self.seen(self.finer.encode(steps=steps * self.fold, seed=seed, stream=stream))

    def seen(self, parts: Spikes) -> Spikes:
        """Return the spikes of parts of these samples, shape (samples, parts, neurons of a part)."""
        planes = with_motion(parts.reshape(*parts.shape[:2], *self.finer.shape), reach=self.reach)
        steps = planes.reshape(len(parts), -1, self.fold, planes[0, 0].size)
        return steps.max(axis=2)


def with_motion(parts: Spikes, *, reach: int) -> Spikes:
    """Return the events of each part, and those that moved down, up, right and left into it.

    Args:
        parts: 0 or 1, shape (samples, parts, kinds, height, width).
        reach: places from part to part.

    Returns:
        0 or 1, shape (samples, parts, 5 * kinds, height, width); nothing moves into the first part.
    """
    before = np.zeros_like(parts)
    before[:, 1:] = parts[:, :-1]
    found = [parts]
    for down, right in ((reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        found.append(parts & _moved(before, down, right) & (1 - _moved(before, -down, -right)))
    return np.concatenate(found, axis=2)


def _moved(images: Spikes, down: int, right: int) -> Spikes:
    """Return images moved by whole places; what comes in is silent."""
    height, width = images.shape[-2:]
    result = np.zeros_like(images)
    to_rows, from_rows = _overlap(height, down)
    to_columns, from_columns = _overlap(width, right)
    result[..., to_rows, to_columns] = images[..., from_rows, from_columns]
    return result


def _overlap(size: int, by: int) -> tuple[slice, slice]:
    """Return which places of an axis are written, and which are read."""
    return slice(max(0, by), max(0, size + min(0, by))), slice(max(0, -by), max(0, size - max(0, by)))
