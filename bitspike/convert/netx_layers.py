"""The layers of a NetX file that we write: from the populations of a chain and back.

Rules:

1. Layer 0 is the input, without neurons; each population then is a layer, fed by the one before it alone.
2. A dense connection is a layer ``dense``; with another from the population to itself, a step late, ``dense_rec``.
3. A convolution is a layer ``conv``; a sum pool is one too, in as many groups as there are channels, because NetX has
   no pools that it can load.
4. Between a convolution and a dense layer comes a layer ``flatten``. NetX flattens in C order of (channels, height,
   width), as our populations are.
5. Biases are one a neuron; of a convolution one a channel where all of its neurons have the same, else in NetX's order
   (width, height, channels).
6. A delay is one number of a dense layer. NetX leaves the delay of a convolution out, and gives one of a recurrent
   layer to both of its matrices, so these are refused.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.connections import Connection, Conv2d, Dense, Windowed
from bitspike.convert.json_values import Arrays
from bitspike.convert.network import STATE_SHIFT, IntegerNetwork, Population
from bitspike.convert.netx_weights import refuse_changed
from bitspike.convert.rules import BIAS_MANTISSA, EXPONENTS, MAX_NEURONS
from bitspike.convert.weights import BIT_VALUES, BinaryWeights
from bitspike.errors import BitspikeError, UnsupportedError

Integers = npt.NDArray[np.int64]
WINDOWED = ("conv", "pool")


def numbers(kinds: Sequence[str]) -> list[int]:
    """The layer of each population, by the kinds of the connections that feed them from the one before (rule 4)."""
    found, number = [], 0
    for before, kind in zip(["dense", *kinds], kinds, strict=False):
        number += 2 if before in WINDOWED and kind not in WINDOWED else 1
        found.append(number)
    return found


def feeding(network: IntegerNetwork) -> list[tuple[Connection, Dense | None]]:
    """For each population the connection from the one before it, and the one to itself where there is one.

    Raises:
        UnsupportedError: naming the population or connection by which the network is not such a chain.
    """
    found: list[tuple[Connection, Dense | None]] = []
    source = network.input.name
    for p in network.populations:
        own = [c for c in network.incoming(p.name) if c.source == p.name]
        others = [c for c in network.incoming(p.name) if c.source != p.name]
        if [c.source for c in others] != [source]:
            names = ", ".join(c.source for c in others) or "nothing"
            raise UnsupportedError(
                f"population {p.name}: fed by {names}; NetX is written as a chain, and expects {source} alone"
            )
        recurrent = own[0] if own else None
        if recurrent is not None and (len(own) > 1 or recurrent.delay != 1 or not isinstance(recurrent, Dense)):
            raise UnsupportedError(f"connection {recurrent.name}: NetX has one dense one to itself, of delay 1")
        _refuse(others[0], recurrent, found[-1][0] if found else None)
        found.append((others[0], recurrent))
        source = p.name
    return found


def _refuse(c: Connection, recurrent: Dense | None, before: Connection | None) -> None:
    """Rules 2, 3 and 6, for the connection `c` into a layer that follows the one that `before` leads to."""
    if not isinstance(c, Dense | Windowed):
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; NetX has dense and conv")
    if isinstance(c, Windowed):
        if recurrent is not None:
            raise UnsupportedError(f"connection {recurrent.name}: recurrent after a convolution; NetX has dense ones")
        if isinstance(before, Dense):
            raise UnsupportedError(f"connection {c.name}: a convolution after a dense layer; NetX has only the reverse")
        if c.delay:
            raise UnsupportedError(f"connection {c.name}: delay {c.delay} of a convolution, which NetX leaves out")
    elif recurrent is not None and c.delay:
        raise UnsupportedError(f"connection {c.name}: delay {c.delay} into a recurrent layer, which NetX delays, too")


def layer_entries(network: IntegerNetwork) -> Arrays:
    """The datasets of all layers, by path.

    Raises:
        UnsupportedError: naming the population or connection that NetX cannot say.
    """
    chain = feeding(network)
    first = chain[0][0]
    shape = first.source_shape if isinstance(first, Windowed) else (network.input.size,)
    entries: Arrays = {"layer/0/type": text("input"), "layer/0/shape": np.array(shape)}
    layers = numbers([c.kind for c, _ in chain])
    for number, p, (c, recurrent) in zip(layers, network.populations, chain, strict=True):
        if f"layer/{number - 1}/type" not in entries:
            source = np.array([c.shape[1]])
            entries |= {f"layer/{number - 1}/type": text("flatten"), f"layer/{number - 1}/shape": source}
        layer = _synapses(c, recurrent) | _neurons(p)
        bias = _bias(p, windowed=isinstance(c, Windowed))
        if bias is not None:
            layer["bias"] = bias
        entries |= {f"layer/{number}/{key}": array for key, array in layer.items()}
    return entries


def _synapses(c: Connection, recurrent: Dense | None) -> Arrays:
    if isinstance(c, Dense):
        refuse_changed(c.name, c.effective(), *([recurrent.effective()] if recurrent is not None else []))
        found = {"shape": np.array([c.shape[0]]), "weight": c.effective().astype(np.int16)}
        if c.delay:
            found["delay"] = np.array(c.delay)
        if recurrent is None:
            return {"type": text("dense")} | found
        return {"type": text("dense_rec"), "weight_rec": recurrent.effective().astype(np.int16)} | found
    if not isinstance(c, Windowed):
        raise UnsupportedError(f"connection {c.name}: of kind {c.kind}; NetX has dense and conv")
    if isinstance(c, Conv2d):
        kernels, groups = c.kernels(), c.groups
    else:
        groups = c.target_channels
        kernels = np.full((groups, 1, *c.window), 1 << c.exponent, np.int64)
    geometry = {key: np.array(getattr(c, key)) for key in ("stride", "padding", "dilation")}
    return {
        "type": text("conv"),
        "shape": np.array(c.target_shape),
        "weight": kernels.astype(np.int16),
        "groups": np.array(groups),
        **geometry,
    }


def _neurons(p: Population) -> Arrays:
    where = f"population {p.name}"
    if p.start:
        raise UnsupportedError(f"{where}: start {p.start}; NetX has none: export the network before it is retimed")
    if p.reset != "zero" and p.spiking:
        raise UnsupportedError(f"{where}: reset {p.reset!r}; Lava's neuron has only a reset to zero")
    return {
        "neuron/type": text("CUBA"),
        "neuron/iDecay": np.array(p.du),
        "neuron/vDecay": np.array(p.dv),
        "neuron/vThMant": np.array(p.vth),
        "neuron/refDelay": np.array(1),
        "neuron/gradedSpike": np.array(False),
    }


def _bias(p: Population, *, windowed: bool) -> npt.NDArray[np.int32] | None:
    """Rule 5, in weight units; None where all are 0."""
    if not np.any(p.bias_mantissa):
        return None
    low, high = int(p.bias.min(initial=0)) >> STATE_SHIFT, int(p.bias.max(initial=0)) >> STATE_SHIFT
    if np.any(p.bias % (1 << STATE_SHIFT)) or low < BIAS_MANTISSA[0] or high > BIAS_MANTISSA[1]:
        raise UnsupportedError(
            f"population {p.name}: a bias in parts of a weight unit, or too large; NetX has only the bias exponent 6: "
            "expected multiples of 64 with mantissas in -4096..4095"
        )
    units = (p.bias >> STATE_SHIFT).astype(np.int32)
    if not windowed:
        return units
    in_space = units.reshape(p.shape)
    if np.array_equal(in_space, np.broadcast_to(in_space[:, :1, :1], p.shape)):
        return in_space[:, 0, 0]
    return in_space.transpose(2, 1, 0)


def arrays_of_layers(description: dict[str, Any], found: Arrays) -> Arrays:
    """The integers of the layers, under the names that :func:`~bitspike.convert.description.network_from` expects.

    Raises:
        BitspikeError: naming the entry that is missing or not what the description says.
        KeyError: for what the description lacks.
    """
    populations, connections = description["populations"], description["connections"]
    names = [p["name"] for p in populations]
    kinds = {c["target"]: c["type"] for c in reversed(connections) if c["source"] != c["target"]}
    layers = dict(zip(names, numbers([kinds.get(name, "dense") for name in names]), strict=True))
    arrays: Arrays = {}
    for index, c in enumerate(connections):
        if c["type"] not in ("dense", "conv"):
            continue
        key = f"layer/{layers[c['target']]}/weight" + ("_rec" if c["source"] == c["target"] else "")
        values = _integers(found, key, np.int16, 4 if c["type"] == "conv" else 2)
        mantissas = _shifted(spoken(key), values.reshape(len(values), -1), c["exponent"])
        if c["kind"] == "int":
            arrays[f"{index}.values"] = mantissas.astype(np.int16)
        else:
            low, high = BIT_VALUES[c["kind"]]
            arrays[f"{index}.words"] = BinaryWeights.pack(mantissas, low=low, high=high).words
    total = 0
    for p in populations:
        shape = tuple(p["shape"])
        total += _size(p["name"], shape)
        if total > MAX_NEURONS:
            raise BitspikeError(f"the network's description tells of {total} neurons; expected at most {MAX_NEURONS}")
        key = f"layer/{layers[p['name']]}/bias"
        windowed = kinds.get(p["name"], "dense") in WINDOWED
        units = _units(found, key, shape, windowed=windowed)
        arrays[f"{p['name']}.bias"] = _shifted(spoken(key), units << STATE_SHIFT, p["bias_exponent"]).astype(np.int32)
    return arrays


def _units(found: Arrays, key: str, shape: tuple[int, ...], *, windowed: bool) -> Integers:
    """Biases in weight units, one a neuron in C order."""
    if key not in found:
        return np.zeros(int(np.prod(shape)), np.int64)
    if windowed and found[key].ndim == 3:
        return _integers(found, key, np.int32, 3).transpose(2, 1, 0).ravel()
    units = _integers(found, key, np.int32, 1)
    if windowed and len(shape) == 3 and units.size == shape[0]:
        return np.repeat(units, shape[1] * shape[2])
    return units


def _size(name: object, shape: tuple[Any, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent if type(extent) is int and 0 < extent <= MAX_NEURONS else MAX_NEURONS + 1
    if not shape or size > MAX_NEURONS:
        raise BitspikeError(f"population {name}: shape {shape[:8]}; expected 1 to {MAX_NEURONS} neurons")
    return size


def _shifted(where: str, values: Integers, exponent: Any) -> Integers:
    """``values >> exponent``, which must lose nothing."""
    if exponent not in EXPONENTS:
        raise BitspikeError(f"{where}: exponent {exponent!r}; expected 0..7")
    if bool(np.any(values % (1 << exponent))) or bool(np.any(np.abs(values) >= 1 << 31)):
        raise BitspikeError(f"{where} is not a multiple of 2^{exponent}, as the network's description tells")
    return values >> exponent


def _integers(found: Arrays, name: str, dtype: type[np.generic], dimensions: int) -> Integers:
    if name not in found:
        raise BitspikeError(missing(name))
    array = found[name]
    if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
        expected = f"{np.dtype(dtype)} of {dimensions} dimensions"
        raise BitspikeError(f"{spoken(name)} is {array.dtype} of {array.ndim} dimensions; expected {expected}")
    return array.astype(np.int64)


def differences(expected: Arrays, found: Arrays) -> Iterator[str]:
    """What is missing in `found`, too much, or other than in `expected`, a sentence each."""
    for name in sorted({*expected, *found}):
        if name not in found:
            yield missing(name)
        elif name not in expected:
            yield f"unexpected entry /{name}"
        elif expected[name].dtype != found[name].dtype or expected[name].shape != found[name].shape:
            ours, theirs = expected[name], found[name]
            yield f"{spoken(name)} is {theirs.dtype} {theirs.shape}; expected {ours.dtype} {ours.shape}"
        elif not np.array_equal(expected[name], found[name]):
            yield f"{spoken(name)} is not what the network's description tells of"


def spoken(name: str) -> str:
    """``layer/1/neuron/vDecay`` as ``layer 1: neuron/vDecay``; other paths with a leading ``/``."""
    first, *rest = name.split("/")
    return f"layer {rest[0]}: {'/'.join(rest[1:])}" if first == "layer" and len(rest) > 1 else f"/{name}"


def missing(name: str) -> str:
    """``layer/1/weight`` as ``layer 1 has no weight``."""
    first, *rest = name.split("/")
    if first == "layer" and len(rest) > 1:
        return f"layer {rest[0]} has no {'/'.join(rest[1:])}"
    return f"/{name} is missing"


def text(value: str) -> npt.NDArray[np.bytes_]:
    """A text as a dataset holds it: of fixed length, without dimensions."""
    return np.array(value.encode("ascii"))
