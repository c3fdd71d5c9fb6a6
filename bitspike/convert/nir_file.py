"""NIR files (HDF5) that carry the network's integers and read as a usual spiking network everywhere else.

=================================  =========  ===========================================================
entry                              type       contents
=================================  =========  ===========================================================
``/version``                       text       version of the package `nir` that wrote the file
``/node/nodes/<name>/...``         floats     the graph: see :mod:`bitspike.convert.nir_graph`
``/node/edges``                    text       (edges, 2)
``/node/metadata/format``          text       ``bitspike.nir``
``/node/metadata/format_version``  text       ``2``
``/node/metadata/form``            text       ``exact`` or ``portable``
``/node/metadata/dt``              float64    seconds a step
``/node/metadata/reset``           text       ``zero``: what the neurons of the graph do
``/node/metadata/soft_reset``      text       ``encoded`` where populations reset by subtraction, else ``none``
``/node/metadata/discretisation``  text       ``euler, synapse first``
``/node/metadata/semantics``       text       the lattice, in one line
``/node/metadata/network``         JSON       see :func:`~bitspike.convert.description.describe`
``/node/metadata/arrays/<name>``   integers   see :func:`~bitspike.convert.description.arrays_of`
``/node/metadata/digest``          text       the network's `digest()`
=================================  =========  ===========================================================

The exact form has the nodes that say most plainly what the network is; the portable form only those that Norse,
SpikingJelly and snnTorch share, with the parameters that each of them honours (:mod:`bitspike.convert.nir_neurons`).
Both carry the integers, so either reads back as the network it was. A reader of ours takes the integers, builds the
graph again and refuses any difference, by the name of the node.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bitspike.convert.description import arrays_of, description_text, network_from
from bitspike.convert.hdf5_file import datasets, in_one_line, text_of
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.nir_checks import find_faults, metadata_faults
from bitspike.convert.nir_form import DT, NirForm
from bitspike.convert.nir_graph import fields_of, nodes_and_edges, numbers_in_nodes
from bitspike.convert.nir_neurons import is_soft
from bitspike.convert.rules import check
from bitspike.errors import BitspikeError, FileError, UnsupportedError
from bitspike.files import existing_file, replacing

if TYPE_CHECKING:
    import nir

FORMAT = "bitspike.nir"
VERSION = "2"
DISCRETISATION = "euler, synapse first"
SEMANTICS = (
    "states in 1/64 weight unit; decays in 1/4096, each decayed state truncated toward zero; "
    "spike where v > vth, strict; reset in the same step; see metadata network and arrays"
)
_FORMS = {False: "exact", True: "portable"}
_KEYS = ("dt", "form", "reset", "soft_reset", "network", "arrays")


def build(network: IntegerNetwork, form: NirForm | None = None) -> "nir.NIRGraph":
    """The graph of `network`, with the integers in its metadata.

    Raises:
        NetworkError: where the network is not legal.
        UnsupportedError: naming the population or connection that NIR, or a portable file, cannot say exactly.
    """
    import nir

    form = form or NirForm()
    nodes, edges = nodes_and_edges(check(network), form)
    metadata = {
        "format": FORMAT,
        "format_version": VERSION,
        "form": _FORMS[form.portable],
        "dt": float(form.dt),
        "reset": "zero",
        "soft_reset": "encoded" if any(is_soft(network, p) for p in network.populations) else "none",
        "discretisation": DISCRETISATION,
        "semantics": SEMANTICS,
        "network": description_text(network),
        "arrays": arrays_of(network),
        "digest": network.digest(),
    }
    faults = [*find_faults(nodes, np.float64 if form.portable else np.float32), *metadata_faults(metadata)]
    if faults:
        raise UnsupportedError("; ".join(faults))
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def write(
    network: IntegerNetwork,
    path: str | os.PathLike[str],
    dt: float = DT,
    *,
    portable: bool = False,
    encode_soft_reset: bool = False,
) -> None:
    """Write `network` to `path`, read it back, and compare for equality; only then does the file appear.

    Args:
        network: a legal network.
        path: where to.
        dt: seconds a step. snnTorch takes every file for 1e-4.
        portable: only what Norse, SpikingJelly and snnTorch share.
        encode_soft_reset: write a reset by subtraction as an integrator, a threshold and a feedback.

    Raises:
        UnsupportedError, UsageError, NetworkError: as :func:`build`.
        FileError: where the file cannot be written or does not read back.
    """
    import nir

    graph = build(network, NirForm(dt=dt, portable=portable, soft_reset=encode_soft_reset))
    with replacing(path) as temporary:
        with _in_order():
            nir.write(temporary, graph)
        with in_one_line(path, "NIR"):
            if _load(temporary, ours=True) != network:
                raise FileError(path, "does not read back as the network that was written")


@contextmanager
def _in_order() -> Iterator[None]:
    """Have HDF5 keep the nodes in the order in which a step computes them, not in that of their names.

    nirtorch takes nodes as they come: in another order it closes a loop over several populations in another place.
    """
    import h5py

    settings = h5py.get_config()
    before = settings.track_order
    settings.track_order = True
    try:
        yield
    finally:
        settings.track_order = before


def read(path: str | os.PathLike[str]) -> IntegerNetwork:
    """Read a NIR file that :func:`write` wrote.

    Raises:
        FileError: in one line, for a NIR file from elsewhere (it carries no integers), a changed node, edge or
            description, a damaged file, or one that links to other files.
    """
    found = existing_file(path)
    with in_one_line(path, "NIR"):
        return _load(found)


def _load(path: Path, *, ours: bool = False) -> IntegerNetwork:
    import nir

    with datasets(path, ours=ours) as entries:
        if "node/type" not in entries:
            raise BitspikeError("is not a NIR file (it has no /node/type)")
        if "node/metadata/format" not in entries or text_of(entries["node/metadata/format"]) != FORMAT:
            raise BitspikeError("is a NIR file that carries no bitspike integers; expected one that bitspike exported")
        version = text_of(entries["node/metadata/format_version"])
        if version != VERSION:
            raise BitspikeError(f"version {version!r}; this bitspike reads {VERSION!r}")
    with np.errstate(all="ignore"):  # nir divides by whatever stride it finds
        graph = nir.read(path, type_check=False)
    if not isinstance(graph, nir.NIRGraph):
        raise BitspikeError(f"holds a single {type(graph).__name__}; expected a graph")
    metadata = graph.metadata
    for key in _KEYS:
        if key not in metadata:
            raise BitspikeError(f"metadata {key} is missing")
    network = network_from(metadata["network"], dict(metadata["arrays"]))
    if metadata["form"] not in _FORMS.values():
        raise BitspikeError(f"metadata form {metadata['form']!r}; expected {' or '.join(_FORMS.values())}")
    form = NirForm(
        dt=float(metadata["dt"]),
        portable=metadata["form"] == "portable",
        soft_reset=metadata["soft_reset"] == "encoded",
    )
    _refuse_small(network, form, graph)
    expected = build(network, form)
    for fault in _differences(expected, graph):
        raise BitspikeError(fault)
    return network


def _refuse_small(network: IntegerNetwork, form: NirForm, graph: "nir.NIRGraph") -> None:
    """Refuse a file whose network would be larger as a graph than the nodes that the file has.

    The graph is built for comparison, and a small description can ask for a large one.
    """
    nodes = graph.nodes.values()
    held = sum(value.size for node in nodes for value in fields_of(node).values() if isinstance(value, np.ndarray))
    needed = numbers_in_nodes(network, form)
    if needed > held:
        raise BitspikeError(f"its network needs {needed} numbers in its nodes, which hold {held}")


def _differences(expected: "nir.NIRGraph", found: "nir.NIRGraph") -> Iterator[str]:
    for name in sorted({*expected.nodes, *found.nodes}):
        if name not in found.nodes:
            yield f"node {name} is missing"
            return
        if name not in expected.nodes:
            yield f"node {name} does not belong to the network"
            return
        ours, theirs = fields_of(expected.nodes[name]), fields_of(found.nodes[name])
        for key in sorted({*ours, *theirs}):
            if not _same(ours.get(key), theirs.get(key)):
                yield f"node {name}: {key} is not what the network's description tells of"
    for source, target in sorted({*expected.edges, *found.edges}):
        if (source, target) not in found.edges:
            yield f"edge {source} -> {target} is missing"
        elif (source, target) not in expected.edges:
            yield f"edge {source} -> {target} does not belong to the network"
    if list(expected.edges) != list(found.edges):
        yield "the edges are not in the order in which they were written"
    for key in sorted({*expected.metadata, *found.metadata} - {"arrays"}):
        if not _same(expected.metadata.get(key), found.metadata.get(key)):
            yield f"metadata {key} is not what belongs to the network in this file"


def _same(left: object, right: object) -> bool:
    """Equality of two fields; a file gives numbers of numpy's types where ours are Python's."""
    if isinstance(left, str) or isinstance(right, str) or left is None or right is None:
        return bool(left == right) if type(left) is type(right) else False
    one, other = np.asarray(left), np.asarray(right)
    return one.dtype == other.dtype and one.shape == other.shape and bool(np.array_equal(one, other))
