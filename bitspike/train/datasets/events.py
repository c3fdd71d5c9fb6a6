"""``events:FILE.npz``: spikes of one's own, as events or dense.

| array | type, shape | holds |
|---|---|---|
| ``t`` | whole numbers (events,) | microseconds from the start of the sample, 0 or more, in any order |
| ``x``, ``y``, ``p`` | whole numbers (events,) | column, row, polarity (or any channel) |
| ``offsets`` | whole numbers (samples + 1,) | sample k has the events ``offsets[k]`` to ``offsets[k + 1] - 1`` |
| ``labels`` | whole numbers (samples,) | class, from 0 |
| ``shape`` | whole numbers (3,) | the sensor: polarities, rows, columns |
| ``duration_us`` | optional whole number () | what the steps divide; by default one more than the latest ``t`` |
| ``parts`` | optional whole numbers (samples,) | 0 training, 1 validation, 2 test |

A neuron is (p * rows + y) * columns + x. The dense form has ``spikes``, 0 or 1, (samples, steps, neurons), ``labels``,
and optionally ``shape`` (the neurons, of any number of axes) and ``parts``; its steps are its own. Without ``parts``
they are cut by the fixed permutation. There are as many classes as the highest label says.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError, UsageError
from bitspike.train.dataset import MAX_NEURONS, DataSet, Rows, SpikeSamples, checked_labels, encoded_shape
from bitspike.train.datasets.binary import shown
from bitspike.train.datasets.frames import split_rows
from bitspike.train.datasets.npz import arrays, expect_shape, headers, npz_path
from bitspike.train.encoders import Encoding
from bitspike.train.packing import pack_events

INTEGERS = "iu"
MAX_CLASSES = 1 << 20
MAX_TIME = 1 << 38
"""Microseconds, three days; times as many steps as there can be, 2**24, they are 64-bit integers."""
EVENTS = ("t", "x", "y", "p")


def open_events(path: str) -> DataSet:
    """Return the data set in an npz of events, or of dense spikes."""
    found = npz_path(path)
    there = headers(found)
    if "spikes" in there:
        return _open_dense(found)
    if not {"t", "offsets"} <= set(there):
        raise FileError(
            found,
            f"holds {shown(there)}; expected spikes and labels, or {', '.join(EVENTS)}, offsets, labels and shape",
        )
    return _open_events(found)


def dense(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], tuple[int, ...]]:
    """Return spikes, labels and shape of the neurons in an npz of dense spikes."""
    content = arrays(path, {"spikes": "biu", "labels": INTEGERS}, optional={"shape": INTEGERS})
    spikes = content["spikes"]
    labels = checked_labels(path, content["labels"], MAX_CLASSES)
    expect_shape(path, "spikes", spikes, (len(labels), None, None))
    if spikes.shape[2] == 0:
        raise FileError(path, f"spikes: found shape {spikes.shape}; expected 1 neuron or more")
    if spikes.size and not 0 <= spikes.min() <= spikes.max() <= 1:
        wrong = spikes.max() if spikes.max() > 1 else spikes.min()
        raise FileError(path, f"spikes hold {int(wrong)}; expected 0 or 1")
    shape = tuple(content["shape"].ravel().tolist()) if "shape" in content else (spikes.shape[2],)
    if math.prod(shape) != spikes.shape[2]:
        raise FileError(path, f"shape: found {shape}; expected the {spikes.shape[2]} neurons of spikes")
    return spikes, labels, shape


def checked_offsets(
    path: Path, name: str, offsets: npt.NDArray[Any], *, samples: int, events: int
) -> npt.NDArray[np.int64]:
    """Return offsets as int64; raise FileError unless they cut `events` into `samples`."""
    expect_shape(path, name, offsets, (samples + 1,))
    found = offsets.astype(np.int64)
    if found[0] != 0 or found[-1] != events or (np.diff(found) < 0).any():
        raise FileError(
            path, f"{name}: found {found[0]} to {found[-1]}; expected 0 to {events}, none below the one before"
        )
    return found


def _open_dense(path: Path) -> DataSet:
    spikes, labels, shape = dense(path)
    order, sizes = split_rows(path, "parts", arrays(path, {}, optional={"parts": INTEGERS}).get("parts"), len(labels))

    def read(rows: Rows, encoding: Encoding) -> SpikeSamples:
        if encoding.steps != spikes.shape[1]:
            raise UsageError(f"steps: found {encoding.steps}; expected {spikes.shape[1]}, those of {path}")
        if encoding.duration_ms:
            raise UsageError(
                f"duration_ms: found {encoding.duration_ms}; expected 0: the spikes in {path} have no times"
            )
        if (encoding.pool, encoding.least) != (1, 1):
            raise UsageError(f"pool, least: found {encoding.pool}, {encoding.least}; expected 1, 1: {path} is dense")
        chosen = order[rows]
        bits = np.packbits(spikes[chosen].astype(np.uint8), axis=2)
        return SpikeSamples(bits=bits, labels=labels[chosen], indices=rows, shape=shape, encoding=encoding)

    classes = int(labels.max(initial=0)) + 1
    return DataSet(kind="events", shape=shape, classes=classes, sizes=sizes, read=read)


def _open_events(path: Path) -> DataSet:
    content = arrays(
        path,
        dict.fromkeys((*EVENTS, "offsets", "labels", "shape"), INTEGERS),
        optional={"duration_us": INTEGERS, "parts": INTEGERS},
    )
    labels = checked_labels(path, content["labels"], MAX_CLASSES)
    times = content["t"]
    offsets = checked_offsets(path, "offsets", content["offsets"], samples=len(labels), events=times.size)
    shape = _sensor(path, content["shape"])
    _check_events(path, content, shape)
    expect_shape(path, "duration_us", content.get("duration_us", np.array(1)), ())
    duration = int(content["duration_us"]) if "duration_us" in content else int(times.max(initial=0)) + 1
    if not 1 <= duration <= MAX_TIME:
        raise FileError(path, f"duration_us: found {duration}; expected 1 to {MAX_TIME}")
    order, sizes = split_rows(path, "parts", content.get("parts"), len(labels))

    def one(row: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        cut = slice(offsets[row], offsets[row + 1])
        t, x, y, p = (content[name][cut].astype(np.int64) for name in EVENTS)
        return t, (p * shape[1] + y) * shape[2] + x

    def read(rows: Rows, encoding: Encoding) -> SpikeSamples:
        chosen = order[rows]
        bits = pack_events(
            (one(row) for row in chosen),
            len(rows),
            shape=shape,
            encoding=encoding,
            duration_us=encoding.duration_us(duration),
        )
        return SpikeSamples(
            bits=bits,
            labels=labels[chosen],
            indices=rows,
            shape=encoded_shape(shape, "events", encoding),
            encoding=encoding,
        )

    return DataSet(
        kind="events",
        shape=shape,
        classes=int(labels.max(initial=0)) + 1,
        sizes=sizes,
        read=read,
        recordings=lambda rows: [one(row) for row in order[rows]],
        usual_us=duration,
    )


def _sensor(path: Path, found: npt.NDArray[Any]) -> tuple[int, int, int]:
    expect_shape(path, "shape", found, (3,))
    polarities, rows, columns = (int(size) for size in found)
    if min(polarities, rows, columns) < 1 or polarities * rows * columns > MAX_NEURONS:
        raise FileError(path, f"shape: found {(polarities, rows, columns)}; expected 1 to {MAX_NEURONS} neurons")
    return polarities, rows, columns


def _check_events(path: Path, content: dict[str, npt.NDArray[Any]], shape: tuple[int, int, int]) -> None:
    for name, limit in zip(EVENTS, (MAX_TIME, shape[2], shape[1], shape[0]), strict=True):
        values = content[name]
        expect_shape(path, name, values, (content["t"].size,))
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < limit:
            raise FileError(path, f"{name}: found {values.min()} to {values.max()}; expected 0 to {limit - 1}")
