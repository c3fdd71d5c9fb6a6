"""NIR files (HDF5) that carry the network's integers and read as a usual spiking network everywhere else.

=================================  =========  ===========================================================
entry                              type       contents
=================================  =========  ===========================================================
``/version``                       text       version of the package `nir` that wrote the file
``/node/nodes/<name>/...``         float32    the graph: see :mod:`bitspike.convert.nir_graph`
``/node/edges``                    text       (edges, 2)
``/node/metadata/format``          text       ``bitspike.nir``
``/node/metadata/format_version``  text       ``1``
``/node/metadata/dt``              float64    seconds a step
``/node/metadata/reset``           text       ``zero``
``/node/metadata/discretisation``  text       ``euler, synapse first``
``/node/metadata/network``         JSON       see :func:`~bitspike.convert.description.describe`
``/node/metadata/digest``          text       the network's `digest()`
``/node/metadata/sha256``          JSON       SHA-256 of type and fields of each node, by name
=================================  =========  ===========================================================

Weights and biases stand in the nodes only, as 32-bit floats that hold them exactly: weights -256..255 shifted by up to
7, biases of at most 19 bits and sign in 1/64, or divided by `dv` with an error far below half a unit. Everything else
stands twice. A reader of ours takes the integers, builds the graph again and refuses any difference, by the name of the
node. `start` is in the JSON alone; where it matters to a plain reader, the network is not written.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.description import Arrays, description_text, network_from
from bitspike.convert.hdf5_file import datasets, in_one_line, text_of
from bitspike.convert.network import DECAY_ONE, STATE_SHIFT, IntegerNetwork
from bitspike.convert.nir_graph import connection_names, fields_of, find_faults, nodes_and_edges
from bitspike.convert.rules import EXPONENTS, check
from bitspike.convert.weights import BIT_VALUES, BinaryWeights
from bitspike.errors import BitspikeError, FileError, UnsupportedError
from bitspike.files import existing_file, replacing

if TYPE_CHECKING:
    import nir

Integers = npt.NDArray[np.int64]
FORMAT = "bitspike.nir"
VERSION = "1"
DT = 1e-4
RESET = "zero"
DISCRETISATION = "euler, synapse first"


def build(network: IntegerNetwork, dt: float = DT) -> "nir.NIRGraph":
    """The graph of `network` with a step of `dt` seconds.

    Raises:
        NetworkError: where the network is not legal.
        UsageError: for a `dt` outside 1e-9..1e3 seconds.
        UnsupportedError: naming the population that NIR cannot say exactly: reset by subtraction; du 0; dv 0 with du
            below 4096; no connection into it; a start that clears a state (a bias in a retimed network).
    """
    import nir

    nodes, edges = nodes_and_edges(check(network), dt)
    faults = list(find_faults(nodes))
    if faults:
        raise UnsupportedError("; ".join(faults))
    metadata = {
        "format": FORMAT,
        "format_version": VERSION,
        "dt": float(dt),
        "reset": RESET,
        "discretisation": DISCRETISATION,
        "network": description_text(network),
        "digest": network.digest(),
        "sha256": _canonical({name: _digest(node) for name, node in nodes.items()}),
    }
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def write(network: IntegerNetwork, path: str | os.PathLike[str], dt: float = DT) -> None:
    """Write `network` to `path`, read it back, and compare for equality; only then does the file appear.

    Raises:
        UnsupportedError, UsageError, NetworkError: as :func:`build`.
        FileError: where the file cannot be written or does not read back.
    """
    import nir

    graph = build(network, dt)
    with replacing(path) as temporary:
        nir.write(temporary, graph)
        with in_one_line(path, "NIR"):
            if _load(temporary) != network:
                raise FileError(path, "does not read back as the network that was written")


def read(path: str | os.PathLike[str]) -> IntegerNetwork:
    """Read a NIR file that :func:`write` wrote.

    Raises:
        FileError: in one line, for a NIR file from elsewhere (it carries no integers), a changed node, edge or
            description, a damaged file, or one that links to other files.
    """
    found = existing_file(path)
    with in_one_line(path, "NIR"):
        return _load(found)


def _load(path: Path) -> IntegerNetwork:
    import nir

    with datasets(path) as entries:
        if "node/type" not in entries:
            raise BitspikeError("is not a NIR file (it has no /node/type)")
        if "node/metadata/format" not in entries or text_of(entries["node/metadata/format"]) != FORMAT:
            raise BitspikeError("is a NIR file that carries no bitspike integers; expected one that bitspike exported")
        version = text_of(entries["node/metadata/format_version"])
        if version != VERSION:
            raise BitspikeError(f"version {version!r}; this bitspike reads {VERSION!r}")
    graph = nir.read(path, type_check=False)
    if not isinstance(graph, nir.NIRGraph):
        raise BitspikeError(f"holds a single {type(graph).__name__}; expected a graph")
    metadata = graph.metadata
    for key in ("dt", "network", "sha256"):
        if key not in metadata:
            raise BitspikeError(f"metadata {key} is missing")
    _compare_digests(graph, json.loads(metadata["sha256"]))
    try:
        arrays = _arrays(graph, json.loads(metadata["network"]))
    except KeyError as error:
        raise BitspikeError(f"the network's description lacks {error}") from None
    network = network_from(metadata["network"], arrays)
    expected = build(network, float(metadata["dt"]))
    _compare_nodes(expected, graph)
    _compare_edges(expected, graph)
    for key in sorted({*expected.metadata, *metadata}):
        if not _same(expected.metadata.get(key), metadata.get(key)):
            raise BitspikeError(f"metadata {key} is not what belongs to the network in this file")
    return network


def _arrays(graph: "nir.NIRGraph", description: dict[str, Any]) -> Arrays:
    """The integers of the nodes, under the names that :func:`~bitspike.convert.description.network_from` expects."""
    populations, connections = description["populations"], description["connections"]
    taken = [description["input"]["name"], *(p["name"] for p in populations)]
    names = connection_names(taken, [(c["source"], c["target"], c["delay"]) for c in connections])
    arrays: Arrays = {}
    first: dict[str, str] = {}
    for index, (c, name) in enumerate(zip(connections, names, strict=True)):
        first.setdefault(c["target"], name)
        values = _integers(name, "weight", _node(graph, name).weight, c["exponent"])
        if c["kind"] == "int":
            arrays[f"{index}.values"] = _narrow(name, values, np.int16)
        else:
            low, high = BIT_VALUES[c["kind"]]
            arrays[f"{index}.words"] = BinaryWeights.pack(values, low=low, high=high).words
    for p in populations:
        name, scale = p["name"], float(1 << STATE_SHIFT)
        if p["du"] == DECAY_ONE:
            name = first[name]
            bias = getattr(_node(graph, name), "bias", None)
        else:
            bias, scale = _node(graph, name).v_leak, scale * p["dv"] / DECAY_ONE
        if bias is None:
            bias = np.zeros(_node(graph, name).weight.shape[:1])
        units = np.rint(np.asarray(bias, np.float64) * scale)
        values = _integers(name, "bias", units, p["bias_exponent"])
        arrays[f"{p['name']}.bias"] = _narrow(name, values, np.int32)
    return arrays


def _integers(name: str, field: str, values: Any, exponent: int) -> Integers:
    """``values / 2^exponent`` as integers; BitspikeError where they are none."""
    if exponent not in EXPONENTS:
        raise BitspikeError(f"node {name}: exponent {exponent!r}; expected 0..7")
    scaled = np.asarray(values, np.float64) / (1 << exponent)
    if not bool(np.all(np.isfinite(scaled) & (scaled == np.rint(scaled)) & (np.abs(scaled) < 1 << 31))):
        raise BitspikeError(f"node {name}: {field} is not the integers that the network's description tells of")
    return scaled.astype(np.int64)


def _narrow(name: str, values: Integers, dtype: type[np.signedinteger[Any]]) -> npt.NDArray[Any]:
    narrow = values.astype(dtype)
    if not np.array_equal(narrow, values):
        raise BitspikeError(f"node {name}: values beyond {np.dtype(dtype)}")
    return narrow


def _node(graph: "nir.NIRGraph", name: str) -> Any:
    if name not in graph.nodes:
        raise BitspikeError(f"node {name} is missing")
    return graph.nodes[name]


def _compare_digests(graph: "nir.NIRGraph", expected: dict[str, str]) -> None:
    for name in sorted({*expected, *graph.nodes}):
        if name not in expected:
            raise BitspikeError(f"node {name} does not belong to the network")
        if _digest(_node(graph, name)) != expected[name]:
            raise BitspikeError(f"node {name} is not what was written")


def _compare_nodes(expected: "nir.NIRGraph", found: "nir.NIRGraph") -> None:
    for name in sorted({*expected.nodes, *found.nodes}):
        if name not in expected.nodes:
            raise BitspikeError(f"node {name} does not belong to the network")
        ours, theirs = fields_of(expected.nodes[name]), fields_of(_node(found, name))
        for key in sorted({*ours, *theirs}):
            if not _same(ours.get(key), theirs.get(key)):
                raise BitspikeError(f"node {name}: {key} is not what the network's description tells of")


def _compare_edges(expected: "nir.NIRGraph", found: "nir.NIRGraph") -> None:
    for source, target in sorted({*expected.edges, *found.edges}):
        missing = (source, target) not in found.edges
        if missing or (source, target) not in expected.edges:
            problem = "is missing" if missing else "does not belong to the network"
            raise BitspikeError(f"edge {source} -> {target} {problem}")
    if list(expected.edges) != list(found.edges):
        raise BitspikeError("the edges are not in the order in which they were written")


def _same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and bool(np.array_equal(left, right))
    return not isinstance(left, np.ndarray) and not isinstance(right, np.ndarray) and bool(left == right)


def _digest(node: Any) -> str:
    """SHA-256 over the type and the fields of a node."""
    state = hashlib.sha256()
    for key, value in sorted(fields_of(node).items()):
        if isinstance(value, np.ndarray):
            state.update(f"{key} {value.dtype.str} {value.shape}:".encode())
            state.update(np.ascontiguousarray(value).tobytes())
        else:
            state.update(f"{key} {value!r};".encode())
    return state.hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
