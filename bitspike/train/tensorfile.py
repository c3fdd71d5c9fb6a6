"""Tensors in safetensors files with a format name, a version and a configuration.

The file's metadata holds one key, ``bitspike``, with JSON text ``{"format": ..., "version": ..., "config": {...}}``.
One key, because the order of several is not fixed and equal contents should make equal files.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.errors import FileError
from bitspike.files import existing_file, replacing

Tensors = dict[str, npt.NDArray[Any]]

_KEY = "bitspike"


def write_tensors(
    path: str | os.PathLike[str], tensors: Tensors, *, form: str, version: int, config: Mapping[str, object]
) -> None:
    """Write tensors and configuration, atomically."""
    from safetensors.numpy import save_file

    header = json.dumps({"format": form, "version": version, "config": config}, sort_keys=True)
    contiguous = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    with replacing(path) as temporary:
        save_file(contiguous, temporary, metadata={_KEY: header})


def read_tensors(path: str | os.PathLike[str], *, form: str, version: int) -> tuple[dict[str, Any], Tensors]:
    """Return configuration and tensors.

    Raises:
        FileError: a file that is missing, damaged, truncated, or of another format or version.
    """
    from safetensors import SafetensorError, safe_open

    found = existing_file(path)
    try:
        with safe_open(found, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise FileError(found, f"is not a whole safetensors file ({error})") from None
    if _KEY not in metadata:
        raise FileError(found, "is a safetensors file, but not of bitspike")
    try:
        header = json.loads(metadata[_KEY])
    except (ValueError, RecursionError):
        raise FileError(found, "has a header that is not JSON") from None
    if not isinstance(header, dict) or not isinstance(header.get("config"), dict):
        raise FileError(found, "has a header without a configuration")
    if header.get("format") != form:
        raise FileError(found, f"has format {header.get('format')!r}; expected {form!r}")
    if header.get("version") != version:
        raise FileError(found, f"has version {header.get('version')!r}; this bitspike reads {version}")
    return header["config"], tensors


def take_tensor(
    path: str | os.PathLike[str], tensors: Tensors, key: str, *, shape: tuple[int, ...], dtype: type[np.generic]
) -> npt.NDArray[Any]:
    """Remove and return one tensor; raise FileError unless it is there, of that shape and dtype, and finite."""
    if key not in tensors:
        raise FileError(path, f"tensor {key} is missing")
    value = tensors.pop(key)
    if value.shape != shape or value.dtype != np.dtype(dtype):
        expected = f"{np.dtype(dtype)} of shape {shape}"
        raise FileError(path, f"tensor {key}: found {value.dtype} of shape {value.shape}; expected {expected}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise FileError(path, f"tensor {key}: found a value that is not finite")
    return value


def no_more(path: str | os.PathLike[str], tensors: Tensors) -> None:
    """Raise FileError if tensors are left that nothing asked for."""
    if tensors:
        raise FileError(path, f"tensor {min(tensors)} is not known")
