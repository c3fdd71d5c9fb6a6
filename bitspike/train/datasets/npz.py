"""Arrays of an .npz file, read one by one, without pickles, each no larger than its zip member is.

:func:`numpy.load` makes room for what an array's header claims before it reads; here the claim is held against the
size of the member, and that against its packed bytes.
"""

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.train.datasets.binary import member_size, opened_zip, shown

Kinds = Mapping[str, str]
"""Name of an array -> letters of the dtype kinds that it may have."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an array in a file says about itself: its shape and type."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool


def npz_path(path: str | os.PathLike[str]) -> Path:
    """Return `path` with ``~`` replaced."""
    return Path(os.path.expanduser(path))


def headers(path: Path) -> dict[str, Header]:
    """Return the header of each array in a file; no array is read."""
    with opened_zip(path, "npz") as archive:
        return {
            info.filename.removesuffix(".npy"): _header(path, archive, info)
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }


def arrays(path: Path, kinds: Kinds, *, optional: Kinds | None = None) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays named in `kinds`, and those named in `optional` that are there.

    Raises:
        FileError: no npz file, an array that is missing, of another kind, or of another size than it claims.
    """
    with opened_zip(path, "npz") as archive:
        there = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [name for name in kinds if name not in there]
        if missing:
            raise FileError(path, f"holds {shown(there)}; expected {' and '.join(kinds)}")
        wanted = {**kinds, **{name: kind for name, kind in (optional or {}).items() if name in there}}
        return {name: _array(path, archive, there[name], kind) for name, kind in wanted.items()}


def expect_shape(path: Path, name: str, array: npt.NDArray[Any], shape: tuple[int | None, ...]) -> None:
    """Raise FileError unless `array` has `shape`; None stands for any size."""
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise FileError(path, f"{name}: found shape {array.shape}; expected ({expected})")


def _header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    size = member_size(path, info)
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        claimed = math.prod(shape) * dtype.itemsize + stream.tell()
    if not dtype.hasobject and claimed != size:
        raise FileError(path, f"{shown([info.filename])}: found {size} bytes; expected {claimed}, as its header says")
    return Header(shape, dtype, fortran)


def _array(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, kind: str) -> npt.NDArray[Any]:
    header = _header(path, archive, info)
    name = info.filename.removesuffix(".npy")
    if header.dtype.kind == "O":
        raise FileError(path, f"is not a readable npz file ({name} holds pickled objects)")
    if header.dtype.kind not in kind:
        expected = "integers" if "f" not in kind else "numbers"
        raise FileError(path, f"{name} are {header.dtype}; expected {expected}")
    content = archive.read(info)
    values = np.frombuffer(content, dtype=header.dtype, offset=len(content) - _bytes(header))
    return values.reshape(header.shape, order="F" if header.fortran else "C")


def _bytes(header: Header) -> int:
    return math.prod(header.shape) * header.dtype.itemsize
