"""``dvsgesture:DIR`` and ``dvsgesture:FILE.npz``: DVS128 Gesture, hand gestures before an event camera.

*Folder*, as published (Amir et al. 2017, CC BY 4.0): recordings ``user01_fluorescent.aedat`` in AEDAT 3.1, for each a
``user01_fluorescent_labels.csv`` with the columns class (1 to 11), startTime_usec and endTime_usec, and the lists
``trials_to_train.txt`` and ``trials_to_test.txt`` of recordings (users 1 to 23 and 24 to 29). A line of a csv is a
sample; its label is the class less 1. Its steps divide the first 1.5 s, as Shrestha and Orchard 2018 do; events after
endTime_usec are left out. *npz*: counts in frames, see :mod:`bitspike.train.datasets.frames`, of any sensor.

AEDAT 3.1 (inivation.com, "AEDAT file formats"), little endian: lines that start with ``#``, the first ``#!AER-DAT3.1``,
the last ``#!END-HEADER``; then packets of a 28-byte header (below) and `number` events of `size` bytes. Only packets of
type 1, polarity, are spikes; their events are 4 bytes (bit 0 valid, bit 1 polarity, 15 bits of y, 15 bits of x) and 4
bytes of time in microseconds, which `overflow` continues above bit 30. A sample has the shape (2, 128, 128): polarity,
y, x.
"""

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.files import existing_file
from bitspike.train.dataset import DataSet, Rows, SpikeSamples, encoded_shape
from bitspike.train.datasets.binary import folder, read_bytes, repeated
from bitspike.train.encoders import Encoding
from bitspike.train.packing import pack_events

SHAPE = (2, 128, 128)
CLASSES = 11
USUAL_US = 1_500_000
LISTS = ("trials_to_train.txt", "trials_to_test.txt")
COLUMNS = ["class", "startTime_usec", "endTime_usec"]
MAGIC = b"#!AER-DAT3.1"
_END = b"#!END-HEADER"
_MAX_HEADER = 1 << 16
PACKET = np.dtype(
    [
        ("type", "<i2"), ("source", "<i2"), ("size", "<i4"), ("time_at", "<i4"), ("overflow", "<i4"),
        ("capacity", "<i4"), ("number", "<i4"), ("valid", "<i4"),
    ]
)  # fmt: skip
_POLARITY = 1
_EVENT = np.dtype([("data", "<u4"), ("time", "<i4")])

Gesture = tuple[Path, int, int, int]
"""Recording, label, start and end in microseconds."""


def open_dvsgesture(path: str) -> DataSet:
    """Return the data set in a folder of recordings, or an npz of frames; no recording is read yet."""
    found = Path(os.path.expanduser(path))
    if found.suffix == ".npz":
        from bitspike.train.datasets.frames import open_frames

        return open_frames(found, classes=CLASSES, shape=None)
    place = folder(path, f"a folder with {LISTS[0]} and {LISTS[1]}, or an .npz")
    names = [_recordings(place / one) for one in LISTS]
    if twice := repeated([*names[0], *names[1]]):
        raise FileError(place, f"lists {twice} twice in {' and '.join(LISTS)}; expected it once")
    parts = [[gesture for name in listed for gesture in _gestures(place / name)] for listed in names]
    gestures = parts[0] + parts[1]
    labels = np.array([label for _, label, _, _ in gestures], dtype=np.int64)

    def read(rows: Rows, encoding: Encoding) -> SpikeSamples:
        order = np.argsort(rows, kind="stable")
        packed = pack_events(
            _events([gestures[row] for row in rows[order]]),
            len(rows),
            shape=SHAPE,
            encoding=encoding,
            duration_us=encoding.duration_us(USUAL_US),
        )
        bits = np.empty_like(packed)
        bits[order] = packed
        shape = encoded_shape(SHAPE, "events", encoding)
        return SpikeSamples(bits=bits, labels=labels[rows], indices=rows, shape=shape, encoding=encoding)

    return DataSet(kind="events", shape=SHAPE, classes=CLASSES, sizes=(len(parts[0]), 0, len(parts[1])), read=read)


def _recordings(path: Path) -> list[str]:
    names = [line.strip() for line in read_bytes(path).decode("utf-8", "replace").splitlines() if line.strip()]
    for name in names:
        if not re.fullmatch(r"[\w.-]+\.aedat", name, re.ASCII):
            raise FileError(path, f"found {name[:60]!r}; expected the names of .aedat files")
    if not names:
        raise FileError(path, "names no recording")
    return names


