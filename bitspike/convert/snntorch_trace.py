"""Following the numbers of a torch model: which module call made each number, and which numbers each call took.

A model is run for real, a few times at most. Every tensor that depends on the sample gets, beside its numbers, a tensor
of the same shape that says where each of them came from: places, numbered over everything that the sample and the calls
of modules brought forth. Functions that only move numbers (views, slices, stacks) move the places with them, sums and
factors are written down, and any other function is written down by its name and refused only where its result enters
a module. A time loop, a list of steps or a tensor with a time axis are all the same to this.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

#: Places of numbers that are zero whatever the sample is.
SILENT = -1

#: Functions that put numbers in another order or shape and change none.
_MOVING = frozenset(
    {
        "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "movedim",
        "moveaxis", "swapaxes", "swapdims", "select", "narrow", "contiguous", "clone", "detach", "detach_", "unbind",
        "chunk", "split", "tensor_split", "expand", "repeat", "stack", "cat", "concat", "concatenate", "vstack",
        "hstack", "__getitem__", "__get__", "view_as", "reshape_as", "requires_grad_", "squeeze_", "unsqueeze_",
        "index_select", "roll", "flip",
    }
)  # fmt: skip
#: Functions whose result is taken for their argument where it is the same.
_SAME = frozenset(
    {
        "to", "float", "double", "half", "type", "type_as", "cpu", "cuda", "dropout", "dropout2d", "dropout3d",
        "alpha_dropout",
    }
)  # fmt: skip
#: Sums and differences.
_ADDING = frozenset(
    {
        "add", "add_", "__add__", "__radd__", "__iadd__", "sub", "sub_", "__sub__", "__rsub__", "__isub__",
        "subtract", "rsub",
    }
)  # fmt: skip
#: Products and quotients.
_SCALING = frozenset(
    {
        "mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__", "div", "div_", "divide", "true_divide",
        "__truediv__", "neg",
    }
)  # fmt: skip
#: Functions whose result does not depend on the numbers, or leaves torch.
_FRESH = frozenset(
    {
        "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones",
        "new_empty", "new_full", "new_tensor", "__eq__", "__ne__", "eq", "ne", "equal", "is_tensor", "item",
        "tolist", "numpy", "backward",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Something that brought forth numbers.

    Attributes:
        kind: ``sample``, ``neurons``, ``linear`` (a module that computes a linear map, or an affine one), ``sum``,
            ``scaled`` or ``other``.
        label: of a module its name in the model; of another function its name.
        base: the first of its places; there are as many as its tensor has numbers.
        shape: of its tensor.
        call: of a module or a sample the number of the call, from 0.
        port: of neurons what left them: ``spk``, ``syn`` or ``mem``.
        module: that was called.
        parts: places of what it was made from: one tensor; of a sum two or more, of the sum's shape.
        factor: of ``scaled``, broadcast to its shape.
    """

    kind: str
    label: str
    base: int
    shape: tuple[int, ...]
    call: int = 0
    port: str = ""
    module: nn.Module | None = None
    parts: tuple[Tensor, ...] = ()
    factor: Tensor | None = None

    def places(self) -> Tensor:
        """All its places, in its shape."""
        return torch.arange(self.base, self.base + math.prod(self.shape)).reshape(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class NeuronCall:
    """One call of a module of neurons: the places of its input, and its spikes."""

    label: str
    module: nn.Module
    call: int
    input: Tensor
    spikes: Tensor


@dataclass(slots=True, eq=False)
class Trace:
    """What a run of a model left behind.

    Attributes:
        sources: in the order in which they came about.
        calls: of modules of neurons.
        returned: places of what the model returned, at its last call.
    """

    sources: list[Source] = field(default_factory=list)
    calls: list[NeuronCall] = field(default_factory=list)
    returned: list[Tensor] = field(default_factory=list)
    _next: int = 0

    def add(self, kind: str, label: str, shape: Sequence[int], **more: Any) -> Tensor:
        """Write down a source; return the places of its numbers."""
        source = Source(kind, label, self._next, tuple(shape), **more)
        self.sources.append(source)
        self._next += math.prod(shape)
        return source.places()

    def source(self, place: int) -> Source:
        """The source that has `place`."""
        low, high = 0, len(self.sources)
        while high - low > 1:
            middle = (low + high) // 2
            if self.sources[middle].base <= place:
                low = middle
            else:
                high = middle
        return self.sources[low]


class Follower(TorchFunctionMode):
    """The mode under which a model runs while its numbers are followed."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace
        self._known: dict[int, tuple[Tensor, Tensor]] = {}
        self._inside = 0
        #: Which state of which module an argument of the model is, by the argument's name.
        self.claims: dict[str, tuple[str, str]] = {}
        self._arguments: dict[int, tuple[Tensor, str]] = {}

    def argument(self, name: str) -> Tensor:
        """An empty state, as snnTorch itself hands them out before the first step, for the model's argument `name`."""
        state = torch.zeros(0)
        self._arguments[id(state)] = state, name
        return state

    def claim(self, state: Tensor, label: str, port: str) -> bool:
        """Write down that module `label` took `state` as its `port`; False where no argument of the model is meant."""
        found = self._arguments.get(id(state))
        if found is not None:
            self.claims[found[1]] = label, port
        return found is not None

    def follow(self, tensor: Tensor, places: Tensor) -> None:
        """Say where the numbers of `tensor` came from."""
        self._known[id(tensor)] = tensor, places

    def places(self, tensor: object) -> Tensor | None:
        """Where the numbers of `tensor` came from; None where that is not known."""
        found = self._known.get(id(tensor))
        return None if found is None else found[1]

    def enter(self) -> None:
        """Follow nothing until the matching :meth:`leave`: a module that is known as a whole begins."""
        self._inside += 1

    def leave(self) -> None:
        """The module ends."""
        self._inside -= 1

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`; outside of known modules write down what its result was made from."""
        named = kwargs or {}
        taken = [] if self._inside else [t for t in tensors([args, named]) if self.places(t) is not None]
        before = {id(t): self.places(t) for t in taken}
        out = func(*args, **named)
        name = getattr(func, "__name__", str(func))
        if taken and name not in _FRESH:
            if name == "__setitem__":
                self._set(args)
            else:
                self._note(func, args, named, out, [before[id(t)] for t in taken])
        return out

    def _note(self, func: Callable[..., Any], args: Any, named: Any, out: Any, taken: list[Any]) -> None:
        name = getattr(func, "__name__", str(func))
        results = [t for t in tensors(out) if t.is_floating_point()]
        if not results:
            return
        if name in _MOVING:
            moved = list(tensors(func(*self._swapped(args), **self._swapped(named))))
            for tensor, places in zip(results, moved, strict=True):
                self.follow(tensor, places)
            return
        first = self.places(args[0]) if args else None
        if name in _SAME and first is not None and first.shape == out.shape and torch.equal(out, args[0]):
            self.follow(out, first)
        elif name in _ADDING and len(args) == 2 and set(named) <= {"alpha"}:
            self._sum(name, args, named.get("alpha", 1), out, taken)
        elif name in _SCALING and not named and len(args) < 3:
            self._scaled(name, args, out, taken)
        elif name == "avg_pool2d":
            self._pool(args, named, out)
        else:
            for tensor in results:
                self._other(name, tensor, taken)

    def _other(self, name: str, tensor: Tensor, taken: list[Tensor]) -> None:
        self.follow(tensor, self.trace.add("other", name, tensor.shape, parts=tuple(taken)))

    def _swapped(self, value: Any) -> Any:
        """The arguments of a function with places instead of numbers."""
        if isinstance(value, Tensor):
            places = self.places(value)
            if places is not None:
                return places
            return torch.where(value == 0, SILENT, _UNKNOWN) if value.is_floating_point() else value
        if isinstance(value, list | tuple):
            return type(value)(self._swapped(one) for one in value)
        if isinstance(value, dict):
            return {key: self._swapped(one) for key, one in value.items()}
        return value

    def _set(self, args: Any) -> None:
        target, index, value = args
        places = self.places(target)
        if places is None:
            places = torch.full(target.shape, SILENT)
        changed = places.clone()
        changed[index] = self._swapped(value) if isinstance(value, Tensor) else SILENT if value == 0 else _UNKNOWN
        self.follow(target, changed)

    def _sum(self, name: str, args: Any, alpha: float, out: Tensor, taken: list[Tensor]) -> None:
        first, second = args if "rsub" not in name else reversed(args)
        factor = -alpha if "sub" in name else alpha
        parts = []
        for part, sign in ((first, 1), (second, factor)):
            places = self.places(part)
            if places is None:
                if torch.is_tensor(part) and part.shape == out.shape and not bool(part.any()):
                    continue
                if not torch.is_tensor(part) and part == 0:
                    continue
                self._other("+" if factor > 0 else "-", out, taken)
                return
            places = places.broadcast_to(out.shape)
            if sign != 1:
                number = torch.full(out.shape, float(sign), dtype=torch.float64)
                places = self.trace.add("scaled", "*", out.shape, parts=(places,), factor=number)
            parts.append(places)
        self.follow(out, parts[0] if len(parts) == 1 else self.trace.add("sum", "+", out.shape, parts=tuple(parts)))

    def _scaled(self, name: str, args: Any, out: Tensor, taken: list[Tensor]) -> None:
        known = [place for place, one in enumerate(args) if self.places(one) is not None]
        dividing = "div" in name
        if len(known) != 1 or (dividing and known == [1]):
            self._other(name.strip("_"), out, taken)
            return
        places = self.places(args[known[0]])
        other: Any = -1.0 if len(args) == 1 else args[1 - known[0]]
        factor = torch.as_tensor(other, dtype=torch.float64).broadcast_to(out.shape)
        factor = 1 / factor if dividing else factor
        if places is not None:
            parts = (places.broadcast_to(out.shape),)
            self.follow(out, self.trace.add("scaled", "*", out.shape, parts=parts, factor=factor))

    def _pool(self, args: Any, named: dict[str, Any], out: Tensor) -> None:
        places = self.places(args[0])
        if places is None:
            return
        module = nn.AvgPool2d(*args[1:], **named)
        label = f"avg_pool_{'x'.join(map(str, pair(module.kernel_size)))}"
        self.follow(out, self.trace.add("linear", label, out.shape, module=module, parts=(places,)))


#: A place of a number that nothing known brought forth and that is not zero.
_UNKNOWN = -2


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from tensors(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors(one)


def pair(value: Any) -> tuple[int, int]:
    """A number, or a pair of them, as a pair."""
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))
