"""Broken and malicious files, built from valid ones, and a process that reads them and says what came of it."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]


def outcomes(paths, folder, *, seconds=60.0):
    """What each file's reader says: a dict with ``said``, ``kind`` (of the error) and ``cpu`` seconds, by file name.

    The files are read one after the other by ``hostile_reader.py`` in a process of its own. The entry ``""`` has the
    megabytes by which that process grew at most.
    """
    request = folder / "request.json"
    request.write_text(json.dumps([[reader, str(path)] for reader, path in paths]))
    command = [sys.executable, str(Path(__file__).parent / "hostile_reader.py"), str(request)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def assert_refused(found, *, megabytes, cpu=1.0):
    """Each file is refused in one printable line, soon, and without much memory."""
    for name, outcome in found.items():
        if not name:
            assert outcome["grown"] < megabytes, f"the reader grew by {outcome['grown']} MB"
            continue
        assert outcome["kind"] == "FileError", f"{name}: {outcome}"
        assert outcome["said"].isprintable(), f"{name}: {outcome}"
        assert len(outcome["said"]) < 2500, f"{name}: {outcome}"
        assert outcome["cpu"] < cpu, f"{name}: {outcome}"


def hdf5_variants(data, dataset, group, folder, ending):
    """Files made of the valid HDF5 file `data`, by name; `dataset` and `group` are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}

    def keep(name, content):
        made[name] = folder / f"{name}{ending}"
        made[name].write_bytes(content)
        return made[name]

    for name, content in _byte_variants(data).items():
        keep(name, content)
    for change in _CHANGES:
        if change is _many and "foreign" not in folder.name:  # seconds to write, and the same code for all
            continue
        path = keep(change.__name__.strip("_"), data)
        with h5py.File(path, "r+") as file:
            change(file, dataset, group)
    return made


