"""From a snnTorch model to a float network: the graph that every step of a run computes, or one line why there is none.

Rules:

1. The model is run on a sample and its numbers are followed (:mod:`bitspike.convert.snntorch_run`). Step t of a
   population is the call t of its module; populations that are called less or more often than others are refused.
2. What enters a population is written as a tree: sums, factors and linear modules, down to spikes of populations, each
   so many steps old, and the sample. The tree must be the same in every step, but for spikes of before the first step.
3. Modules that normalise in evaluation mode are a gain and a bias for each channel.
4. A module that ends in no population, such as a last ``Linear``, feeds a read-out that sums it up over the steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.convert.floating.network import Edge, FloatNetwork
from bitspike.convert.floating.nodes import Convolution, FloatInput, Neurons, Node, Scale
from bitspike.convert.snntorch_neurons import read_linear, read_neurons, read_recurrent
from bitspike.convert.snntorch_run import run_traced
from bitspike.convert.snntorch_trace import NeuronCall, Trace
from bitspike.convert.snntorch_tree import Branch, Leaf, Tree, TreeReader, leaves
from bitspike.errors import UnsupportedError, UsageError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TracedModel:
    """A model that was read.

    Attributes:
        network: what it computes.
        inputs: the numbers that it was run on, (samples, steps, numbers).
        spikes: its own spikes in that run by population, (samples, steps, neurons), uint8.
    """

    network: FloatNetwork
    inputs: npt.NDArray[np.float64]
    spikes: Mapping[str, npt.NDArray[np.uint8]]


def trace_snntorch(model: nn.Module, sample: Tensor | Sequence[int], *, name: str = "") -> TracedModel:
    """Read a snnTorch model.

    Args:
        model: a ``Sequential`` of neurons with ``init_hidden=True``, a module that loops over steps, or one that
            computes a single step and hands its states on.
        sample: what the model takes: a tensor whose first axis, or first axis beside that of time, is the batch; or a
            shape, for random spikes of it.
        name: of the network; by default that of the model's class.

    Raises:
        UsageError: the model fails on the sample, or is not a module.
        UnsupportedError: something in it that a float network cannot say, by name.
        MissingDependencyError: snnTorch is not installed.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model of type {type(model).__name__}; expected a torch module")
    tensor = _sample(model, sample)
    trace = run_traced(model, tensor)
    reader = _Reader(trace)
    network = reader.network(name or type(model).__name__)
    return TracedModel(network=network, inputs=reader.inputs(tensor), spikes=reader.spikes())


def _sample(model: nn.Module, sample: Tensor | Sequence[int]) -> Tensor:
    like = next(iter(model.parameters()), torch.zeros(0))
    if isinstance(sample, Tensor):
        if not sample.is_floating_point():
            sample = sample.to(torch.float32)
        return sample.detach().to(like.device)
    try:
        shape = tuple(int(extent) for extent in sample)
    except (TypeError, ValueError):
        raise UsageError(f"sample {type(sample).__name__}; expected a tensor or a shape") from None
    if not shape or min(shape) < 1:
        raise UsageError(f"sample of shape {shape}; expected a batch of at least one number")
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(shape, generator=generator) < 0.5).to(like)


