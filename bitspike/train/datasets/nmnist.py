"""``nmnist:DIR``, ``nmnist:FILE.zip`` and ``nmnist:FILE.npz``: N-MNIST, MNIST shown to a moving event camera.

*Folder*, as published (Orchard et al. 2015, CC BY-SA 4.0): ``Train/0/00002.bin`` and so on, a class a folder; the name
is the number of the digit in MNIST, and the samples come in that order. *Zip*: recordings ``1.bs2`` and so on of the
same bytes, and two lists ``train*.txt`` and ``test*.txt`` with a line ``sample class`` each after a heading; the
samples come in the order of the lists. *npz*: packed frames, see :mod:`bitspike.train.datasets.frames`.

An event has 40 bits, big endian: 8 of x, 8 of y, 1 of polarity, 23 of time in microseconds. An event with y = 240 is
the mark of a clock that ran over: it is no spike, and later times are 2**13 microseconds later (Read_Ndataset of the
publication). A sample has the shape (2, 34, 34): polarity bit, y, x. Its steps divide the first 300 ms; a recording
lasts a little longer, and what comes later is left out. The test part is the published one.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.train.dataset import DataSet, Rows, SpikeSamples, encoded_shape
from bitspike.train.datasets.binary import folder, member_size, opened_zip, read_bytes, repeated
from bitspike.train.encoders import Encoding
from bitspike.train.packing import pack_events

SHAPE = (2, 34, 34)
CLASSES = 10
USUAL_US = 300_000
_EVENT = 5
_OVERFLOW_Y = 240
_OVERFLOW_US = 1 << 13
_CLASS_NAME = re.compile(r"[0-9]")

Events = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def open_nmnist(path: str) -> DataSet:
    """Return the data set in a folder, a zip file, or an npz of frames; no recording is read yet."""
    found = Path(os.path.expanduser(path))
    if found.suffix == ".npz":
        from bitspike.train.datasets.frames import open_frames

        return open_frames(found, classes=CLASSES, shape=SHAPE)
    return _open_zip(found) if found.suffix == ".zip" else _open_folder(path)


def decode(path: object, content: bytes) -> Events:
    """Return times in microseconds and neurons of the events in the bytes of a recording."""
    if len(content) % _EVENT:
        raise FileError(path, f"found {len(content)} bytes; expected a multiple of {_EVENT}, the bytes of one event")
    raw = np.frombuffer(content, np.uint8).reshape(-1, _EVENT).astype(np.int64)
    x, y, polarity = raw[:, 0], raw[:, 1], raw[:, 2] >> 7
    times = (raw[:, 2] & 0x7F) << 16 | raw[:, 3] << 8 | raw[:, 4]
    overflow = y == _OVERFLOW_Y
    times += np.cumsum(overflow) * _OVERFLOW_US
    outside = ((x >= SHAPE[2]) | (y >= SHAPE[1])) & ~overflow
    if outside.any():
        first = int(np.argmax(outside))
        raise FileError(path, f"event {first}: found x {x[first]}, y {y[first]}; expected 0 to {SHAPE[1] - 1}")
    spikes = ~overflow
    return times[spikes], ((polarity * SHAPE[1] + y) * SHAPE[2] + x)[spikes]


def _data_set(sizes: tuple[int, int], labels: list[int], recordings: Callable[[Rows], "list[Events]"]) -> DataSet:
    classes = np.array(labels, dtype=np.int64)

    def read(rows: Rows, encoding: Encoding) -> SpikeSamples:
        bits = pack_events(
            (one for start in range(0, len(rows), 256) for one in recordings(rows[start : start + 256])),
            len(rows),
            shape=SHAPE,
            encoding=encoding,
            duration_us=encoding.duration_us(USUAL_US),
        )
        shape = encoded_shape(SHAPE, "events", encoding)
        return SpikeSamples(bits=bits, labels=classes[rows], indices=rows, shape=shape, encoding=encoding)

    return DataSet(
        kind="events",
        shape=SHAPE,
        classes=CLASSES,
        sizes=(sizes[0], 0, sizes[1]),
        read=read,
        recordings=recordings,
        usual_us=USUAL_US,
    )


def _open_folder(path: str) -> DataSet:
    place = folder(path, "a folder with Train and Test, a .zip or an .npz")
    files: list[Path] = []
    sizes = []
    for part in ("Train", "Test"):
        classes = [
            one for one in folder(place / part, "class folders 0 to 9").iterdir() if _CLASS_NAME.fullmatch(one.name)
        ]
        found = [file for one in classes for file in one.glob("*.bin")]
        if not found:
            raise FileError(place / part, "holds no .bin file in class folders 0 to 9")
        files += sorted(found, key=lambda file: (file.stem.zfill(8), file.parent.name))
        sizes.append(len(found))
    return _data_set(
        (sizes[0], sizes[1]),
        [int(file.parent.name) for file in files],
        lambda rows: [decode(files[row], read_bytes(files[row])) for row in rows],
    )


def _open_zip(path: Path) -> DataSet:
    with opened_zip(path, "zip") as archive:
        names = archive.namelist()
        listed: list[tuple[str, int]] = []
        sizes = []
        for part in ("train", "test"):
            lists = [name for name in names if re.fullmatch(rf"{part}\w*\.txt", name)]
            if len(lists) != 1:
                raise FileError(path, f"found {len(lists)} lists {part}*.txt; expected one")
            member_size(path, archive.getinfo(lists[0]))
            found = _list(path, lists[0], archive.read(lists[0]))
            listed += found
            sizes.append(len(found))
    if twice := repeated([sample for sample, _ in listed]):
        raise FileError(path, f"lists sample {twice} twice; expected it once, for training or for test")
    missing = {f"{sample}.bs2" for sample, _ in listed} - set(names)
    if missing:
        raise FileError(path, f"holds no {min(missing)}, which a list names")

    def recordings(rows: Rows) -> list[Events]:
        with opened_zip(path, "zip") as archive:
            infos = [archive.getinfo(f"{listed[row][0]}.bs2") for row in rows]
            for info in infos:
                member_size(path, info)
            return [decode(f"{path}/{info.filename}", archive.read(info)) for info in infos]

    return _data_set((sizes[0], sizes[1]), [label for _, label in listed], recordings)


def _list(path: Path, name: str, content: bytes) -> list[tuple[str, int]]:
    """Return samples and classes of a list; the first line is a heading."""
    found = []
    for number, line in enumerate(content.decode("ascii", "replace").splitlines()[1:], 2):
        match = re.fullmatch(r"(\d{1,9})\s+([0-9])\s*", line)
        if match is None:
            raise FileError(path, f"{name} line {number}: found {line[:40]!r}; expected a sample and a class 0 to 9")
        found.append((match[1], int(match[2])))
    return found
