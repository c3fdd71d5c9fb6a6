"""What all data sets have in common: parts, samples before they are spikes, and packed spikes. No torch here.

Nothing is ever held as 64-bit numbers: images are uint8 levels, events are spikes packed eight to a byte.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError, UsageError
from bitspike.train.encode import Stream, permutation
from bitspike.train.encoders import WAYS, Encoding, Kind, Levels, encode_levels
from bitspike.train.packing import pooled_shape

PARTS = ("train", "validation", "test", "all")
MAX_NEURONS = 1 << 20
"""Spikes of one part, unpacked, are at most so many; a larger part would not fit into a usual machine's memory."""
_SPLIT_SEED = 0

Rows = npt.NDArray[np.intp]
Recording = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
Self = TypeVar("Self")


class Samples(Protocol):
    """Samples before they are spikes: a value that can be cut and encoded.

    Attributes:
        labels: class of each sample, shape (samples,), read-only.
        indices: index of each sample in the whole data set, shape (samples,), read-only.
        shape: of the neurons in one step, before they were flattened in C order.
    """

    @property
    def labels(self) -> npt.NDArray[np.int64]: ...
    @property
    def indices(self) -> Rows: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def take(self: Self, rows: Rows) -> Self:
        """Return the samples of the given rows, in their order."""
        ...

    def encode(self, *, steps: int, seed: int, stream: int = Stream.SPIKES) -> npt.NDArray[np.uint8]:
        """Return the spikes of these samples, shape (samples, steps, neurons)."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class LevelSamples:
    """Images, or series of frames, as whole levels.

    Attributes:
        levels: 0 to `full`, shape (samples, frames, neurons), read-only; one frame for stills. They are whole numbers,
            and only those of a batch of moved images are not.
        full: the highest level.
        kind: ``stills`` or ``series``.
        sensor: shape of one frame.
        encoding: the encoder and its options.
    """

    levels: Levels
    full: int
    labels: npt.NDArray[np.int64]
    indices: Rows
    kind: Kind
    sensor: tuple[int, ...]
    encoding: Encoding

    def __post_init__(self) -> None:
        for array in (self.levels, self.labels, self.indices):
            array.flags.writeable = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the neurons; ``delta`` has an ON and an OFF neuron for each."""
        return encoded_shape(self.sensor, self.kind, self.encoding)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Rows) -> "LevelSamples":
        """Return the samples of the given rows, in their order."""
        return replace(self, levels=self.levels[rows], labels=self.labels[rows], indices=self.indices[rows])

    def encode(self, *, steps: int, seed: int, stream: int = Stream.SPIKES) -> npt.NDArray[np.uint8]:
        """Return the spikes of these samples, shape (samples, steps, neurons)."""
        if self.kind == "series":
            _same_steps(steps, self.encoding)
        return encode_levels(
            self.levels,
            self.indices,
            full=self.full,
            encoder=self.encoding.encoder_for(self.kind),
            encoding=self.encoding,
            steps=steps,
            seed=seed,
            stream=stream,
        )


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class SpikeSamples:
    """Recordings that are spikes already, eight neurons to a byte.

    Attributes:
        bits: shape (samples, steps, ceil(neurons / 8)), read-only, as :func:`numpy.packbits` packs them.
        shape: of the neurons.
        encoding: of which the steps.
    """

    bits: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    indices: Rows
    shape: tuple[int, ...]
    encoding: Encoding

    def __post_init__(self) -> None:
        for array in (self.bits, self.labels, self.indices):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Rows) -> "SpikeSamples":
        """Return the samples of the given rows, in their order."""
        return replace(self, bits=self.bits[rows], labels=self.labels[rows], indices=self.indices[rows])

    def encode(self, *, steps: int, seed: int, stream: int = Stream.SPIKES) -> npt.NDArray[np.uint8]:  # noqa: ARG002
        """Return the spikes; they are the same whatever `seed` and `stream` are."""
        _same_steps(steps, self.encoding)
        return np.unpackbits(self.bits, axis=2, count=math.prod(self.shape))


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class FoldedSamples:
    """Recordings of which consecutive steps are one step of the network, with neurons of their own.

    Attributes:
        finer: the recordings in their finer steps.
        fold: finer steps in one step.
        kind: of the recordings.
    """

    finer: Samples
    fold: int
    kind: Kind = "events"

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
        """Shape of the neurons: those of the first part of a step, then those of the next; a series is an image."""
        return folded_shape(self.finer.shape, self.fold, self.kind)

    def __len__(self) -> int:
        return len(self.finer)

    def take(self, rows: Rows) -> "FoldedSamples":
        """Return the samples of the given rows, in their order."""
        return replace(self, finer=self.finer.take(rows))

    def encode(self, *, steps: int, seed: int, stream: int = Stream.SPIKES) -> npt.NDArray[np.uint8]:
        """Return the spikes of these samples, shape (samples, steps, neurons)."""
        spikes = self.finer.encode(steps=steps * self.fold, seed=seed, stream=stream)
        if self.kind == "series":
            spikes = spikes.reshape(len(spikes), steps, self.fold, -1, self.shape[-1]).swapaxes(2, 3)
        return spikes.reshape(len(spikes), steps, -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A data set that is known and found, its samples not yet read.

    The rows 0, 1, 2 and so on are the training part, then the validation part, then the test part, as it is published.
    A part that was not published is cut from what there is, by a fixed permutation; no choice is made on it.

    Attributes:
        kind: what its samples are.
        shape: of one sample in one step, before an encoder.
        classes: labels are 0 to `classes` - 1.
        sizes: published samples for training, validation and test; 0 where there is no such part.
        read: function of rows and encoding that reads these rows, in their order.
        recordings: function of rows that gives of each the times of its events in microseconds and their places in
            `shape`; None where there are no events with times.
        usual_us: what the steps divide where nobody says otherwise.
    """

    kind: Kind
    shape: tuple[int, ...]
    classes: int
    sizes: tuple[int, int, int]
    read: Callable[[Rows, Encoding], Samples]
    recordings: Callable[[Rows], Iterable[Recording]] | None = None
    usual_us: int = 0

    @property
    def inputs(self) -> int:
        """Numbers in one sample in one step, before an encoder."""
        return math.prod(self.shape)

    def shape_for(self, encoding: Encoding) -> tuple[int, ...]:
        """Return the shape of the neurons with an encoder."""
        return encoded_shape(self.shape, self.kind, encoding)

    def rows(self, part: str) -> Rows:
        """Return the rows of `part`.

        Published parts, and ``all``, come in the data set's own order; a cut one in that of the permutation. Without
        a test part 7/10 of the samples are for training and 1/10, rounded, for validation; with one but without a
        validation part, 1/10 of the training part is for validation.
        """
        if part not in PARTS:
            raise UsageError(f"part: found {part!r}; expected one of {', '.join(PARTS)}")
        train, validation, test = self.sizes
        if part == "all":
            return np.arange(sum(self.sizes))
        if part == "test" and test:
            return np.arange(train + validation, sum(self.sizes))
        if validation:
            return np.arange(train) if part == "train" else np.arange(train, train + validation)
        order = permutation(train, seed=_SPLIT_SEED, stream=Stream.SPLIT)
        tenth = (train + 5) // 10
        learned = train - tenth if test else 7 * train // 10
        return {"train": order[:learned], "validation": order[learned : learned + tenth]}.get(
            part, order[learned + tenth :]
        )


def encoded_shape(shape: tuple[int, ...], kind: Kind, encoding: Encoding) -> tuple[int, ...]:
    """Return the shape of the neurons that an encoder makes of samples of `shape`."""
    pooled = pooled_shape(shape, encoding.pool)
    if encoding.motion and kind == "events":
        if len(pooled) != 3:
            raise UsageError(f"motion: found events of shape {pooled}; expected (polarity, height, width)")
        return pooled[0] * (1 + WAYS), *pooled[1:]
    return folded_shape((2, *pooled) if encoding.encoder_for(kind) == "delta" else pooled, encoding.fold, kind)


def folded_shape(shape: tuple[int, ...], fold: int, kind: Kind = "events") -> tuple[int, ...]:
    """Return the shape of the neurons where each part of a step has its own.

    A sensor gets more channels, or one axis more; a series becomes images of which a row is a part.
    """
    if fold == 1:
        return shape
    if kind == "series":
        return (*shape[:-1], fold, shape[-1])
    return (fold * shape[0], *shape[1:]) if len(shape) == 3 else (fold, *shape)


def checked_labels(
    path: object, labels: npt.NDArray[np.generic], classes: int, *, name: str = "labels"
) -> npt.NDArray[np.int64]:
    """Return labels as int64; raise FileError unless they are whole numbers from 0 to `classes` - 1."""
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise FileError(path, f"{name}: found {labels.dtype} of shape {labels.shape}; expected a row of whole numbers")
    found = labels.astype(np.int64)
    if found.size and not 0 <= int(found.min()) <= int(found.max()) < classes:
        wrong = int(found[(found < 0) | (found >= classes)][0])
        raise FileError(path, f"{name}: found {wrong}; expected 0 to {classes - 1}")
    return found


def _same_steps(steps: int, encoding: Encoding) -> None:
    if steps != encoding.steps:
        raise UsageError(f"steps: found {steps}; expected {encoding.steps}, with which the samples were read")
