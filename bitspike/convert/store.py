"""The network's own file: safetensors, with everything but the arrays as JSON in the header.

================================  ======  ===================================================
entry                             type    contents
================================  ======  ===================================================
metadata ``bitspike.network/1``   JSON    :func:`~bitspike.convert.description.description_text`
``<population>.bias``             int32   bias mantissas, (neurons,)
``<index>.words``                 uint64  one-bit weights of connection `index`, (targets, words)
``<index>.values``                int16   weights of up to 8 bits and sign, (targets, sources)
================================  ======  ===================================================

What came after version 1 (connections of other kinds than dense, graded spikes, several inputs or read-outs) adds keys
where a network has it, so that a network without it gives the bytes that it gave before, and older files are read.

A reader refuses whatever this writer would not write: other entries, types, shapes, keys or an illegal network.
"""

import os

import numpy as np

from bitspike.convert.description import arrays_of, description_text, network_from
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.rules import check
from bitspike.errors import BitspikeError, FileError
from bitspike.files import existing_file, replacing

FORMAT = "bitspike.network/"
VERSION = "1"


def save(network: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Write `network` to `path`, read it back, and compare for equality; only then does the file appear.

    A file that is there and no network is left alone: FileError.
    """
    from safetensors.numpy import save_file

    check(network)
    _check_replaceable(path)
    # One key: safetensors does not keep the order of several, and the same network must give the same bytes.
    metadata = {FORMAT + VERSION: description_text(network)}
    with replacing(path) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in arrays_of(network).items()}, temporary, metadata=metadata)
        try:
            same = load(temporary) == network
        except FileError as error:
            raise FileError(path, f"does not read back: {error.problem}") from None
        if not same:
            raise FileError(path, "does not read back as the network that was written")


def _check_replaceable(path: str | os.PathLike[str]) -> None:
    """Raise FileError where `path` is a file that this module has not written, such as a recipe or a trained model."""
    from safetensors import SafetensorError, safe_open

    if not os.path.lexists(path):
        return
    try:
        with safe_open(path, framework="np") as file:
            if any(key.startswith(FORMAT) for key in file.metadata() or {}):
                return
    except (SafetensorError, OSError, ValueError, TypeError):
        pass
    raise FileError(path, "exists and is not a network file; expected another name")


def load(path: str | os.PathLike[str]) -> IntegerNetwork:
    """Read a network file; FileError in one line for anything but what :func:`save` writes."""
    from safetensors import SafetensorError, safe_open

    found = existing_file(path)
    try:
        with safe_open(found, framework="np") as file:
            metadata = file.metadata() or {}
            description = metadata.pop(FORMAT + VERSION, None)
            if description is None or metadata:
                keys = ", ".join(sorted(map(repr, metadata))) or "nothing"
                raise FileError(path, f"its metadata has {keys}; expected '{FORMAT}{VERSION}' alone")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return network_from(description, arrays)
    except FileError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise FileError(path, f"is not a readable safetensors file ({_first_line(error)})") from None
    except BitspikeError as error:
        raise FileError(path, str(error)) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