def _gestures(recording: Path) -> list[Gesture]:
    """Return what the label csv of a recording lists."""
    existing_file(recording)
    path = existing_file(recording.with_name(f"{recording.stem}_labels.csv"))
    try:
        lines = list(csv.reader(read_bytes(path).decode("utf-8", "replace").splitlines()))
    except csv.Error as error:
        raise FileError(path, f"is not a table of labels ({error})") from None
    if not lines or [cell.strip() for cell in lines[0]] != COLUMNS:
        raise FileError(
            path, f"found the columns {','.join(lines[0] if lines else [])!r}; expected {','.join(COLUMNS)}"
        )
    found = []
    for number, cells in enumerate(lines[1:], 2):
        if not cells:
            continue
        whole = [int(cell) for cell in cells if re.fullmatch(r"\s*\d{1,15}\s*", cell, re.ASCII)]
        if len(cells) != 3 or len(whole) != 3 or not 1 <= whole[0] <= CLASSES or whole[1] >= whole[2]:
            text = ",".join(cells)[:60]
            raise FileError(
                path, f"line {number}: found {text!r}; expected a class 1 to {CLASSES}, a start, a later end"
            )
        found.append((recording, whole[0] - 1, whole[1], whole[2]))
    return found


def _events(gestures: list[Gesture]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield times from the start and neurons of each gesture; a recording is read once for those in a row."""
    opened: Path | None = None
    for recording, _, start, end in gestures:
        if recording != opened:
            times, neurons = read_aedat(recording)
            opened = recording
        inside = (times >= start) & (times <= end)
        yield times[inside] - start, neurons[inside].astype(np.int64)


def read_aedat(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return times in microseconds and neurons of the valid polarity events in an AEDAT 3.1 file.

    Raises:
        FileError: another version, a packet that ends after the file, or an event outside of 128 x 128.
    """
    times: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
    neurons: list[npt.NDArray[np.int32]] = [np.zeros(0, np.int32)]
    content = read_bytes(path)
    at = _header(path, content)
    while at < len(content):
        if at + PACKET.itemsize > len(content):
            raise FileError(path, f"byte {at}: found {len(content) - at} bytes; expected a packet header of 28")
        packet = np.frombuffer(content, PACKET, count=1, offset=at)[0]
        number, size = int(packet["number"]), int(packet["size"])
        at += PACKET.itemsize
        if number < 0 or size < 1 or at + number * size > len(content):
            raise FileError(
                path,
                f"byte {at}: found {len(content) - at} bytes; expected a packet of {number} events of {size} bytes",
            )
        if packet["type"] == _POLARITY and number:
            if size != _EVENT.itemsize or packet["overflow"] < 0:
                raise FileError(path, f"byte {at}: found polarity events of {size} bytes; expected {_EVENT.itemsize}")
            events = np.frombuffer(content, _EVENT, count=number, offset=at)
            when, where = _decode(path, events, int(packet["overflow"]))
            times.append(when)
            neurons.append(where)
        at += number * size
    return np.concatenate(times), np.concatenate(neurons)


def _header(path: Path, content: bytes) -> int:
    """Return where the packets start."""
    if not content.startswith(MAGIC):
        raise FileError(path, f"starts with {content[:14]!r}; expected {MAGIC.decode()}")
    end = content.find(_END, 0, _MAX_HEADER)
    line_end = content.find(b"\n", end, end + len(_END) + 2) if end >= 0 else -1
    if line_end < 0:
        raise FileError(path, f"found no line {_END.decode()} in its first {_MAX_HEADER} bytes")
    return line_end + 1


def _decode(
    path: Path, events: npt.NDArray[np.void], overflow: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    data = events["data"][events["data"] & 1 == 1]
    x, y, polarity = data >> 17, data >> 2 & 0x7FFF, data >> 1 & 1
    if data.size and (x.max() >= SHAPE[2] or y.max() >= SHAPE[1]):
        raise FileError(path, f"found an event at x {x.max()}, y {y.max()}; expected 0 to {SHAPE[1] - 1}")
    times = events["time"][events["data"] & 1 == 1].astype(np.int64) + (overflow << 31)
    return times, ((polarity * SHAPE[1] + y) * SHAPE[2] + x).astype(np.int32)
