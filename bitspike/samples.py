"""Input spikes with labels: the value that training, engines and reports pass to each other."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError

#: Spikes that are encoded at once for a digest, a byte each.
_PART_SPIKES = 1 << 26


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class SpikeData:
    """Encoded samples.

    Attributes:
        name: the data set and part, such as ``digits:test``.
        spikes: 0 or 1, shape (samples, steps, neurons), uint8, read-only.
        labels: class of each sample, shape (samples,), int64, read-only.
        seed: the seed of the encoder; with the same seed the same samples give the same spikes, bit for bit.
        shape: of the neurons before they were flattened in C order, such as (2, 34, 34); flat by default.
    """

    name: str
    spikes: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    seed: int = 0
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        spikes = np.ascontiguousarray(self.spikes, dtype=np.uint8)
        labels = np.ascontiguousarray(self.labels, dtype=np.int64)
        if spikes.ndim != 3 or labels.shape != spikes.shape[:1]:
            raise UsageError(
                f"data {self.name}: spikes of shape {spikes.shape} and labels of shape {labels.shape}; "
                "expected (samples, steps, neurons) and (samples,)"
            )
        if spikes.size and (np.asarray(self.spikes).min() < 0 or np.asarray(self.spikes).max() > 1):
            raise UsageError(f"data {self.name}: spikes hold {int(spikes.max())}; expected 0 or 1")
        shape = tuple(map(int, self.shape)) or spikes.shape[2:]
        if math.prod(shape) != spikes.shape[2] or min(shape) < 0:
            raise UsageError(f"data {self.name}: shape {shape}; expected that of {spikes.shape[2]} neurons")
        for array in (spikes, labels):
            array.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spikes", spikes)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def steps(self) -> int:
        """Algorithmic time steps of a sample."""
        return self.spikes.shape[1]

    def first(self, samples: int) -> "SpikeData":
        """The first `samples` samples; all of them where there are fewer."""
        if samples < 1:
            raise UsageError(f"samples: {samples}; expected 1 or more")
        return SpikeData(
            name=self.name,
            spikes=self.spikes[:samples],
            labels=self.labels[:samples],
            seed=self.seed,
            shape=self.shape,
        )

    def part(self, first: int, last: int) -> "SpikeData":
        """The samples from number `first` to before `last`."""
        return replace(self, spikes=self.spikes[first:last], labels=self.labels[first:last])

    def digest(self) -> str:
        """SHA-256 of the shape of the spikes, the spikes and the labels, in hexadecimal."""
        state = hashlib.sha256(repr(self.spikes.shape).encode())
        state.update(np.packbits(self.spikes).tobytes())
        state.update(self.labels.tobytes())
        return state.hexdigest()


class Spikes(Protocol):
    """Encoded samples that are looked at part by part: :class:`SpikeData`, or :class:`SpikeParts`."""

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> int: ...
    def __len__(self) -> int: ...
    def part(self, first: int, last: int) -> SpikeData:
        """The samples from number `first` to before `last`."""
        ...

    def digest(self) -> str:
        """As :meth:`SpikeData.digest`, and equal to that of the same samples."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class SpikeParts:
    """Samples that are encoded when they are asked for: a data set whose spikes would fill the memory.

    Attributes:
        name: the data set and part.
        count: number of samples.
        steps: of a sample.
        neurons: of a step.
        encode: the samples from a number to before another, with the same spikes however they are asked for.
    """

    name: str
    count: int
    steps: int
    neurons: int
    encode: Callable[[int, int], SpikeData]

    def __len__(self) -> int:
        return self.count

    def first(self, samples: int) -> "SpikeParts":
        """The first `samples` samples; all of them where there are fewer."""
        if samples < 1:
            raise UsageError(f"samples: {samples}; expected 1 or more")
        return replace(self, count=min(samples, self.count))

    def part(self, first: int, last: int) -> SpikeData:
        """The samples from number `first` to before `last`."""
        return self.encode(first, min(last, self.count))

    def digest(self) -> str:
        """As :meth:`SpikeData.digest`; each sample is encoded once for it."""
        state = hashlib.sha256(repr((self.count, self.steps, self.neurons)).encode())
        # Eight samples have whole bytes of bits, so that parts of them join.
        size = max(8, _PART_SPIKES // max(1, self.steps * self.neurons) // 8 * 8)
        labels = []
        for first in range(0, self.count, size):
            part = self.part(first, first + size)
            state.update(np.packbits(part.spikes).tobytes())
            labels.append(part.labels)
        state.update(np.concatenate([np.zeros(0, np.int64), *labels]).tobytes())
        return state.hexdigest()


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class SignalData:
    """Samples that are no plain spikes: counts of events, or real numbers. For engines that take them.

    Attributes:
        name: the data set and part.
        values: finite numbers, shape (samples, steps, numbers), read-only.
        labels: class of each sample, shape (samples,), int64, read-only.
        shape: of the numbers of a step before they were flattened in C order; flat by default.
    """

    name: str
    values: npt.NDArray[np.generic]
    labels: npt.NDArray[np.int64]
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        values, labels = np.ascontiguousarray(self.values), np.ascontiguousarray(self.labels, dtype=np.int64)
        if values.ndim != 3 or labels.shape != values.shape[:1] or values.dtype.kind not in "biuf":
            raise UsageError(
                f"data {self.name}: values of shape {values.shape}, {values.dtype}, and labels of shape "
                f"{labels.shape}; expected numbers (samples, steps, numbers) and (samples,)"
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UsageError(f"data {self.name}: values are not finite everywhere; expected finite numbers")
        shape = tuple(map(int, self.shape)) or values.shape[2:]
        if math.prod(shape) != values.shape[2] or min(shape) < 0:
            raise UsageError(f"data {self.name}: shape {shape}; expected that of {values.shape[2]} numbers")
        for array in (values, labels):
            array.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def steps(self) -> int:
        """Algorithmic time steps of a sample."""
        return self.values.shape[1]

    def first(self, samples: int) -> "SignalData":
        """The first `samples` samples; all of them where there are fewer."""
        if samples < 1:
            raise UsageError(f"samples: {samples}; expected 1 or more")
        return replace(self, values=self.values[:samples], labels=self.labels[:samples])


def followed_by(data: Spikes, more: SpikeData) -> SpikeParts:
    """The samples of `data`, and those of `more`, of the same window and neurons, after them."""
    border, (_, steps, neurons) = len(data), more.spikes.shape
    if data.steps != steps:
        raise UsageError(f"data {data.name}: {data.steps} steps, {more.name}: {steps}; expected the same window")

    def encode(first: int, last: int) -> SpikeData:
        parts = [data.part(first, min(last, border))] if first < border else []
        parts += [more.part(max(0, first - border), last - border)] if last > border else []
        return replace(
            more,
            name=name,
            spikes=np.concatenate([part.spikes for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
        )

    name = f"{data.name} + {more.name}"
    return SpikeParts(name=name, count=border + len(more), steps=steps, neurons=neurons, encode=encode)


def are_bits(values: npt.NDArray[Any]) -> bool:
    """Return whether all numbers of an array are 0 or 1."""
    if values.dtype.kind in "bu":
        return not values.size or int(values.max()) <= 1
    return bool(np.isin(values, (0, 1)).all())
