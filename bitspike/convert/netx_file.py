"""NetX files (HDF5): the exchange format of lava-dl, which its ``netx.hdf5.Network`` turns into Lava processes.

==============================  =============  ==============================================================
entry                           type           contents
==============================  =============  ==============================================================
``/layer/0/type``               text           ``input``; without a neuron: spikes go to the network's ``inp``
``/layer/0/shape``              int64 (k,)     neurons, or channels, height and width
``/layer/<i>/type``             text           ``dense``, ``dense_rec``, ``conv`` or ``flatten``, from 1 on
``/layer/<i>/shape``            int64 (k,)     neurons, or channels, height and width
``/layer/<i>/weight``           int16 (n, m)   ``weight * 2^exponent``, (targets, sources), deflated; of a convolution
                                               (channels, sources, height, width), as torch has them
``/layer/<i>/weight_rec``       int16 (n, n)   of ``dense_rec``: from the layer to itself
``/layer/<i>/delay``            int64 ()       of ``dense``: steps; absent where 0
``.../stride``, ``padding``,    int64 (2,)     of ``conv``: (vertical, horizontal)
``dilation``
``/layer/<i>/groups``           int64 ()       of ``conv``
``/layer/<i>/bias``             int32          in weight units (NetX sets the bias exponent 6), (n,); of a convolution
                                               (channels,) or (width, height, channels); absent where all 0
``/layer/<i>/neuron/type``      text           ``CUBA``
``.../iDecay``, ``vDecay``      int64 ()       `du` and `dv`, effective: NetX itself subtracts 1 from iDecay
``.../vThMant``                 int64 ()       `vth`
``.../refDelay``                int64 ()       1, ignored by NetX
``.../gradedSpike``             bool ()        false, ignored by NetX
``/bitspike/format``            text           ``bitspike.netx``
``/bitspike/version``           text           ``1``
``/bitspike/network``           JSON           see :func:`~bitspike.convert.description.describe`
``/bitspike/digest``            text           the network's `digest()`
``/bitspike/sha256``            JSON           SHA-256 of each weight and bias, by entry
==============================  =============  ==============================================================

Texts are fixed-length and scalars have no dimension, because lava-dl fails on 1-d ones with numpy 2.4. NetX iterates
over ``/layer`` and never looks at ``/bitspike``, which holds what it has no words for: names, shapes, window, read-out.
NetX gives every layer one step of latency; the network here is the trained one, which answers within the step.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.binary_only import refuse_graded
from bitspike.convert.description import Arrays, description_text, network_from
from bitspike.convert.hdf5_file import datasets, in_one_line
from bitspike.convert.imported import Imported
from bitspike.convert.lavadl.plain import network_of
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.netx_layers import arrays_of_layers, differences, layer_entries, missing, spoken, text
from bitspike.convert.rules import check
from bitspike.convert.single_only import refuse_several
from bitspike.errors import BitspikeError, FileError, UnsupportedError
from bitspike.files import existing_file, replacing

__all__ = ["FORMAT", "VERSION", "contents", "import_file", "read", "write"]

FORMAT = "bitspike.netx"
VERSION = "1"
_HASHED = ("/weight", "/weight_rec", "/bias")


def contents(network: IntegerNetwork) -> Arrays:
    """Every dataset of the file, by its path.

    Raises:
        NetworkError: where the network is not legal.
        UnsupportedError: naming the population or connection that NetX cannot say: anything but a chain in which each
            population is fed by the one before and perhaps by itself; a read-out that is not the last; a start; reset
            by subtraction; graded spikes; a bias that is no whole number of weight units in -4096..4095; weights that
            lava-dl's loader would change (:mod:`bitspike.convert.netx_weights`); what
            :mod:`bitspike.convert.netx_layers` lists.
    """
    refuse_graded(check(network), "the NetX writer")
    refuse_several(network, "the NetX writer")
    last = network.populations[-1].name
    if network.readout.population != last:
        raise UnsupportedError(f"readout {network.readout.population}; NetX reads the last layer, {last}")
    entries = layer_entries(network)
    hashes = {path: _sha256(array) for path, array in entries.items() if path.endswith(_HASHED)}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "network": description_text(network),
        "digest": network.digest(),
        "sha256": json.dumps(hashes, sort_keys=True, separators=(",", ":")),
    }
    return entries | {f"bitspike/{key}": text(value) for key, value in about.items()}


def write(network: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Write `network` to `path`, read it back, and compare for equality; only then does the file appear.

    Raises:
        NetworkError, UnsupportedError: as :func:`contents`.
        FileError: where the file cannot be written or does not read back.
    """
    import h5py

    entries = contents(network)
    with replacing(path) as temporary:
        with h5py.File(temporary, "w") as file:
            for name, array in entries.items():
                packed = {"compression": "gzip"} if array.ndim > 1 else {}
                file.create_dataset(name, data=array, **packed)
        with in_one_line(path, "NetX"):
            if _load(temporary, None, ours=True).network != network:
                raise FileError(path, "does not read back as the network that was written")


