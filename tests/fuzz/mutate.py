"""Mutations of a valid file: of its bytes, and of the fields that its format has; each a function of a generator."""

import copy
import json
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np

#: Where a size or an address is expected.
SIZES = (0, 1, 7, 8, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
TEXTS = (
    "", "a", "dense", "conv", "input", "LIF", "../../x", "a\x1b[31mb", "n\nm", "\u202egnp", "x" * 70000, "\x00", "NaN",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 8, 63, 4096, 4097, 131072, 1 << 24, 1 << 31, 1 << 40, 1 << 62, 1 << 64, 10**30,
    0.5, 1e308, float("inf"), float("nan"), "", "a", "input", "out", "first", [], {}, [0], [1, 1], [1 << 30] * 3, [[]],
    {"a": 1},
)  # fmt: skip
SHAPES = ((), (0,), (1,), (2,), (3, 1), (1, 2, 3), (2, 0), (1, 1, 1, 1, 1))


def mutated(random: np.random.Generator, kind: str, files: list[bytes], path: Path) -> str:
    """Write a mutated file to `path`; the name of the mutation."""
    weights = np.array([1 / len(data) for data in files])  # of a small file a change hits more
    data = files[int(random.choice(len(files), p=weights / weights.sum()))]
    # HDF5 refuses a file of another length at once, and protobuf most whose lengths within do not fit.
    if random.random() < (0.2 if kind == "onnx" else 0.5):
        path.write_bytes(_bytes(random, data, files, keep_length=kind == "hdf5" and random.random() < 0.95))
        return "bytes"
    path.write_bytes(data)
    {"hdf5": _hdf5, "onnx": _onnx, "safetensors": _safetensors}[kind](random, path)
    if random.random() < 0.1:
        path.write_bytes(_bytes(random, path.read_bytes(), files))
    return "fields"


def _bytes(random: np.random.Generator, data: bytes, files: list[bytes], *, keep_length: bool = False) -> bytes:
    """One to four changes of bytes, at or near those that are not zero: the others are room that nothing uses."""
    if not data:
        return data
    changed = bytearray(data)
    used = np.flatnonzero(np.frombuffer(data, np.uint8)) if keep_length else np.arange(len(data))
    for _ in range(int(random.integers(1, 5))):
        if not changed:
            break
        among = used if random.random() < 0.5 else used[:2048]  # heads hold the structure
        place = min(int(among[random.integers(len(among))]) + int(random.integers(4)), len(changed) - 1)
        how = int(random.integers(8))
        if how == 0:
            changed[place] ^= 1 << int(random.integers(8))
        elif how == 1:
            changed[place] = int(random.integers(256))
        elif how == 2:
            width = int(random.choice([2, 4, 8]))
            value = SIZES[int(random.integers(len(SIZES)))] % (1 << 8 * width)
            changed[place : place + width] = value.to_bytes(width, "little")
        elif keep_length:
            length = int(random.integers(1, 64))
            begin = int(used[random.integers(len(used))])
            copied = (bytes(length), random.bytes(length), bytes(changed[begin : begin + length]))
            changed[place : place + length] = copied[int(random.integers(3))]
        elif how == 3:
            del changed[place:]
        elif how == 4:
            del changed[place : place + int(random.integers(1, 64))]
        elif how == 5:
            other = files[int(random.integers(len(files)))]
            begin, length = int(random.integers(len(other))), int(random.integers(1, 512))
            changed[place : place + length] = other[begin : begin + length]
        elif how == 6:
            changed[place:place] = random.bytes(int(random.integers(1, 64)))
        else:
            begin, length = int(random.integers(len(changed))), int(random.integers(1, 256))
            changed[place:place] = changed[begin : begin + length]
    return bytes(changed[: len(data)]) if keep_length else bytes(changed)


def _json(random: np.random.Generator, value: Any) -> Any:
    """`value` with one place in it changed."""
    places: list[tuple[Any, Any]] = []

    def walk(item: Any) -> None:
        for key in item if isinstance(item, dict) else range(len(item)):
            places.append((item, key))
            if isinstance(item[key], dict | list):
                walk(item[key])

    if not isinstance(value, dict | list) or not value:
        return _any(random)
    walk(value)
    item, key = places[int(random.integers(len(places)))]
    how = int(random.integers(5))
    if how == 0:
        del item[key]
    elif how == 1 and isinstance(item, list):
        item.append(item[key])
    elif how == 2 and isinstance(item, dict):
        item[TEXTS[int(random.integers(len(TEXTS)))]] = item[key]
    elif how == 3:
        other = places[int(random.integers(len(places)))]
        item[key] = copy.deepcopy(other[0].get(other[1])) if isinstance(other[0], dict) else item[key]
    else:
        item[key] = _any(random)
    return value


def _any(random: np.random.Generator) -> Any:
    return VALUES[int(random.integers(len(VALUES)))]


def _mutated_text(random: np.random.Generator, text: str) -> str:
    """JSON with a value changed, or another text."""
    try:
        value = json.loads(text)
    except ValueError:
        return TEXTS[int(random.integers(len(TEXTS)))]
    for _ in range(int(random.integers(1, 3))):
        value = _json(random, value)
    try:
        return json.dumps(value, sort_keys=bool(random.integers(2)), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return text[: len(text) // 2]


def _hdf5(random: np.random.Generator, path: Path) -> None:
    """One to three changes of groups and datasets."""
    with h5py.File(path, "r+") as file:
        for _ in range(int(random.integers(1, 4))):
            names: list[str] = []
            file.visit(names.append)
            if not names:
                return
            name = names[int(random.integers(len(names)))]
            try:
                _change_item(random, file, name, names)
            except (ValueError, TypeError, OSError, RuntimeError, KeyError, OverflowError, AttributeError, IndexError):
                continue


def _change_item(random: np.random.Generator, file: Any, name: str, names: list[str]) -> None:
    item = file[name]
    how = int(random.integers(9))
    if how == 0:
        del file[name]
    elif how == 1:
        other = names[int(random.integers(len(names)))]
        target = f"{name}/{TEXTS[int(random.integers(len(TEXTS)))]}" if random.random() < 0.5 else f"{name}_2"
        links = [
            h5py.SoftLink(f"/{other}"),
            h5py.ExternalLink("/etc/passwd", "x"),
            h5py.SoftLink(f"/{name}"),
            file[other],
        ]
        file[target] = links[int(random.integers(len(links)))]
    elif how == 2:
        file.move(name, f"{name.rpartition('/')[0]}/{TEXTS[int(random.integers(len(TEXTS)))]}")
    elif how == 3 and isinstance(item, h5py.Group):
        item.create_group("deep/" * int(random.integers(1, 40)))
    elif how == 4:
        _replace(random, file, name)
    elif how == 5 and isinstance(item, h5py.Dataset):
        other = names[int(random.integers(len(names)))]
        if isinstance(file[other], h5py.Dataset) and _small(file[other]):
            value = file[other][()]
            del file[name]
            file[name] = value
    elif isinstance(item, h5py.Dataset) and _small(item):
        _change_value(random, file, name)


def _small(item: Any) -> bool:
    """Whether its contents can be loaded here: an earlier change may have made it huge."""
    return item.shape is not None and item.size < 1 << 20


def _change_value(random: np.random.Generator, file: Any, name: str) -> None:
    """One number, or the text."""
    value = file[name][()]
    if isinstance(value, bytes):
        text = _mutated_text(random, value.decode("utf-8", "replace"))
        del file[name]
        file[name] = text.encode("utf-8", "replace") if random.random() < 0.5 else text
        return
    array = np.array(value)
    if array.dtype.kind in "iuf" and array.size:
        choices = [0, 1, -1, 2, 100, 4097, 1 << 14, 1 << 20] + (
            [np.nan, np.inf, -0.5] if array.dtype.kind == "f" else []
        )
        place = int(random.integers(array.size))
        with np.errstate(all="ignore"):
            array.reshape(-1)[place] = np.array(choices[int(random.integers(len(choices)))]).astype(array.dtype)
        del file[name]
        file[name] = array


def _replace(random: np.random.Generator, file: Any, name: str) -> None:
    """A dataset of another type or shape, also of one that takes no room."""
    parent, _, _ = name.rpartition("/")
    del file[name]
    shape = SHAPES[int(random.integers(len(SHAPES)))]
    how = int(random.integers(7))
    if how == 0:
        dtype = random.choice(["i1", "i2", "i4", "i8", "u8", "f2", "f4", "f8", "bool", "c8", "S5"])
        file.create_dataset(name, shape, dtype=dtype)
    elif how == 1:
        huge = (1 << int(random.integers(20, 50)),)
        file.create_dataset(name, huge, dtype="f4", chunks=(1 << 16,), compression="gzip")
    elif how == 2:
        file.create_dataset(name, (4,), maxshape=(None,), chunks=(1 << int(random.integers(10, 28)),), dtype="i2")
    elif how == 3:
        file.create_dataset(name, data=TEXTS[int(random.integers(len(TEXTS)))].replace("\x00", "0"))
    elif how == 4:
        file.create_dataset(name, data=h5py.Empty("f4"))
    elif how == 5:
        file.create_dataset(name, data=np.zeros(4, np.dtype([("a", "i4"), ("b", "f8")])))
    else:
        file.require_group(parent or "/").create_group(name.rpartition("/")[2])


def _safetensors(random: np.random.Generator, path: Path) -> None:
    """A change of the header, or of the description within it."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    metadata = header.get("__metadata__", {})
    if metadata and random.random() < 0.6:
        key = next(iter(metadata))
        metadata[key] = _mutated_text(random, metadata[key])
    else:
        header = _json(random, header)
    text = json.dumps(header, separators=(",", ":")).encode()
    size = len(text) if random.random() < 0.9 else SIZES[int(random.integers(len(SIZES)))] % (1 << 64)
    path.write_bytes(struct.pack("<Q", size) + text + body)


def _onnx(random: np.random.Generator, path: Path) -> None:
    """Changes of the message: :mod:`mutate_onnx`."""
    import mutate_onnx
    from onnx import ModelProto

    model = ModelProto.FromString(path.read_bytes())
    mutate_onnx.change(random, model, _mutated_text)
    path.write_bytes(model.SerializeToString())
