"""Datasets of HDF5 that hold a list of numbers for each sample, read without HDF5's own conversion.

HDF5 stores such a dataset as references of 16 bytes (length 4, address of a global heap collection 8, index of an
object in it 4; little endian), and the lists as objects of global heap collections (HDF5 File Format Specification,
"Disk Format: Level 1E - Global Heap"):

| bytes of a collection | hold | bytes of an object | hold |
|---|---|---|---|
| 0 to 3 | ``GCOL`` | 0 and 1 | its index; 0 is the free space at the end |
| 4 to 7 | version 1, reserved | 2 to 7 | reference count, reserved |
| 8 to 15 | size with this head | 8 to 15 | size of its data |
| 16 and on | objects | 16 and on | data, filled up to a multiple of 8 |

A damaged heap lets the library (1.14) make room for what a length claims, or read for ever; here every claim is held
against the file, and every object is walked over once.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError

DEFLATE, SHUFFLE = 1, 2
REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
_COLLECTION, _OBJECT = 16, 16
_COUNT = np.dtype("<u8")


class Lists:
    """The lists of one dataset, each read when it is asked for."""

    def __init__(self, path: Path, item: Any, base: "np.dtype[Any]") -> None:
        if item.file.id.get_create_plist().get_sizes() != (8, 8):
            raise FileError(path, "has addresses that are not of 8 bytes")
        self._path, self._name, self._base = path, item.name.lstrip("/"), base
        self._user = int(item.file.userblock_size)
        self._content: npt.NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r")
        self._references = self._all_references(item)
        self._collections: dict[int, dict[int, tuple[int, int]]] = {}
        claimed = int(self._references["length"].sum(dtype=np.int64)) * base.itemsize
        if claimed > len(self._content):
            raise FileError(
                path, f"{self._name} claims {claimed} bytes; a file of {len(self._content)} bytes cannot hold them"
            )

    def __len__(self) -> int:
        return len(self._references)

    def __getitem__(self, row: int) -> npt.NDArray[Any]:
        reference = self._references[row]
        length = int(reference["length"])
        if not length:
            return np.zeros(0, self._base)
        address, index = int(reference["address"]), int(reference["index"])
        if address not in self._collections:
            self._collections[address] = self._collection(address, row)
        start, size = self._collections[address].get(index, (0, 0))
        if size < length * self._base.itemsize:
            raise self._damaged(row, f"{size} bytes of a list; expected {length * self._base.itemsize}")
        return np.frombuffer(self._content[start : start + length * self._base.itemsize].tobytes(), self._base)

    def _collection(self, address: int, row: int) -> dict[int, tuple[int, int]]:
        """Return start and size of each object in a collection, by index."""
        at = address + self._user
        head = self._content[at : at + _COLLECTION].tobytes() if at < len(self._content) else b""
        if len(head) != _COLLECTION or not head.startswith(b"GCOL\x01"):
            raise self._damaged(row, f"no list at byte {at}; expected a global heap")
        end = at + int.from_bytes(head[8:], "little")
        if end > len(self._content):
            raise self._damaged(row, f"a global heap that ends at byte {end}; expected {len(self._content)} at most")
        found: dict[int, tuple[int, int]] = {}
        at += _COLLECTION
        while at + _OBJECT <= end:
            header = self._content[at : at + _OBJECT].tobytes()
            index, size = int.from_bytes(header[:2], "little"), int.from_bytes(header[8:], "little")
            at += _OBJECT
            if index == 0 or at + size > end:
                break
            found[index] = (at, size)
            at += -(-size // 8) * 8
        return found

    def _damaged(self, row: int, found: str) -> FileError:
        return FileError(self._path, f"{self._name} of sample {row}: found {found}")

    def _all_references(self, item: Any) -> npt.NDArray[np.void]:
        count = int(item.shape[0])
        offset = item.id.get_offset()
        if count * REFERENCE.itemsize > len(self._content) * 1032:
            raise FileError(self._path, f"{self._name} claims {count} lists; a file of this size cannot hold them")
        if offset is None and item.chunks is None and item.id.get_storage_size():
            raise FileError(self._path, f"{self._name} is stored in its own header; expected it in chunks or in a row")
        references = np.zeros(count, REFERENCE)  # What was never written is empty.
        if offset is not None:
            start = offset + self._user
            stored = self._content[start : start + count * REFERENCE.itemsize].tobytes()
            if len(stored) != references.nbytes:
                raise FileError(self._path, f"{self._name}: found {len(stored)} bytes; expected {references.nbytes}")
            return np.frombuffer(stored, REFERENCE)
        for number in range(item.id.get_num_chunks() if item.chunks else 0):
            chunk = item.id.get_chunk_info(number).chunk_offset
            part = _chunk(item, chunk)[: max(0, count - chunk[0])]
            references[chunk[0] : chunk[0] + len(part)] = part
        return references


def _chunk(item: Any, chunk: tuple[int, ...]) -> npt.NDArray[np.void]:
    """Return the references in one chunk, which is shuffled and deflated as the dataset's filters say."""
    mask, stored = item.id.read_direct_chunk(chunk)
    settings = item.id.get_create_plist()
    filters = [settings.get_filter(index)[0] for index in range(settings.get_nfilters())]
    size = item.chunks[0] * REFERENCE.itemsize
    for index, kind in reversed(list(enumerate(filters))):
        if mask >> index & 1:
            continue
        if kind == DEFLATE:
            stored = zlib.decompressobj().decompress(stored, size)
        else:
            stored = np.frombuffer(stored, np.uint8).reshape(REFERENCE.itemsize, -1).T.tobytes()
    return np.frombuffer(stored, REFERENCE)
