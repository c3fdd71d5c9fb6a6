"""Recordings as packed spikes: windows of a sensor, time as steps, and how much fits into memory."""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bitspike.errors import UsageError
from bitspike.train.encoders import Encoding

MAX_BYTES = 1 << 34


def pooled_shape(shape: tuple[int, ...], pool: int) -> tuple[int, ...]:
    """Return the shape of a sensor whose windows of `pool` rows and columns are one neuron each.

    Raises:
        UsageError: a sensor without rows and columns, or windows that do not fit it.
    """
    if pool == 1:
        return shape
    if len(shape) < 2 or shape[-2] % pool or shape[-1] % pool:
        raise UsageError(f"pool: found {pool}; expected a divisor of the rows and columns of {shape}")
    return (*shape[:-2], shape[-2] // pool, shape[-1] // pool)


def pooled_addresses(shape: tuple[int, ...], pool: int) -> npt.NDArray[np.intp]:
    """Return for each neuron of a sensor the neuron that its window becomes, shape (neurons,)."""
    after = pooled_shape(shape, pool)
    numbers = np.arange(math.prod(after), dtype=np.intp).reshape(after)
    if pool > 1:
        numbers = numbers.repeat(pool, axis=-2).repeat(pool, axis=-1)
    return numbers.ravel()


def pack_events(
    recordings: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    count: int,
    *,
    shape: tuple[int, ...],
    encoding: Encoding,
    duration_us: int,
) -> npt.NDArray[np.uint8]:
    """Return packed spikes, shape (count, steps, ceil(neurons / 8)), of `count` recordings, taken one after the other.

    Args:
        recordings: times in microseconds from the start, and neurons, both of shape (events,); neurons lie in `shape`.
        count: of recordings.
        shape: of the neurons.
        encoding: of which the steps.
        duration_us: step = time * steps // duration_us; events before 0 or at the end and later are left out. Two
            events of one neuron in one step are one spike; fewer than ``encoding.least`` are none.
    """
    place = pooled_addresses(shape, encoding.pool)
    neurons = math.prod(pooled_shape(shape, encoding.pool))
    check_size(count, encoding.steps, neurons)
    packed = np.zeros((count, encoding.steps, (neurons + 7) // 8), dtype=np.uint8)
    for row, (times, addresses) in enumerate(recordings):
        inside = (times >= 0) & (times < duration_us)
        step = times[inside] * encoding.steps // duration_us
        # Only places that have events are counted: all of them, eight bytes each, need not fit into memory.
        found, events = np.unique(step * neurons + place[addresses[inside]], return_counts=True)
        at, neuron = np.divmod(found[events >= encoding.least], neurons)
        np.bitwise_or.at(packed[row], (at, neuron >> 3), (128 >> (neuron & 7)).astype(np.uint8))
    return packed


def pack_frames(
    frames: npt.NDArray[np.uint8], *, encoding: Encoding, shape: tuple[int, ...] | None = None
) -> npt.NDArray[np.uint8]:
    """Return packed spikes of frames, shape (frames, neurons): frame k of n is part of step k * steps // n.

    A neuron spikes whose window has ``encoding.least`` events in a step; `shape` is the sensor's, flat by default.
    """
    sensor = shape or (frames.shape[1],)
    after = pooled_shape(sensor, encoding.pool)
    summed = np.zeros((encoding.steps, frames.shape[1]), dtype=np.int32)
    for number, frame in enumerate(frames):
        summed[number * encoding.steps // len(frames)] += frame
    if encoding.pool > 1:
        windows = summed.reshape(-1, after[-2], encoding.pool, after[-1], encoding.pool)
        summed = windows.sum((2, 4), dtype=np.int32).reshape(encoding.steps, -1)
    return np.packbits(summed >= encoding.least, axis=1)


def check_size(samples: int, steps: int, neurons: int) -> None:
    """Raise UsageError where the spikes of a part would not fit into memory."""
    if samples * steps * neurons > MAX_BYTES:
        raise UsageError(
            f"data: found {samples} samples x {steps} steps x {neurons} neurons; "
            f"expected at most {MAX_BYTES} spikes in one part; ask for fewer steps or a smaller part"
        )