@dataclass(slots=True, eq=False)
class _Graph:
    """Nodes and edges while they are collected."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    made: dict[Tree, str] = field(default_factory=dict)

    def name(self, wanted: str) -> str:
        """`wanted`, or with a number where a node has that name."""
        taken = {node.name for node in self.nodes}
        count, name = 2, wanted
        while name in taken:
            name, count = f"{wanted}_{count}", count + 1
        return name


class _Reader:
    """One trace, read."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.calls: dict[str, list[NeuronCall]] = {}
        for call in trace.calls:
            self.calls.setdefault(call.label, []).append(call)
        counts = {label: len(calls) for label, calls in self.calls.items()}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{label} {count}" for label, count in counts.items())
            raise UnsupportedError(f"calls of neurons in one run: {found}; expected one of each in a step")
        self.steps = next(iter(counts.values()))
        self.reader = TreeReader(trace, self.steps)
        self.notes: list[str] = []

    def network(self, name: str) -> FloatNetwork:
        """The float network; rules 2 to 4."""
        trees = {label: self._steady(label, calls) for label, calls in self.calls.items()}
        heads = self._heads(trees)
        graph = _Graph()
        graph.nodes.append(FloatInput(name="input", extents=self.reader.sample_shape()))
        used = {leaf.label for tree in trees.values() for leaf in leaves(tree) if leaf.kind == "spk"}
        for label, calls in self.calls.items():
            shape = tuple(calls[0].input.shape[1:])
            into = self._emit(graph, trees[label])
            module: Any = calls[0].module
            read = label in used or self._returned(label, "spk") or hasattr(module, "recurrent")
            spiking = read or module.reset_mechanism != "none"
            if not spiking:
                self.notes.append(f"{label}: nothing reads its spikes, so it is a read-out by its membrane")
            elif label in heads and not read:
                raise UnsupportedError(
                    f"{label}: the model returns its membrane, and it spikes and resets; expected its spikes, or "
                    "reset_mechanism='none'"
                )
            neurons = read_neurons(label, module, shape, spiking=spiking)
            recurrent = read_recurrent(label, module, shape)
            if recurrent is not None:
                graph.nodes.append(recurrent)
                graph.edges.append(Edge(source=label, target=recurrent.name, delay=1))
                into.append((recurrent.name, 0))
            graph.nodes.append(neurons)
            graph.edges += [Edge(source=source, target=label, delay=delay) for source, delay in into]
            self._convention(label, module)
        outputs = tuple(heads) or self._sums(graph)
        if self.reader.static:
            self.notes.append("the model is shown the same sample in every step")
        return FloatNetwork(
            name=name, nodes=tuple(graph.nodes), edges=tuple(graph.edges), outputs=outputs, notes=tuple(self.notes)
        )

    def inputs(self, sample: Tensor) -> npt.NDArray[np.float64]:
        """The sample as (samples, steps, numbers)."""
        flat = sample.detach().cpu().double().numpy().reshape(-1)
        places = self.reader.sample_places()
        return flat[places]

    def spikes(self) -> dict[str, npt.NDArray[np.uint8]]:
        """What the model's own neurons sent."""
        return {
            label: np.stack([c.spikes.cpu().numpy().reshape(len(c.spikes), -1) for c in calls], axis=1).astype(np.uint8)
            for label, calls in self.calls.items()
        }

    def _steady(self, label: str, calls: list[NeuronCall]) -> Tree:
        """The tree of the last step, after it was found in all others."""
        trees = [self.reader.read(call.input, step, f"the input of {label}") for step, call in enumerate(calls)]
        steady = trees[-1]
        for step, tree in enumerate(trees):
            if tree != self.reader.early(steady, step):
                early, late = self.reader.show(tree), self.reader.show(steady)
                raise UnsupportedError(
                    f"{label}: step {step} computes {early}, the last step {late}; expected the same in every step"
                )
        return steady

    def _emit(self, graph: _Graph, tree: Tree) -> list[tuple[str, int]]:
        """Nodes for a tree; what its root is the sum of: names and delays."""
        if isinstance(tree, Leaf):
            name = "input" if tree.kind == "sample" else tree.label
            return [(name, tree.delay)]
        if tree.kind == "sum":
            return [end for part in tree.parts for end in self._emit(graph, part)]
        if tree not in graph.made:
            into = [end for part in tree.parts for end in self._emit(graph, part)]
            node = self._node(graph, tree)
            graph.nodes.append(node)
            graph.edges += [Edge(source=source, target=node.name, delay=delay) for source, delay in into]
            graph.made[tree] = node.name
        return [(graph.made[tree], 0)]

    def _node(self, graph: _Graph, tree: Branch) -> Node:
        if tree.kind == "scaled":
            factor = np.frombuffer(tree.factor, np.float64)
            return Scale(name=graph.name("scale"), extents=tree.shape, factor=factor.reshape(tree.shape))
        node = read_linear(graph.name(tree.label), self.reader.modules[tree.label], tree.entering)
        if isinstance(node, Convolution) and isinstance(
            self.reader.modules[tree.label], nn.BatchNorm1d | nn.BatchNorm2d
        ):
            self.notes.append(f"{tree.label}: its running statistics are a gain and a bias for each channel")
        return node

    def _heads(self, trees: Mapping[str, Tree]) -> list[str]:
        """The populations that are returned and feed no other that is."""
        returned = [label for label in self.calls if self._returned(label, "spk") or self._returned(label, "mem")]
        feeding: dict[str, set[str]] = {label: set() for label in trees}
        for label, tree in trees.items():
            for leaf in leaves(tree):
                if leaf.label in feeding and leaf.label != label and leaf.delay == 0:
                    feeding[leaf.label].add(label)
        return [label for label in returned if not _reach(feeding, label) & set(returned)]

    def _returned(self, label: str, port: str) -> bool:
        return any((s.kind, s.label, s.port) == ("neurons", label, port) for s in self.reader.returned())

    def _sums(self, graph: _Graph) -> tuple[str, ...]:
        """Rule 4."""
        last = max((s for s in self.reader.returned() if s.kind == "linear"), key=lambda s: s.call, default=None)
        if last is None or last.shape[0] != self.reader.batch:
            raise UnsupportedError("the model returns nothing that its neurons made; expected spikes or membranes")
        tree = self.reader.read(last.places(), self.steps - 1, "what the model returns")
        into = self._emit(graph, tree)
        size = graph.nodes[-1].size
        graph.nodes.append(Neurons(name=graph.name("readout"), extents=(size,), beta=1.0, spiking=False, reset="none"))
        name = graph.nodes[-1].name
        graph.edges += [Edge(source=source, target=name, delay=delay) for source, delay in into]
        self.notes.append(f"{last.label}: what it returns is summed up over the steps by the read-out {name}")
        return (name,)

    def _convention(self, label: str, module: Any) -> None:
        kind, reset = type(module).__name__, module.reset_mechanism
        when = "a step after" if module.reset_delay else "in the step of"
        text = f"{label}: {kind}, " + ("no reset" if reset == "none" else f"reset {reset} {when} the spike")
        if kind == "RSynaptic" and not module.reset_delay:
            text += " (as snnTorch computes it, a step after)"
        self.notes.append(text)


def _reach(feeding: Mapping[str, set[str]], label: str) -> set[str]:
    found: set[str] = set()
    todo = [label]
    while todo:
        for after in feeding[todo.pop()] - found:
            found.add(after)
            todo.append(after)
    return found
