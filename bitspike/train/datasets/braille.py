"""``braille:FILE.npz``: Braille letters read by the fingertip of a robot (Mueller-Cleve et al. 2022, CC BY 4.0).

Two forms of an npz file are read. *Frames*: ``bits``, ``shape`` and ``label``, see
:mod:`bitspike.train.datasets.frames`; the sensor is whatever it says, 12 taxels. *Events*:

| array | type, shape | holds |
|---|---|---|
| ``t`` | floats (events,) | time in seconds from the start of the sample |
| ``ch`` | whole numbers (events,) | 2 * taxel + 0 for ON, 1 for OFF; 0 to 23 |
| ``offset`` | whole numbers (samples + 1,) | sample k has the events ``offset[k]`` to ``offset[k + 1] - 1`` |
| ``label`` | whole numbers (samples,) | letter |

A sample of events has the shape (12, 2): taxel, ON or OFF. Its steps divide 1.35 s. The published files are pickles,
which are not read. There is no published split; the parts are cut by the fixed permutation.
"""

import numpy as np

from bitspike.errors import FileError
from bitspike.train.dataset import DataSet, Rows, SpikeSamples, checked_labels, encoded_shape
from bitspike.train.datasets.events import checked_offsets
from bitspike.train.datasets.frames import open_frames
from bitspike.train.datasets.npz import arrays, expect_shape, headers, npz_path
from bitspike.train.encoders import Encoding
from bitspike.train.packing import pack_events

SHAPE = (12, 2)
LETTERS = 27
USUAL_US = 1_350_000


def open_braille(path: str) -> DataSet:
    """Return the letters in an npz of frames or of events."""
    found = npz_path(path)
    there = headers(found)
    if "bits" in there:
        return open_frames(found, classes=None, shape=None)
    content = arrays(found, {"t": "f", "ch": "iu", "offset": "iu", "label": "iu"})
    labels = checked_labels(found, content["label"], LETTERS)
    expect_shape(found, "t", content["t"], (None,))
    seconds, channels = content["t"], content["ch"]
    offsets = checked_offsets(found, "offset", content["offset"], samples=len(labels), events=len(seconds))
    if channels.shape != seconds.shape:
        raise FileError(found, f"ch: found shape {channels.shape}; expected {seconds.shape}, as t, in one row")
    if channels.size and not 0 <= channels.min() <= channels.max() < SHAPE[0] * SHAPE[1]:
        raise FileError(found, f"ch: found {channels.min()} to {channels.max()}; expected 0 to 23")
    if seconds.size and not (np.isfinite(seconds).all() and seconds.min() >= 0 and seconds.max() < 1e6):
        raise FileError(found, "t: found a time that is no number of seconds from 0 to 1e6")

    def read(rows: Rows, encoding: Encoding) -> SpikeSamples:
        cuts = [slice(offsets[row], offsets[row + 1]) for row in rows]
        bits = pack_events(
            (
                (np.rint(seconds[cut].astype(np.float64) * 1e6).astype(np.int64), channels[cut].astype(np.int64))
                for cut in cuts
            ),
            len(rows),
            shape=SHAPE,
            encoding=encoding,
            duration_us=encoding.duration_us(USUAL_US),
        )
        shape = encoded_shape(SHAPE, "events", encoding)
        return SpikeSamples(bits=bits, labels=labels[rows], indices=rows, shape=shape, encoding=encoding)

    classes = int(labels.max(initial=0)) + 1
    return DataSet(kind="events", shape=SHAPE, classes=classes, sizes=(len(labels), 0, 0), read=read)
