"""NetX files (HDF5): the exchange format of lava-dl, which its ``netx.hdf5.Network`` turns into Lava processes.

==============================  =============  ==============================================================
entry                           type           contents
==============================  =============  ==============================================================
``/layer/0/type``               text           ``input``; without a neuron: spikes go to the network's ``inp``
``/layer/0/shape``              int64 (1,)     neurons
``/layer/<i>/type``             text           ``dense``, for population `i` from 1 on
``/layer/<i>/shape``            int64 (1,)     neurons
``/layer/<i>/weight``           int16 (n, m)   ``weight * 2^exponent``, (targets, sources), deflated
``/layer/<i>/bias``             int32 (n,)     in weight units (NetX sets the bias exponent 6); absent where all 0
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
NetX gives every layer one step of latency; the network here is the trained one, in which no connection has a delay.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.binary_only import refuse_graded
from bitspike.convert.dense_only import dense_connections
from bitspike.convert.description import Arrays, description_text, network_from
from bitspike.convert.hdf5_file import datasets, in_one_line
from bitspike.convert.imported import Imported
from bitspike.convert.lavadl.plain import network_of
from bitspike.convert.network import STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.netx_weights import effective_weights, refuse_changed
from bitspike.convert.rules import BIAS_MANTISSA, EXPONENTS, check
from bitspike.convert.single_only import refuse_several
from bitspike.convert.weights import BIT_VALUES, BinaryWeights
from bitspike.errors import BitspikeError, FileError, UnsupportedError
from bitspike.files import existing_file, replacing

__all__ = ["FORMAT", "VERSION", "contents", "effective_weights", "import_file", "read", "write"]

FORMAT = "bitspike.netx"
VERSION = "1"
Integers = npt.NDArray[np.int64]


def contents(network: IntegerNetwork) -> Arrays:
    """Every dataset of the file, by its path.

    Raises:
        NetworkError: where the network is not legal.
        UnsupportedError: naming the population or connection that NetX cannot say: anything but a chain in which each
            population is fed by exactly the one before; a read-out that is not the last; a delay; a start; reset by
            subtraction; a bias that is no whole number of weight units in -4096..4095; weights that lava-dl's loader
            would change (:mod:`bitspike.convert.netx_weights`).
    """
    refuse_graded(check(network), "the NetX writer")
    refuse_several(network, "the NetX writer")
    dense = {c.target: c for c in dense_connections(network, "the NetX writer")}
    last = network.populations[-1].name
    if network.readout.population != last:
        raise UnsupportedError(f"readout {network.readout.population}; NetX reads the last layer, {last}")
    entries: Arrays = {"layer/0/type": _text("input"), "layer/0/shape": np.array([network.input.size])}
    source = network.input.name
    for index, p in enumerate(network.populations, start=1):
        refuse(network, p, source)
        weights = dense[p.name].effective()
        layer = f"layer/{index}"
        entries |= {
            f"{layer}/type": _text("dense"),
            f"{layer}/shape": np.array([p.size]),
            f"{layer}/weight": weights.astype(np.int16),
            f"{layer}/neuron/type": _text("CUBA"),
            f"{layer}/neuron/iDecay": np.array(p.du),
            f"{layer}/neuron/vDecay": np.array(p.dv),
            f"{layer}/neuron/vThMant": np.array(p.vth),
            f"{layer}/neuron/refDelay": np.array(1),
            f"{layer}/neuron/gradedSpike": np.array(False),
        }
        if np.any(p.bias_mantissa):
            entries[f"{layer}/bias"] = (p.bias >> STATE_SHIFT).astype(np.int32)
        source = p.name
    hashes = {path: _sha256(array) for path, array in entries.items() if path.endswith(("/weight", "/bias"))}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "network": description_text(network),
        "digest": network.digest(),
        "sha256": json.dumps(hashes, sort_keys=True, separators=(",", ":")),
    }
    return entries | {f"bitspike/{key}": _text(value) for key, value in about.items()}


def refuse(network: IntegerNetwork, p: Population, source: str) -> None:
    """UnsupportedError where NetX cannot say population `p` as the layer that follows `source`."""
    where = f"population {p.name}"
    incoming = network.incoming(p.name)
    if [c.source for c in incoming] != [source]:
        found = ", ".join(c.source for c in incoming) or "nothing"
        raise UnsupportedError(f"{where}: fed by {found}; NetX is written as a chain, and expects {source} alone")
    if incoming[0].delay:
        raise UnsupportedError(
            f"connection {incoming[0].name}: delay {incoming[0].delay}; NetX is written without delays: export the "
            "network before it is retimed"
        )
    if p.start:
        raise UnsupportedError(f"{where}: start {p.start}; NetX has none: export the network before it is retimed")
    if p.reset != "zero" and p.spiking:
        raise UnsupportedError(f"{where}: reset {p.reset!r}; Lava's neuron has only a reset to zero")
    low, high = int(p.bias.min(initial=0)) >> STATE_SHIFT, int(p.bias.max(initial=0)) >> STATE_SHIFT
    if np.any(p.bias % (1 << STATE_SHIFT)) or low < BIAS_MANTISSA[0] or high > BIAS_MANTISSA[1]:
        raise UnsupportedError(
            f"{where}: a bias in parts of a weight unit, or too large; NetX has only the bias exponent 6: "
            "expected multiples of 64 with mantissas in -4096..4095"
        )
    for c in dense_connections(network, "the NetX writer"):
        if c.target == p.name:
            refuse_changed(c.name, c.effective())


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
            if _load(temporary, None).network != network:
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


def _load(path: Path, steps: int | None, input_shape: tuple[int, ...] | None = None) -> Imported:
    with datasets(path) as entries:
        found: Arrays = {name: np.asarray(dataset[()]) for name, dataset in entries.items()}
    if not any(name.startswith("layer/") for name in found):
        raise BitspikeError("is not a NetX file (it has no /layer)")
    if not any(name.startswith("bitspike/") for name in found):
        return network_of(found, steps, input_shape)
    about = {key: _about(found, key) for key in ("format", "version", "network", "digest", "sha256")}
    if (about["format"], about["version"]) != (FORMAT, VERSION):
        raise BitspikeError(f"format {about['format']} {about['version']}; this bitspike reads {FORMAT} {VERSION}")
    for name, expected in json.loads(about["sha256"]).items():
        if name not in found:
            raise BitspikeError(_missing(name))
        if _sha256(found[name]) != expected:
            raise BitspikeError(f"{_spoken(name)} is not what was written")
    try:
        arrays = _arrays(json.loads(about["network"]), found)
    except KeyError as error:
        raise BitspikeError(f"the network's description lacks {error}") from None
    network = network_from(about["network"], arrays)
    for problem in _differences(contents(network), found):
        raise BitspikeError(problem)
    if steps is not None and steps != network.steps:
        raise BitspikeError(f"holds a network with a window of {network.steps} steps; {steps} were asked for")
    return Imported(network=network)


def _arrays(description: dict[str, Any], found: Arrays) -> Arrays:
    """The integers of the layers, under the names that :func:`~bitspike.convert.description.network_from` expects."""
    arrays: Arrays = {}
    layers = {p["name"]: index for index, p in enumerate(description["populations"], start=1)}
    for index, c in enumerate(description["connections"]):
        values = _integers(found, f"layer/{layers[c['target']]}/weight", np.int16, 2)
        mantissas = _shifted(f"layer {layers[c['target']]}: weight", values, c["exponent"])
        if c["kind"] == "int":
            arrays[f"{index}.values"] = mantissas.astype(np.int16)
        else:
            low, high = BIT_VALUES[c["kind"]]
            arrays[f"{index}.words"] = BinaryWeights.pack(mantissas, low=low, high=high).words
    for p in description["populations"]:
        layer = f"layer/{layers[p['name']]}"
        units = np.zeros(_integers(found, f"{layer}/weight", np.int16, 2).shape[0], np.int64)
        if f"{layer}/bias" in found:
            units = _integers(found, f"{layer}/bias", np.int32, 1)
        mantissas = _shifted(f"layer {layers[p['name']]}: bias", units << STATE_SHIFT, p["bias_exponent"])
        arrays[f"{p['name']}.bias"] = mantissas.astype(np.int32)
    return arrays


def _shifted(where: str, values: Integers, exponent: int) -> Integers:
    """``values >> exponent``, which must lose nothing."""
    if exponent not in EXPONENTS:
        raise BitspikeError(f"{where}: exponent {exponent!r}; expected 0..7")
    if bool(np.any(values % (1 << exponent))) or bool(np.any(np.abs(values) >= 1 << 31)):
        raise BitspikeError(f"{where} is not a multiple of 2^{exponent}, as the network's description tells")
    return values >> exponent


def _integers(found: Arrays, name: str, dtype: type[np.generic], dimensions: int) -> Integers:
    if name not in found:
        raise BitspikeError(_missing(name))
    array = found[name]
    if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
        expected = f"{np.dtype(dtype)} of {dimensions} dimensions"
        raise BitspikeError(f"{_spoken(name)} is {array.dtype} of {array.ndim} dimensions; expected {expected}")
    return array.astype(np.int64)


def _differences(expected: Arrays, found: Arrays) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        if name not in found:
            yield _missing(name)
        elif name not in expected:
            yield f"unexpected entry /{name}"
        elif expected[name].dtype != found[name].dtype or expected[name].shape != found[name].shape:
            ours, theirs = expected[name], found[name]
            yield f"{_spoken(name)} is {theirs.dtype} {theirs.shape}; expected {ours.dtype} {ours.shape}"
        elif not np.array_equal(expected[name], found[name]):
            yield f"{_spoken(name)} is not what the network's description tells of"


def _spoken(name: str) -> str:
    """``layer/1/neuron/vDecay`` as ``layer 1: neuron/vDecay``; other paths with a leading ``/``."""
    first, *rest = name.split("/")
    return f"layer {rest[0]}: {'/'.join(rest[1:])}" if first == "layer" and len(rest) > 1 else f"/{name}"


def _missing(name: str) -> str:
    """``layer/1/weight`` as ``layer 1 has no weight``."""
    _, layer, rest = name.split("/", 2)
    return f"layer {layer} has no {rest}"


def _about(found: Arrays, key: str) -> str:
    array = found.get(f"bitspike/{key}")
    if array is None or array.dtype.kind != "S" or array.shape != ():
        raise BitspikeError(f"/bitspike/{key} is missing or no text")
    return bytes(array[()]).decode("ascii")


def _text(value: str) -> npt.NDArray[np.bytes_]:
    return np.array(value.encode("ascii"))


def _sha256(array: npt.NDArray[Any]) -> str:
    state = hashlib.sha256(f"{array.dtype.str} {array.shape}:".encode())
    state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
