"""HDF5 read with care: what the NIR and the NetX reader have in common.

An HDF5 file can point at other files, at itself, and at far more data than it holds. Here only groups and datasets
that lie in the file are read, of plain numbers and texts, packed with nothing but deflate, and of no more bytes than
a network of such a file could have: deflate packs a megabyte of zeros into a kilobyte, and a file of zeros is none.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bitspike.errors import BitspikeError, FileError

#: What h5py and nir raise on a damaged or foreign file; nir checks with bare `assert`.
DAMAGE = (
    AssertionError, AttributeError, IndexError, KeyError, OSError, OverflowError, RuntimeError, TypeError, ValueError
)  # fmt: skip
MAX_DEPTH = 6
MAX_ITEMS = 1 << 14
MAX_TEXTS = 1 << 14
#: Bytes of a number once it has been read: numbers become 64-bit ones.
IN_MEMORY = 8
#: Bytes that all numbers of a file may take: one-bit weights, each as one of 64 bits, are packed to a 60th.
EXPANSION = 100
OVERHEAD = 1 << 27
#: HDF5 makes room for a whole chunk, however little of it a dataset has.
LARGEST_CHUNK = 1 << 20
DEFLATE, SHUFFLE = 1, 2
#: A text of variable length on disk: its length, then where it is (8 bytes of address, 4 of index).
TEXT_REFERENCE = np.dtype([("length", "<u4"), ("place", "V12")])
TEXT, NUMBERS = "SO", "biuf"


@contextmanager
def in_one_line(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file of `kind` is read into one FileError that names `path`."""
    try:
        yield
    except FileError as error:
        raise FileError(path, error.problem) from None
    except BitspikeError as error:
        raise FileError(path, str(error)) from None
    except DAMAGE as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise FileError(path, f"is not a readable {kind} file ({line})") from None


@contextmanager
def datasets(path: Path, max_depth: int = MAX_DEPTH, *, ours: bool = False) -> Iterator[dict[str, Any]]:
    """Open an HDF5 file and yield its datasets, by path without the leading ``/``; nothing has been loaded yet.

    Unless the file is `ours`, written by this process just now, another process looks at it first
    (:mod:`bitspike.convert.hdf5_probe`).

    Raises:
        BitspikeError: where HDF5 breaks down on the file or does not come to an end, and as :func:`walk`.
        OSError: where HDF5 itself refuses the file.
    """
    if not ours:
        from bitspike.convert.hdf5_probe import PROBE

        PROBE.look(path, max_depth)
    with walk(path, max_depth) as found:
        yield found


@contextmanager
def walk(path: Path, max_depth: int = MAX_DEPTH) -> Iterator[dict[str, Any]]:
    """The datasets, without that look.

    Raises:
        BitspikeError: for a link that is not a hard one, a nesting deeper than `max_depth`, more than `MAX_ITEMS`
            items, a virtual or external dataset, another filter than deflate, another type than numbers and texts,
            or more bytes than the file can hold.
        OSError: where HDF5 itself refuses the file.
    """
    import h5py

    with h5py.File(path, "r") as file, path.open("rb") as raw:
        yield _found(file, raw, EXPANSION * path.stat().st_size + OVERHEAD, max_depth)


def text_of(dataset: Any) -> str:
    """The text of a scalar dataset; BitspikeError for anything else."""
    value = dataset[()] if dataset.shape == () else None
    if not isinstance(value, bytes):
        raise BitspikeError(f"{dataset.name} is no text")
    return value.decode("utf-8")


def _found(file: Any, raw: BinaryIO, room: int, max_depth: int) -> dict[str, Any]:
    """As :func:`walk` says; by the library's own calls, since h5py's objects triple the time of a walk."""
    from h5py import Dataset, h5d, h5g, h5l, h5o

    found: dict[str, Any] = {}
    groups = [("", file.id)]
    items = 0
    while groups:
        prefix, group = groups.pop()
        items += len(group)  # counted before any is looked at
        for name in group:
            path = prefix + name.decode("utf-8", "surrogateescape")
            if items > MAX_ITEMS or path.count("/") > max_depth:
                raise BitspikeError(f"more than {MAX_ITEMS} items, or groups more than {max_depth} deep")
            link = group.links.get_info(name).type
            if link != h5l.TYPE_HARD:
                kind = "an external link" if link == h5l.TYPE_EXTERNAL else "a soft link"
                raise BitspikeError(f"{path} is {kind}; expected everything in the file itself")
            item = h5o.open(group, name)
            if isinstance(item, h5g.GroupID):
                groups.append((f"{path}/", item))
                continue
            if not isinstance(item, h5d.DatasetID):
                raise BitspikeError(f"{path} is neither a group nor a dataset")
            dataset = Dataset(item)
            room -= _plain_size(path, dataset, raw)
            if room < 0:
                raise BitspikeError(f"{path} claims more data than a file of this size can hold")
            found[path] = dataset
    return found


def _plain_size(path: str, dataset: Any, raw: BinaryIO) -> int:
    """Bytes of a dataset; BitspikeError where it is not plain."""
    import h5py

    item = dataset.id
    settings = item.get_create_plist()
    filters = {settings.get_filter(index)[0] for index in range(settings.get_nfilters())}
    layout = settings.get_layout()
    if layout == h5py.h5d.VIRTUAL or settings.get_external_count() or not filters <= {DEFLATE, SHUFFLE}:
        raise BitspikeError(f"{path} is virtual, external or packed with an unknown filter; expected plain data")
    space = item.get_space()
    if space.get_simple_extent_type() == h5py.h5s.NULL:
        raise BitspikeError(f"{path} is empty")
    shape, dtype = space.get_simple_extent_dims(), item.dtype
    size = math.prod(shape)
    if dtype.kind == "O" and size > MAX_TEXTS:
        raise BitspikeError(f"{path} holds {size} texts; expected at most {MAX_TEXTS}")
    if dtype.kind not in TEXT + NUMBERS or (dtype.kind == "O" and h5py.check_string_dtype(dtype) is None):
        raise BitspikeError(f"{path} is {dtype}; expected numbers or text")
    if dtype.kind == "O":
        return _text_size(path, dataset, size, raw)
    width = int(dtype.itemsize)
    if layout == h5py.h5d.CHUNKED:
        chunks = settings.get_chunk()
        if math.prod(chunks) * width > max(LARGEST_CHUNK, 2 * size * width):
            raise BitspikeError(f"{path} has chunks of {chunks} and a shape {shape}; expected smaller ones")
    return size * max(width, IN_MEMORY)


def _text_size(path: str, dataset: Any, size: int, raw: BinaryIO) -> int:
    """Bytes that the `size` texts of a dataset claim, without asking HDF5, which would make room for them at once.

    A text is stored as its length, 4 bytes, and a reference to it; many may refer to the same one.
    """
    offset, length = dataset.id.get_offset(), size * TEXT_REFERENCE.itemsize
    if offset is None or dataset.file.userblock_size or dataset.id.get_storage_size() != length:
        raise BitspikeError(f"{path} is text in pieces; expected it in one")
    raw.seek(offset)
    stored = raw.read(length)
    return int(np.frombuffer(stored, TEXT_REFERENCE)["length"].sum(dtype=np.int64)) + len(stored)
