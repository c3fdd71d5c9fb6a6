"""``mnist:DIR`` and ``fashion:DIR``: images and labels in IDX files, plain or ``.gz``.

The format is that of yann.lecun.com/exdb/mnist, all numbers big endian:

| bytes | images | labels |
|---|---|---|
| 0 to 3 | 0, 0, 8 (unsigned byte), 3 (axes) | 0, 0, 8, 1 |
| 4 to 7 | images | labels |
| 8 to 15 | rows, columns | the labels |
| 16 and on | the pixels, 0 to 255, row by row | |

A folder holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
``t10k-labels-idx1-ubyte``, each with or without ``.gz``. MNIST: LeCun, Cortes and Burges; Fashion-MNIST: Xiao, Rasul
and Vollgraf 2017, MIT. The test part is the published one.
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.train.dataset import DataSet, LevelSamples, Rows, checked_labels
from bitspike.train.datasets.binary import folder, one_of, read_gzip_head, room
from bitspike.train.encoders import Encoding

SIDE = 28
CLASSES = 10
_UNSIGNED_BYTE = 8


def open_idx(path: str) -> DataSet:
    """Return the data set in a folder of IDX files; only their headers are read."""
    place = folder(path, "a folder with the four IDX files")
    sizes = []
    for part in ("train", "t10k"):
        images, labels = _files(place, part)
        count, *side = idx_sizes(images, axes=3)
        if side != [SIDE, SIDE]:
            raise FileError(images, f"found images of {side[0]} x {side[1]} pixels; expected {SIDE} x {SIDE}")
        if count == 0:
            raise FileError(images, "holds no image; expected 1 or more")
        (others,) = idx_sizes(labels, axes=1)
        if others != count:
            raise FileError(labels, f"found {others} labels; expected {count}, one for each of {images.name}")
        sizes.append(count)

    def read(rows: Rows, encoding: Encoding) -> LevelSamples:
        return _read(place, (sizes[0], sizes[1]), rows, encoding)

    return DataSet(kind="stills", shape=(SIDE, SIDE), classes=CLASSES, sizes=(sizes[0], 0, sizes[1]), read=read)


def idx_sizes(path: Path, *, axes: int) -> tuple[int, ...]:
    """Return the sizes in the header of an IDX file of unsigned bytes with so many axes."""
    head = read_gzip_head(path, 4 + 4 * axes)
    magic = bytes((0, 0, _UNSIGNED_BYTE, axes))
    if head[:4] != magic[: len(head)] or not head:
        raise FileError(path, f"starts with the bytes {head[:4].hex(' ')}; expected {magic.hex(' ')}, an IDX header")
    if len(head) != 4 + 4 * axes:
        raise FileError(path, f"found {len(head)} bytes; expected a header of {4 + 4 * axes}")
    sizes = tuple(np.frombuffer(head, ">u4", offset=4).tolist())
    if math.prod(sizes) + len(head) > room(path):
        raise FileError(path, f"claims {math.prod(sizes)} bytes of data; a file of this size cannot hold them")
    return sizes


def read_idx(path: Path, *, axes: int) -> npt.NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes, plain or ``.gz``."""
    sizes = idx_sizes(path, axes=axes)
    start, count = 4 + 4 * axes, math.prod(sizes)
    # One byte more than there should be tells a file that is too long.
    content = read_gzip_head(path, start + count + 1)
    if len(content) != start + count:
        found = f"more than {count}" if len(content) > start + count else str(len(content) - start)
        raise FileError(path, f"found {found} bytes of data; expected {count}, as the header says")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def _files(place: Path, part: str) -> tuple[Path, Path]:
    names = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
    return one_of(place, (names[0], f"{names[0]}.gz")), one_of(place, (names[1], f"{names[1]}.gz"))


def _read(place: Path, sizes: tuple[int, int], rows: Rows, encoding: Encoding) -> LevelSamples:
    """Read the rows; only the parts in which some of them lie are unpacked."""
    read: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8], npt.NDArray[np.int64]]] = []
    for number, part in enumerate(("train", "t10k")):
        start = number * sizes[0]
        mine = (rows >= start) & (rows < start + sizes[number])
        if not mine.any():
            continue
        image_file, label_file = _files(place, part)
        images = read_idx(image_file, axes=3).reshape(-1, 1, SIDE * SIDE)
        found = checked_labels(label_file, read_idx(label_file, axes=1), CLASSES)
        if len(images) != sizes[number] or len(found) != sizes[number]:
            raise FileError(image_file, f"found {len(images)} images; expected {sizes[number]}, as when it was opened")
        read.append((mine, images[rows[mine] - start], found[rows[mine] - start]))
    # Made after the files were read: what a header claims need not be there.
    levels = np.empty((len(rows), 1, SIDE * SIDE), dtype=np.uint8)
    labels = np.empty(len(rows), dtype=np.int64)
    for mine, images, found in read:
        levels[mine], labels[mine] = images, found
    return LevelSamples(
        levels=levels,
        full=255,
        labels=labels,
        indices=rows,
        kind="stills",
        sensor=(SIDE, SIDE),
        encoding=encoding,
    )
