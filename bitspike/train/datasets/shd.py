"""``shd:DIR`` and ``ssc:DIR``: the Spiking Heidelberg Digits and Spiking Speech Commands, HDF5.

Published by Cramer, Stradmann, Schemmel and Zenke (2022; CC BY 4.0) as ``shd_train.h5`` and ``shd_test.h5``, and
``ssc_train.h5``, ``ssc_valid.h5`` and ``ssc_test.h5``, packed with gzip, to be unpacked first. A file holds

| dataset | holds |
|---|---|
| ``spikes/times`` | for each sample a list of floats (16 or 32 bits): times in seconds |
| ``spikes/units`` | for each sample a list of as many whole numbers, 0 to 699: channels of the cochlea |
| ``labels`` | for each sample its class: 0 to 19 (digits in German and English), 0 to 34 (words) |
| ``extra/speaker`` | where it is there, the speaker of each sample, one a sample; it is not used |

A sample has the shape (700,). Its steps divide 1.4 s, as in the tutorial of the authors. Test parts, and the
validation part of SSC, are the published ones.

HDF5 files may point at other files and claim more than they hold. Only hard links, plain datasets and deflate are
read; for the lists see :mod:`bitspike.train.datasets.hdf5_lists`.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.files import existing_file
from bitspike.train.dataset import DataSet, Rows, SpikeSamples, checked_labels
from bitspike.train.datasets.binary import EXPANSION, folder
from bitspike.train.datasets.hdf5_lists import DEFLATE, SHUFFLE, Lists
from bitspike.train.encoders import Encoding
from bitspike.train.packing import pack_events

UNITS = 700
USUAL_US = 1_400_000
_SHD_CLASSES, _SSC_CLASSES = 20, 35
_DAMAGE = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, AttributeError, zlib.error)


def open_shd(path: str) -> DataSet:
    """Return the digits in a folder; only sizes and labels are read."""
    return _open(path, {"train": "shd_train.h5", "test": "shd_test.h5"}, _SHD_CLASSES)


def open_ssc(path: str) -> DataSet:
    """Return the commands in a folder; only sizes and labels are read."""
    return _open(path, {"train": "ssc_train.h5", "validation": "ssc_valid.h5", "test": "ssc_test.h5"}, _SSC_CLASSES)


def _open(path: str, names: dict[str, str], classes: int) -> DataSet:
    place = folder(path, f"a folder with {', '.join(names.values())}")
    files = [existing_file(place / name) for name in names.values()]
    labels = [_labels(file, classes) for file in files]
    sizes = dict(zip(names, map(len, labels), strict=True))
    together = np.concatenate(labels)
    ends = np.cumsum([len(one) for one in labels])

    def recordings(rows: Rows) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        of_file = np.searchsorted(ends, rows, side="right")
        for number, file in enumerate(files):
            start = int(ends[number]) - len(labels[number])
            yield from _read_file(file, rows[of_file == number] - start, len(labels[number]))

    def read(rows: Rows, encoding: Encoding) -> SpikeSamples:
        order = np.argsort(np.searchsorted(ends, rows, side="right"), kind="stable")
        packed = pack_events(
            recordings(rows[order]),
            len(rows),
            shape=(UNITS,),
            encoding=encoding,
            duration_us=encoding.duration_us(USUAL_US),
        )
        bits = np.empty_like(packed)
        bits[order] = packed
        return SpikeSamples(bits=bits, labels=together[rows], indices=rows, shape=(UNITS,), encoding=encoding)

    published = (sizes["train"], sizes.get("validation", 0), sizes["test"])
    return DataSet(kind="events", shape=(UNITS,), classes=classes, sizes=published, read=read)


def _labels(path: Path, classes: int) -> npt.NDArray[np.int64]:
    with _opened(path) as file:
        found = _dataset(path, file, "labels")
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise FileError(
                path, f"labels: found {found.dtype} of shape {found.shape}; expected a row of whole numbers"
            )
        if found.size * found.dtype.itemsize > path.stat().st_size * EXPANSION:
            raise FileError(path, f"labels: claims {found.size} samples; a file of this size cannot hold them")
        labels = checked_labels(path, found[()], classes)
        for name in ("spikes/times", "spikes/units"):
            shape = _dataset(path, file, name).shape
            if shape != labels.shape:
                raise FileError(path, f"{name}: found shape {shape}; expected {labels.shape}, as labels")
    if not len(labels):
        raise FileError(path, "holds no sample")
    return labels


def _read_file(path: Path, rows: Rows, samples: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield times in microseconds and units of the rows of one file."""
    if not len(rows):
        return
    with _opened(path) as file:
        times, units = _lists(path, file, "spikes/times", "f"), _lists(path, file, "spikes/units", "iu")
        if len(times) != samples:
            raise FileError(path, f"found {len(times)} samples; expected {samples}, as when it was opened")
        for row in rows:
            seconds, channels = times[int(row)].astype(np.float64), units[int(row)].astype(np.int64)
            if len(seconds) != len(channels):
                raise FileError(path, f"sample {row}: found {len(seconds)} times; expected {len(channels)}, as units")
            if len(seconds) and not (np.isfinite(seconds).all() and seconds.min() >= 0 and seconds.max() < 1e6):
                raise FileError(path, f"sample {row}: found a time that is no number of seconds from 0 to 1e6")
            if len(channels) and not 0 <= channels.min() <= channels.max() < UNITS:
                raise FileError(path, f"sample {row}: found unit {channels.max()}; expected 0 to {UNITS - 1}")
            yield np.rint(seconds * 1e6).astype(np.int64), channels


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file and turn what goes wrong in it into one FileError line."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except _DAMAGE as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise FileError(path, f"is not a readable HDF5 file ({line})") from None


def _dataset(path: Path, file: Any, name: str) -> Any:
    """Return a dataset that lies in the file itself, packed with nothing but deflate."""
    import h5py

    item = file
    for step in name.split("/"):
        link = item.get(step, getlink=True) if isinstance(item, h5py.Group) and step in item else None
        if link is None:
            raise FileError(path, f"holds no {name}; expected spikes/times, spikes/units and labels")
        if not isinstance(link, h5py.HardLink):
            raise FileError(path, f"{name} is a link to elsewhere; expected everything in the file itself")
        item = item[step]
    if not isinstance(item, h5py.Dataset):
        raise FileError(path, f"{name} is no dataset")
    settings = item.id.get_create_plist()
    filters = {settings.get_filter(index)[0] for index in range(settings.get_nfilters())}
    if item.is_virtual or settings.get_external_count() or not filters <= {DEFLATE, SHUFFLE}:
        raise FileError(path, f"{name} is virtual, external or packed with another filter; expected plain data")
    return item


def _lists(path: Path, file: Any, name: str, kinds: str) -> Lists:
    """Return a dataset of lists of numbers, none of them read, together no longer than the file."""
    import h5py

    item = _dataset(path, file, name)
    base = h5py.check_vlen_dtype(item.dtype)
    if item.ndim != 1 or base is None or np.dtype(base).kind not in kinds:
        raise FileError(path, f"{name}: found {item.dtype} of shape {item.shape}; expected a list of numbers a sample")
    return Lists(path, item, np.dtype(base))
