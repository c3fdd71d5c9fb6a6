"""Frames in an .npz: spikes, or counts, already binned in equal steps, for the sets that were released like that.

| array | packed | counts |
|---|---|---|
| ``bits`` | uint8 (samples, frames, ceil(neurons / 8)), as :func:`numpy.packbits` packs | |
| ``counts`` | | uint8 (samples, frames, *sensor) |
| ``shape`` | whole numbers: frames, then the sensor | |
| ``label`` | class of each sample | the same |
| ``split`` | optional: 0 training, 1 validation, 2 test | the same |

Frame k of n is part of step k * steps // n, and several frames in one step, or a count above 1, are one spike. Frames
have no times, so a duration is refused. Without ``split`` the parts are cut by the fixed permutation.
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError, UsageError
from bitspike.train.dataset import MAX_NEURONS, DataSet, Rows, SpikeSamples, checked_labels, encoded_shape
from bitspike.train.datasets.binary import shown
from bitspike.train.datasets.npz import arrays, expect_shape, headers
from bitspike.train.encoders import Encoding
from bitspike.train.packing import check_size, pack_frames

INTEGERS = "iu"


def open_frames(path: Path, *, classes: int | None, shape: tuple[int, ...] | None) -> DataSet:
    """Return the data set in an npz of frames; only labels and headers are read.

    Args:
        path: of the file.
        classes: known number of classes; by default one more than the highest label.
        shape: sensor that is expected; any by default.
    """
    there = headers(path)
    packed = "bits" in there
    if not packed and "counts" not in there:
        raise FileError(path, f"holds {shown(there)}; expected bits and shape, or counts")
    kinds = {"label": INTEGERS, **({"shape": INTEGERS} if packed else {})}
    small = arrays(path, kinds, optional={"split": INTEGERS})
    found = there["bits" if packed else "counts"].shape
    expect_shape(path, "label", small["label"], (None,))
    if packed and small["shape"].size == 0:
        raise FileError(path, "shape: found nothing; expected frames and the sensor")
    frames, *sensor = [int(size) for size in small["shape"].ravel()] if packed else found[1:] or (0,)
    _check_sensor(path, tuple(sensor), shape)
    expected = (len(small["label"]), frames, *([math.ceil(math.prod(sensor) / 8)] if packed else sensor))
    if found != expected or frames < 1:
        raise FileError(path, f"frames: found shape {found}; expected {expected}")
    count = classes or int(small["label"].max(initial=0)) + 1
    labels = checked_labels(path, small["label"], count)
    order, sizes = split_rows(path, "split", small.get("split"), len(labels))

    def read(rows: Rows, encoding: Encoding) -> SpikeSamples:
        bits = _pack(path, order[rows], packed=packed, sensor=tuple(sensor), encoding=encoding)
        shape = encoded_shape(tuple(sensor), "events", encoding)
        return SpikeSamples(bits=bits, labels=labels[order[rows]], indices=rows, shape=shape, encoding=encoding)

    return DataSet(kind="events", shape=tuple(sensor), classes=count, sizes=sizes, read=read)


def split_rows(
    path: Path, name: str, split: npt.NDArray[np.generic] | None, samples: int
) -> tuple[Rows, tuple[int, int, int]]:
    """Return the samples in the order training, validation, test, and how many of each the array `name` names."""
    if split is None:
        return np.arange(samples), (samples, 0, 0)
    part = checked_labels(path, split, 3, name=name)
    expect_shape(path, name, part, (samples,))
    train, validation, test = np.bincount(part, minlength=3).tolist()
    if not train or not test:
        raise FileError(
            path, f"{name}: found {train} samples for training, {test} for test; expected 1 or more of each"
        )
    return np.argsort(part, kind="stable"), (train, validation, test)


def _check_sensor(path: Path, sensor: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    if expected is not None and sensor != expected:
        raise FileError(path, f"sensor: found shape {sensor}; expected {expected}")
    if not sensor or min(sensor) < 1 or math.prod(sensor) > MAX_NEURONS:
        raise FileError(path, f"sensor: found shape {sensor}; expected 1 to {MAX_NEURONS} neurons")


def _pack(
    path: Path, rows: Rows, *, packed: bool, sensor: tuple[int, ...], encoding: Encoding
) -> npt.NDArray[np.uint8]:
    neurons = math.prod(sensor)
    spiking = math.prod(encoded_shape(sensor, "events", encoding))
    if encoding.duration_ms:
        raise UsageError(f"duration_ms: found {encoding.duration_ms}; expected 0: the frames in {path} have no times")
    check_size(len(rows), encoding.steps, spiking)
    name = "bits" if packed else "counts"
    stored = arrays(path, {name: "u"})[name]
    if stored.dtype != np.uint8:
        raise FileError(path, f"{name} are {stored.dtype}; expected uint8")
    bits = np.empty((len(rows), encoding.steps, (spiking + 7) // 8), dtype=np.uint8)
    for at, row in enumerate(rows):
        one = np.unpackbits(stored[row], axis=1, count=neurons) if packed else stored[row].reshape(-1, neurons)
        bits[at] = pack_frames(one, encoding=encoding, shape=sensor)
    return bits
