"""From places of numbers to trees: what a tensor of a traced run was computed from, relative to its step."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from bitspike.convert.snntorch_trace import SILENT, Source, Trace
from bitspike.errors import UnsupportedError


@dataclass(frozen=True, slots=True)
class Leaf:
    """The sample, or what left a population, `delay` steps ago."""

    kind: str
    label: str
    delay: int


@dataclass(frozen=True, slots=True)
class Branch:
    """A sum, a factor, or a linear module.

    Attributes:
        kind: ``sum``, ``scaled`` or ``linear``.
        label: of a module, its name.
        parts: what it was computed from; of a sum none of them is a sum.
        shape: of the numbers of one sample that leave, and `entering` of those that come in.
        factor: bytes of float64 numbers of ``scaled``.
    """

    kind: str
    label: str
    parts: tuple["Tree", ...]
    shape: tuple[int, ...] = ()
    entering: tuple[int, ...] = ()
    factor: bytes = b""


Tree = Leaf | Branch
#: Nothing: what spikes are before the first step.
SILENCE = Branch("sum", "", ())


class TreeReader:
    """Reads the trees of one trace.

    Attributes:
        modules: by label, of all linear modules that were met.
        batch: samples that were run together.
        static: whether every step sees the whole sample.
    """

    def __init__(self, trace: Trace, steps: int) -> None:
        self.trace = trace
        self.steps = steps
        self.batch = len(trace.calls[0].input)
        self.modules: dict[str, nn.Module] = {}
        self.static = False
        self._strides: tuple[int, int, int, int] | None = None
        self._shape: tuple[int, ...] = ()

    def read(self, places: Tensor, step: int, where: str) -> Tree:
        """The tree of a tensor of (samples, ...) that is taken in `step`; `where` names it in errors."""
        if places.ndim < 2 or len(places) != self.batch:
            raise UnsupportedError(f"{where}: shape {tuple(places.shape)}; expected a batch of {self.batch} before it")
        return self._read(places.reshape(self.batch, -1), tuple(places.shape[1:]), step, where)

    def _read(self, places: Tensor, shape: tuple[int, ...], step: int, where: str) -> Tree:
        first = int(places[0, 0])
        if first == SILENT and bool((places == SILENT).all()):
            return SILENCE
        source = self.trace.source(max(first, 0))
        local = places - source.base
        if first < 0 or int(local.min()) < 0 or int(local.max()) >= math.prod(source.shape):
            raise UnsupportedError(f"{where}: numbers of different origin side by side; expected those of one module")
        if source.kind == "sample":
            return self._sample(local, source, shape, step, where)
        if source.kind == "neurons":
            return self._neurons(local, source, step, where)
        if source.kind in ("sum", "scaled"):
            parts = [self._read(part.reshape(-1)[local], shape, step, where) for part in source.parts]
            return self._joined(source, parts, local, shape)
        if source.kind == "linear":
            return self._linear(local, source, step, where)
        raise UnsupportedError(_refusal(source.label, where))

    def _neurons(self, local: Tensor, source: Source, step: int, where: str) -> Tree:
        if not torch.equal(local, torch.arange(local.numel()).reshape(local.shape)) or source.shape[0] != self.batch:
            raise UnsupportedError(f"{where}: a part of {source.label}, or its neurons in another order; expected all")
        if source.port != "spk":
            raise UnsupportedError(f"{where}: the state {source.port} of {source.label}; expected its spikes")
        if source.call > step:
            raise UnsupportedError(f"{where}: step {step} reads step {source.call} of {source.label}")
        return Leaf("spk", source.label, step - source.call)

    def _joined(self, source: Source, parts: list[Tree], local: Tensor, shape: tuple[int, ...]) -> Tree:
        if source.kind == "sum":
            flat = [one for part in parts for one in _terms(part)]
            return flat[0] if len(flat) == 1 else Branch("sum", "", tuple(flat))
        if parts[0] == SILENCE or source.factor is None:
            return SILENCE
        factor = source.factor.reshape(-1)[local]
        if not bool((factor == factor[0]).all()):
            raise UnsupportedError("a factor that differs from sample to sample; expected one for each number")
        return Branch("scaled", "*", (parts[0],), shape, shape, factor[0].numpy().tobytes())

    def _linear(self, local: Tensor, source: Source, step: int, where: str) -> Tree:
        """A module that maps the last axis, or the last three: its rows, and from each what entered it."""
        module = source.module
        if module is None:
            raise UnsupportedError(_refusal(source.label, where))
        entering = source.parts[0]
        axes = 1 if isinstance(module, nn.Linear) or entering.ndim == 2 else 3
        if entering.ndim <= axes:
            raise UnsupportedError(
                f"{source.label}: input of shape {tuple(entering.shape)}; expected a batch before it"
            )
        size = math.prod(source.shape[len(source.shape) - axes :])
        rows = local[:, 0] // size
        count = local.shape[1] // size
        if local.shape[1] % size or not torch.equal(
            local, rows[:, None] * size + torch.arange(size * count).reshape(1, -1)
        ):
            raise UnsupportedError(f"{where}: a part of {source.label}, or in another order; expected all of it")
        if count > 1:
            raise UnsupportedError(f"{where}: {count} results of {source.label} side by side; expected one")
        self.modules[source.label] = module
        shape = tuple(entering.shape[entering.ndim - axes :])
        below = self._read(entering.reshape(-1, math.prod(shape))[rows], shape, step, f"the input of {source.label}")
        if below == SILENCE and not _has_bias(module):
            return SILENCE
        leaving = tuple(source.shape[len(source.shape) - axes :])
        return Branch("linear", source.label, (below,), leaving, shape)

    def _sample(self, local: Tensor, source: Source, shape: tuple[int, ...], step: int, where: str) -> Tree:
        batch, size = local.shape
        base = int(local[0, 0])
        across = int(local[1, 0]) - base if batch > 1 else 0
        along = int(local[0, 1]) - base if size > 1 else 0
        grid = base + across * torch.arange(batch)[:, None] + along * torch.arange(size)[None, :]
        times = math.prod(source.shape) // (batch * size)
        time = _time_stride([(across, batch), (along, size)], times)
        if not torch.equal(local, grid) or times * batch * size != math.prod(source.shape) or time is None:
            raise UnsupportedError(f"{where}: a part of the sample, or in another order; expected all of one step")
        when, rest = (base // time, base % time) if times > 1 else (0, base)
        if rest or (self._strides or (across, along, time, size)) != (across, along, time, size):
            raise UnsupportedError(f"{where}: a part of the sample; expected all of one step")
        self._strides = across, along, time, size
        self._shape = self._shape or shape
        if times == 1 and source.call == 0 and self.trace.sources[0] is source and self._whole():
            self.static = True
            return Leaf("sample", "sample", 0)
        when += source.call
        if when > step:
            raise UnsupportedError(f"{where}: step {step} reads step {when} of the sample; expected none that is later")
        return Leaf("sample", "sample", step - when)

    def _whole(self) -> bool:
        """Whether the model was called once, with a sample that every step sees."""
        return self.steps > 1 and sum(source.kind == "sample" for source in self.trace.sources) == 1

    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one step of one sample."""
        if not self._shape:
            raise UnsupportedError("nothing that the neurons are given comes from the sample")
        return self._shape

    def sample_places(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
        """Where the numbers of each sample and step are in the flattened sample: (samples, steps, numbers)."""
        across, along, time, size = self._strides or (0, 0, 0, 1)
        calls = sum(source.kind == "sample" for source in self.trace.sources)
        steps = np.arange(self.steps) * (0 if self.static or calls > 1 else time)
        samples, numbers = np.arange(self.batch) * across, np.arange(size) * along
        return samples[:, None, None] + steps[None, :, None] + numbers[None, None, :]

    def early(self, tree: Tree, step: int) -> Tree:
        """The tree of `step`, given that of a late step: spikes of before the first step are silence."""
        if isinstance(tree, Leaf):
            return tree if tree.delay <= step else SILENCE
        parts = tuple(self.early(part, step) for part in tree.parts)
        if tree.kind == "sum":
            flat = tuple(part for part in parts if part != SILENCE)
            return flat[0] if len(flat) == 1 else replace(tree, parts=flat)
        if parts[0] == SILENCE and (tree.kind == "scaled" or not _has_bias(self.modules[tree.label])):
            return SILENCE
        return replace(tree, parts=parts)

    def returned(self) -> Iterator[Source]:
        """What the model's results were made from: populations and linear modules, not what is behind those."""
        seen: set[int] = set()
        todo = list(self.trace.returned)
        while todo:
            for place in _bases(self.trace, todo.pop()):
                if place in seen:
                    continue
                seen.add(place)
                source = self.trace.source(place)
                if source.kind in ("neurons", "linear"):
                    yield source
                else:
                    todo += source.parts

    def show(self, tree: Tree) -> str:
        """A tree in one line."""
        if isinstance(tree, Leaf):
            return tree.label + (f"[t-{tree.delay}]" if tree.delay else "")
        if tree.kind == "sum":
            return " + ".join(map(self.show, tree.parts)) or "nothing"
        inner = self.show(tree.parts[0])
        return f"{tree.label}({inner})" if tree.kind == "linear" else f"factor * ({inner})"


def leaves(tree: Tree) -> Iterator[Leaf]:
    """All leaves of a tree."""
    if isinstance(tree, Leaf):
        yield tree
    else:
        for part in tree.parts:
            yield from leaves(part)


def _bases(trace: Trace, places: Tensor) -> list[int]:
    """The first place of each source that has some of `places`."""
    starts = torch.tensor([source.base for source in trace.sources])
    known = places.reshape(-1)
    known = known[known >= 0]
    indices = torch.unique(torch.searchsorted(starts, known, right=True) - 1)
    return [trace.sources[int(index)].base for index in indices]


def _terms(tree: Tree) -> tuple[Tree, ...]:
    return tree.parts if isinstance(tree, Branch) and tree.kind == "sum" else (tree,)


def _has_bias(module: nn.Module) -> bool:
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return True
    bias = getattr(module, "bias", None)
    return bias is not None and bool(bias.any())


def _time_stride(axes: list[tuple[int, int]], times: int) -> int | None:
    """The stride of the one axis that is not among `axes`, (stride, extent) in a dense array; None where none fits."""
    expected, found = 1, 0
    for stride, extent in sorted(axis for axis in axes if axis[1] > 1):
        if stride == expected * times and not found and times > 1:
            found, expected = expected, expected * times
        if stride != expected:
            return None
        expected *= extent
    return found or expected


def _refusal(function: str, where: str) -> str:
    if "max_pool" in function:
        return (
            f"{where}: {function}, a maximum, is no sum of spikes; expected AvgPool2d, or a stride of the convolution"
        )
    if function in ("stack", "cat", "concat"):
        return f"{where}: {function} of several tensors; expected their sum, or one module for each"
    return f"{where}: function {function!r} between the modules; expected sums, factors, views and linear modules"
