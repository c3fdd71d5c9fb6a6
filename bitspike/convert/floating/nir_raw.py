"""A NIR graph as it stands in a file: nodes, fields and edges, not yet judged.

It is read here and not through the package `nir`, whose nodes refuse with bare assertions what a user must be told in a
line, and whose type check adds to the graph that it is given. What lies in the file and is read is bounded by
:mod:`bitspike.convert.hdf5_file` and by `MAX_NUMBERS`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bitspike.convert.hdf5_file import datasets, in_one_line
from bitspike.errors import BitspikeError
from bitspike.files import existing_file

if TYPE_CHECKING:
    import nir

Tree = dict[str, Any]
#: In a file: half a gigabyte, when they are 64-bit floats.
MAX_NUMBERS = 1 << 26
MAX_NAME = 200
#: Groups within groups in a file: four graphs, one within the other.
MAX_DEPTH = 12

#: Fields of each node of NIR 1.0.8: those that must be there, and those that may be.
NODES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "Input": (("shape",), ()),
        "Output": (("shape",), ()),
        "Affine": (("weight", "bias"), ()),
        "Linear": (("weight",), ()),
        "Scale": (("scale",), ()),
        "Conv1d": (("weight", "stride", "padding", "dilation", "groups", "bias"), ("input_shape",)),
        "Conv2d": (("weight", "stride", "padding", "dilation", "groups", "bias"), ("input_shape",)),
        "SumPool2d": (("kernel_size", "stride", "padding"), ()),
        "AvgPool2d": (("kernel_size", "stride", "padding"), ()),
        "Flatten": (("start_dim", "end_dim"), ("input_type",)),
        "Delay": (("delay",), ()),
        "Threshold": (("threshold",), ()),
        "I": (("r",), ()),
        "IF": (("r", "v_threshold"), ("v_reset",)),
        "LI": (("tau", "r", "v_leak"), ()),
        "LIF": (("tau", "r", "v_leak", "v_threshold"), ("v_reset",)),
        "CubaLI": (("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",)),
        "CubaLIF": (("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"), ("v_reset", "w_in")),
        "NIRGraph": ((), ()),
    }
)
SPIKING = ("IF", "LIF", "CubaLIF")
#: Nodes whose equation is in continuous time: a step of theirs has a length.
TIMED = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Delay")
TIME_CONSTANTS = ("tau", "tau_syn", "tau_mem")


@dataclass(frozen=True, kw_only=True, slots=True)
class RawNode:
    """A node: its type by name, its fields as arrays or texts, and for a graph within the graph that graph."""

    name: str
    type: str
    fields: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    graph: "RawGraph | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RawGraph:
    """Nodes in the order of the file, and edges by name."""

    name: str
    nodes: tuple[RawNode, ...]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]
    version: str = ""

    def walk(self, prefix: str = "") -> Iterator[tuple[str, RawNode]]:
        """All nodes with their full names, graphs within the graph as well as what is in them."""
        for node in self.nodes:
            yield prefix + node.name, node
            if node.graph is not None:
                yield from node.graph.walk(f"{prefix}{node.name}.")


def is_foreign(path: str | os.PathLike[str]) -> bool:
    """Whether a readable HDF5 file lacks the integers of bitspike; True for NIR of other tools."""
    found = existing_file(path)
    with in_one_line(path, "NIR"), datasets(found, max_depth=MAX_DEPTH) as entries:
        stored = entries.get("node/metadata/format")
        return stored is None or _value(stored) != "bitspike.nir"


def read_raw(path: str | os.PathLike[str]) -> RawGraph:
    """Read a file.

    Raises:
        FileError: in one line, for a file that is no NIR, is damaged, points elsewhere, or claims too much.
    """
    found = existing_file(path)
    with in_one_line(path, "NIR"), datasets(found, max_depth=MAX_DEPTH) as entries:
        claimed = sum(int(item.size) for item in entries.values())
        if claimed > MAX_NUMBERS:
            raise BitspikeError(f"holds {claimed:,} numbers; expected at most {MAX_NUMBERS:,}")
        tree = _tree(entries)
        if not isinstance(tree.get("node"), dict):
            raise BitspikeError("is not a NIR file (it has no group /node)")
        version = tree.get("version")
        node = _node(Path(path).stem, tree["node"])
        if node.graph is None:
            raise BitspikeError(f"holds a single {node.type}; expected a graph")
        graph = node.graph
        return RawGraph(
            name=graph.name,
            nodes=graph.nodes,
            edges=graph.edges,
            metadata=graph.metadata,
            version=str(_value(version)) if version is not None and not isinstance(version, dict) else "",
        )


def raw_of(graph: "nir.NIRGraph", name: str = "graph") -> RawGraph:
    """The same of a graph in memory, which is left as it is."""
    nodes = []
    for key, node in graph.nodes.items():
        kind = type(node).__name__
        fields = {k: v for k, v in vars(node).items() if k not in ("input_type", "output_type", "metadata", "name")}
        ports = getattr(node, "output_type" if kind == "Output" else "input_type", None) or {}
        port = next(iter(ports.values()), None)
        if kind in ("Input", "Output"):
            fields = {"shape": port}
        elif kind == "Flatten":
            fields["input_type"] = port
        inner = raw_of(node, key) if kind == "NIRGraph" else None
        nodes.append(
            RawNode(
                name=str(key),
                type=kind,
                fields={} if inner else {k: v for k, v in fields.items() if v is not None},
                metadata=getattr(node, "metadata", None) or {},
                graph=inner,
            )
        )
    edges = tuple((str(a), str(b)) for a, b in graph.edges)
    return RawGraph(name=name, nodes=tuple(nodes), edges=edges, metadata=graph.metadata or {})


def _tree(entries: Mapping[str, Any]) -> Tree:
    tree: Tree = {}
    for path, item in entries.items():
        *groups, last = path.split("/")
        here = tree
        for group in groups:
            here = here.setdefault(group, {})
        here[last] = item
    return tree


def _node(name: str, tree: Tree) -> RawNode:
    if not name.isprintable() or not 0 < len(name) <= MAX_NAME:
        raise BitspikeError(f"a node's name is {name[:40]!r}; expected 1 to {MAX_NAME} printable characters")
    stored = tree.get("type")
    kind = None if stored is None or isinstance(stored, dict) else _value(stored)
    if not isinstance(kind, str):
        raise BitspikeError(f"node {name} has no type")
    metadata = tree.get("metadata", {})
    told = _values(metadata) if isinstance(metadata, dict) else {}
    if kind == "NIRGraph":
        graph = _graph(name, tree, told)
        return RawNode(name=name, type=kind, fields={}, metadata=told, graph=graph)
    fields = {key: _value(item) for key, item in tree.items() if key != "type" and not isinstance(item, dict)}
    return RawNode(name=name, type=kind, fields=fields, metadata=told)


def _graph(name: str, tree: Tree, metadata: Mapping[str, Any]) -> RawGraph:
    nodes = tree.get("nodes", {})
    if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
        raise BitspikeError(f"graph {name}: its nodes are not groups")
    listed = tree.get("edges")
    if listed is None or isinstance(listed, dict):
        raise BitspikeError(f"graph {name} has no edges")
    edges = np.asarray(_value(listed))
    if edges.size and (edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind != "U"):
        raise BitspikeError(f"graph {name}: edges of shape {edges.shape}; expected pairs of names")
    pairs = tuple((str(a), str(b)) for a, b in edges) if edges.size else ()
    found = tuple(_node(key, nodes[key]) for key in sorted(nodes, key=_counted))
    return RawGraph(name=name, nodes=found, edges=pairs, metadata=metadata)


def _counted(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``10`` behind ``9``."""
    return [(len(part), part) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _values(tree: Tree) -> dict[str, Any]:
    return {key: _values(item) if isinstance(item, dict) else _value(item) for key, item in tree.items()}


def _value(dataset: Any) -> Any:
    """A dataset as a text, an array of texts, or an array of numbers (of no axes for one number)."""
    if dataset.dtype.kind in "SO":
        stored = np.asarray(dataset[()])
        texts = [text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in stored.ravel()]
        return texts[0] if stored.ndim == 0 else np.array(texts, dtype=str).reshape(stored.shape)
    return np.asarray(dataset[()])