def read(
    path: str | os.PathLike[str], *, steps: int | None = None, input_shape: tuple[int, ...] | None = None
) -> IntegerNetwork:
    """The network of a NetX file; arguments and errors as for :func:`import_file`, which tells notes besides."""
    return import_file(path, steps=steps, input_shape=input_shape).network


def import_file(
    path: str | os.PathLike[str], *, steps: int | None = None, input_shape: tuple[int, ...] | None = None
) -> Imported:
    """Read a NetX file: one that :func:`write` wrote, or lava-dl's own (:mod:`bitspike.convert.lavadl.plain`).

    Args:
        path: of the file.
        steps: window of a sample, for lava-dl's own files, which do not say one; ours do, and it must be that.
        input_shape: (channels, height, width), for lava-dl's own files that begin with a convolution and no input.

    Raises:
        FileError: in one line, for a layer that is missing, changed, or not what this reader knows, a damaged file, or
            one that links to other files.
    """
    found = existing_file(path)
    with in_one_line(path, "NetX"):
        return _load(found, steps, input_shape)


def _load(path: Path, steps: int | None, input_shape: tuple[int, ...] | None = None, *, ours: bool = False) -> Imported:
    with datasets(path, ours=ours) as entries:
        found: Arrays = {name: np.asarray(dataset[()]) for name, dataset in entries.items()}
    if not any(name.startswith("layer/") for name in found):
        raise BitspikeError("is not a NetX file (no layer of it has an entry)")
    if not any(name.startswith("bitspike/") for name in found):
        return network_of(found, steps, input_shape)
    about = {key: _about(found, key) for key in ("format", "version", "network", "digest", "sha256")}
    if (about["format"], about["version"]) != (FORMAT, VERSION):
        raise BitspikeError(f"format {about['format']} {about['version']}; this bitspike reads {FORMAT} {VERSION}")
    for name, expected in json.loads(about["sha256"]).items():
        if name not in found:
            raise BitspikeError(missing(name))
        if _sha256(found[name]) != expected:
            raise BitspikeError(f"{spoken(name)} is not what was written")
    try:
        arrays = arrays_of_layers(json.loads(about["network"]), found)
    except KeyError as error:
        raise BitspikeError(f"the network's description lacks {error}") from None
    network = network_from(about["network"], arrays)
    for problem in differences(contents(network), found):
        raise BitspikeError(problem)
    if steps is not None and steps != network.steps:
        raise BitspikeError(f"holds a network with a window of {network.steps} steps; {steps} were asked for")
    return Imported(network=network)


def _about(found: Arrays, key: str) -> str:
    array = found.get(f"bitspike/{key}")
    if array is None or array.dtype.kind != "S" or array.shape != ():
        raise BitspikeError(f"/bitspike/{key} is missing or no text")
    return bytes(array[()]).decode("ascii")


def _sha256(array: npt.NDArray[Any]) -> str:
    state = hashlib.sha256(f"{array.dtype.str} {array.shape}:".encode())
    state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