def _byte_variants(data):
    def patched(place, value):
        return data[:place] + value + data[place + len(value) :]

    heap = data.find(b"GCOL")
    found = {
        "empty": b"",
        "text": b"network\n" * 40,
        "pickle": b"cposix\nsystem\n(S'id'\ntR.",
        "zip": b"PK\x03\x04" + data[:200],
        "signature_alone": data[:8],
        "half": data[: len(data) // 2],
        "last_byte_missing": data[:-1],
        "superblock_version": patched(8, b"\xff"),
        "size_of_offsets": patched(13, b"\x00"),
        "size_of_lengths": patched(14, b"\xff"),
        "base_address": patched(24, struct.pack("<Q", 1 << 40)),
        "end_address": patched(40, struct.pack("<Q", (1 << 64) - 1)),
        "root_header": patched(64, struct.pack("<Q", len(data) - 4)),
    }
    if heap >= 0:
        # A heap's object without a number and without a size: the library adds its size until the heap ends.
        found["heap_that_never_ends"] = patched(heap + 16, bytes(16))
    return found


def _huge(file, dataset, group):
    del file[dataset]
    file.create_dataset(dataset, (10**12,), "f4", chunks=(1 << 16,), compression="gzip")


def _zeros_of_almost_nothing(file, dataset, group):
    """As many as are let in: never written, so that HDF5 fills them in."""
    del file[dataset]
    file.create_dataset(dataset, (4000, 4000), "f4", chunks=(100, 4000), compression="gzip")


def _huge_contiguous(file, dataset, group):
    del file[dataset]
    file.create_dataset(dataset, (10**6, 10**6), "f8")


def _bomb(file, dataset, group):
    """Six thousand megabytes in six."""
    del file[dataset]
    step = 1 << 24
    bomb = file.create_dataset(dataset, (384 * step,), "i1", chunks=(step,), compression="gzip")
    packed = zlib.compress(bytes(step), 9)
    for index in range(384):
        bomb.id.write_direct_chunk((index * step,), packed)


def _chunk_larger_than_all(file, dataset, group):
    del file[dataset]
    file.create_dataset(dataset, (2,), "f8", maxshape=(None,), chunks=(1 << 28,), compression="gzip")


def _external_storage(file, dataset, group):
    del file[dataset]
    file.create_dataset(dataset, (8,), "u1", external=[("/proc/self/environ", 0, 8)])


def _virtual(file, dataset, group):
    del file[dataset]
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset(dataset, layout)


def _external_link(file, dataset, group):
    del file[dataset]
    file[dataset] = h5py.ExternalLink("/etc/hostname", "x")


def _soft_link(file, dataset, group):
    del file[dataset]
    file[dataset] = h5py.SoftLink("/nothing")


def _soft_link_circle(file, dataset, group):
    file[f"{group}/one"] = h5py.SoftLink(f"/{group}/two")
    file[f"{group}/two"] = h5py.SoftLink(f"/{group}/one")


def _hard_link_circle(file, dataset, group):
    file[f"{group}/inside"] = file[group]


def _deep(file, dataset, group):
    file.create_group(f"{group}/" + "deep/" * 500)


def _many(file, dataset, group):
    item, into = file[dataset], file[group]
    for index in range((1 << 14) + 1):
        into[str(index)] = item


def _escapes_in_a_name(file, dataset, group):
    file.move(dataset, f"{group}/\x1b[2J\x1b]0;x\x07\u202e\r\nbitspike: all is well")


def _long_name(file, dataset, group):
    file.move(dataset, f"{group}/" + "n" * 60000)


def _compound(file, dataset, group):
    del file[dataset]
    file[dataset] = np.zeros(3, [("a", "i4"), ("b", "f8")])


def _references(file, dataset, group):
    del file[dataset]
    file.create_dataset(dataset, data=np.array([file[group].ref], dtype=h5py.ref_dtype))


def _vlen(file, dataset, group):
    del file[dataset]
    ragged = file.create_dataset(dataset, (2,), h5py.vlen_dtype(np.int32))
    ragged[0] = [1, 2, 3]


def _opaque(file, dataset, group):
    del file[dataset]
    file[dataset] = np.array([b"cos\nsystem\n(S'id'\ntR."], "V22")


def _complex(file, dataset, group):
    del file[dataset]
    file[dataset] = np.ones((2, 2), "c16")


def _named_type(file, dataset, group):
    del file[dataset]
    file[dataset] = np.dtype("f8")


def _no_value(file, dataset, group):
    del file[dataset]
    file[dataset] = h5py.Empty("f8")


def _a_million_extents(file, dataset, group):
    """Where a few numbers are expected."""
    beside = file[dataset].parent
    for name in list(beside):
        if isinstance(beside[name], h5py.Dataset) and beside[name].dtype.kind in "iuf":
            del beside[name]
            beside.create_dataset(name, data=np.full(1 << 20, 3, "i8"), compression="gzip")


def _zero_sized(file, dataset, group):
    del file[dataset]
    file[dataset] = np.zeros((0, 7), "f4")


def _many_dimensions(file, dataset, group):
    del file[dataset]
    file[dataset] = np.zeros((1,) * 31, "f4")


def _lzf(file, dataset, group):
    del file[dataset]
    file.create_dataset(dataset, data=np.zeros(100), compression="lzf")


def _group_for_a_dataset(file, dataset, group):
    del file[dataset]
    file.create_group(dataset)


def _nothing(file, dataset, group):
    for name in list(file):
        del file[name]


_CHANGES = (
    _huge, _zeros_of_almost_nothing, _huge_contiguous, _bomb, _chunk_larger_than_all, _external_storage, _virtual,
    _external_link, _soft_link, _soft_link_circle, _hard_link_circle, _deep, _many, _escapes_in_a_name, _long_name,
    _compound, _references, _vlen, _opaque, _complex, _named_type, _no_value, _a_million_extents, _zero_sized,
    _many_dimensions, _lzf, _group_for_a_dataset, _nothing,
)  # fmt: skip
