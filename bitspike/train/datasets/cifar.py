"""``cifar10:DIR``: CIFAR-10 in its binary version (cs.toronto.edu/~kriz/cifar.html); the pickled one is not read.

A folder holds ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``. A file is records of 3073 bytes:
the label, 0 to 9, then 1024 bytes of red, 1024 of green, 1024 of blue, each 32 x 32 row by row. A sample has the shape
(3, 32, 32). The test part is the published one. Krizhevsky 2009.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.files import existing_file
from bitspike.train.dataset import DataSet, LevelSamples, Rows, checked_labels
from bitspike.train.datasets.binary import folder, read_bytes
from bitspike.train.encoders import Encoding

FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
CLASSES = 10


def open_cifar10(path: str) -> DataSet:
    """Return the data set in a folder of binary batches; only the sizes of the files are looked at."""
    place = folder(path, "a folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin")
    counts = [_records(existing_file(place / name)) for name in FILES]

    def read(rows: Rows, encoding: Encoding) -> LevelSamples:
        return _read(place, counts, rows, encoding)

    return DataSet(kind="stills", shape=SHAPE, classes=CLASSES, sizes=(sum(counts[:5]), 0, counts[5]), read=read)


def _records(path: Path) -> int:
    size = path.stat().st_size
    if size == 0 or size % RECORD:
        raise FileError(path, f"found {size} bytes; expected a multiple of {RECORD}, the bytes of one image")
    return size // RECORD


def _read(place: Path, counts: list[int], rows: Rows, encoding: Encoding) -> LevelSamples:
    """Read the rows; only the batches in which some of them lie are read."""
    levels = np.empty((len(rows), 1, RECORD - 1), dtype=np.uint8)
    labels = np.empty(len(rows), dtype=np.int64)
    start = 0
    for name, count in zip(FILES, counts, strict=True):
        mine = (rows >= start) & (rows < start + count)
        if mine.any():
            records = _batch(place / name)
            found = checked_labels(place / name, records[:, 0], CLASSES)
            levels[mine, 0], labels[mine] = records[rows[mine] - start, 1:], found[rows[mine] - start]
        start += count
    return LevelSamples(
        levels=levels,
        full=255,
        labels=labels,
        indices=rows,
        kind="stills",
        sensor=SHAPE,
        encoding=encoding,
    )


def _batch(path: Path) -> npt.NDArray[np.uint8]:
    _records(path)
    return np.frombuffer(read_bytes(path), np.uint8).reshape(-1, RECORD)
