"""Running a snnTorch model on a sample while its numbers are followed: every call of its modules, step by step."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bitspike.convert.snntorch_neurons import LINEAR, PORTS, load_snntorch, neuron_class
from bitspike.convert.snntorch_trace import Follower, NeuronCall, Trace, tensors
from bitspike.errors import UnsupportedError, UsageError

#: Calls of a model that computes one step at a time; enough to see what it carries over from one to the next.
STEPS = 4
_STATES = ("spk", "syn", "mem")
_FAILURES = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError, NotImplementedError)


def run_traced(model: nn.Module, sample: Tensor) -> Trace:
    """Run `model` from silent states on `sample`, in evaluation mode and without gradients; leave it as it was.

    A model in which every module is called once computes one step; it is called on `sample` again, with the states that
    it returned where it asks for them.

    Raises:
        UsageError: the model fails on the sample, or its calls cannot be told apart by step.
        UnsupportedError: a module of neurons of another class.
    """
    load_snntorch()
    trace = Trace()
    follower = Follower(trace)
    with _as_it_was(model), _watched(model, follower), torch.no_grad():
        states = _arguments(model)
        for call in range(STEPS):
            trace.returned = _call(model, sample, states, follower, call)
            longest = max((c.call for c in trace.calls), default=-1)
            if longest < 0:
                raise UsageError(f"model {type(model).__name__}: no snnTorch neuron was called on the sample")
            if longest > call:
                break
            _hand_on(follower, states, call)
        results = [follower.places(tensor) for tensor in trace.returned]
    trace.returned = [places for places in results if places is not None]
    return trace


def _call(model: nn.Module, sample: Tensor, states: dict[str, Any], follower: Follower, call: int) -> list[Tensor]:
    given = sample.clone()
    follower.follow(given, follower.trace.add("sample", "sample", given.shape, call=call))
    named = {name: follower.argument(name) if state is None else state for name, state in states.items()}
    try:
        with follower:
            out = model(given, **named)
    except _FAILURES as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise UsageError(
            f"model {type(model).__name__} fails on a sample of shape {tuple(sample.shape)}: "
            f"{type(error).__name__}: {line[:200]}"
        ) from error
    return list(tensors(out))


def _arguments(model: nn.Module) -> dict[str, Any]:
    """The states that a model of one step asks for: arguments without a default, beside the first."""
    parameters = list(inspect.signature(model.forward).parameters.values())[1:]
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: None for p in parameters if p.kind in plain and p.default is inspect.Parameter.empty}


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and cleared states within; the states and modes of before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    states = [
        (module, {name: getattr(module, name) for name in _STATES if hasattr(module, name)})
        for module in model.modules()
        if neuron_class(module)
    ]
    model.eval()
    try:
        for module, names in states:
            for name, state in names.items():
                setattr(module, name, torch.zeros_like(state))
        yield
    finally:
        for module, names in states:
            for name, state in names.items():
                setattr(module, name, state)
        for module, training in modes:
            module.training = training


@contextmanager
def _watched(model: nn.Module, follower: Follower) -> Iterator[None]:
    """Hooks on all modules that are known as a whole."""
    handles = []
    inside: set[int] = set()
    try:
        for path, module in model.named_modules():
            if id(module) in inside:
                continue
            kind = neuron_class(module)
            if kind or isinstance(module, LINEAR):
                inside |= {id(child) for child in module.modules()}
                watch = _Watch(label_of(path, module), kind, follower)
                handles.append(module.register_forward_pre_hook(watch.before, with_kwargs=True, prepend=True))
                handles.append(module.register_forward_hook(watch.after))
        yield
    finally:
        for handle in handles:
            handle.remove()


def label_of(path: str, module: nn.Module) -> str:
    """A name of letters, digits and _ for the module at `path` of its model."""
    plain = path.replace(".", "_")
    return plain if plain and not plain[0].isdigit() else f"{type(module).__name__.lower()}{plain}"


class _Watch:
    """The hooks of one module."""

    def __init__(self, label: str, kind: str | None, follower: Follower) -> None:
        self.label = label
        self.kind = kind
        self.follower = follower
        self.calls = 0
        self.left: dict[str, Tensor] = {}
        self._taken: Tensor | None = None
        # What tells this hook from those of the model's author.
        self.after = _Hook(self._after)

    def before(self, module: nn.Module, args: Sequence[Any], named: dict[str, Any]) -> None:
        """Write down what is about to be computed."""
        given = args[0] if args else named.get("input_", named.get("input"))
        places = None if given is None else self.follower.places(given)
        if places is None and isinstance(given, Tensor) and not bool(given.any()):
            places = torch.full(given.shape, -1)
        if places is None:
            raise UnsupportedError(f"{self.label}: its input does not come from the sample")
        if self.kind is not None:
            self._states(module, args[1:], named)
        self._taken = places.clone()
        self.follower.enter()

    def _after(self, module: nn.Module, _: Any, out: Any) -> None:
        self.follower.leave()
        places = self._taken
        if places is None:
            return
        trace = self.follower.trace
        results = list(tensors(out))
        if self.kind is None:
            made = trace.add("linear", self.label, results[0].shape, call=self.calls, module=module, parts=(places,))
            self.follower.follow(results[0], made)
        else:
            ports = PORTS[self.kind][: len(results)]
            for port, tensor in zip(ports, results, strict=True):
                made = trace.add("neurons", self.label, tensor.shape, call=self.calls, port=port, module=module)
                self.follower.follow(tensor, made)
            call = NeuronCall(self.label, module, self.calls, places, results[0].detach().clone())
            trace.calls.append(call)
            self.left = {name: getattr(module, name) for name in PORTS[self.kind] if hasattr(module, name)}
        self.calls += 1

    def _states(self, module: nn.Module, args: Sequence[Any], named: dict[str, Any]) -> None:
        """Check the states that a call is given: those that the module left in the step before, or nothing yet."""
        kind = self.kind or ""
        names = ("mem",) if kind == "Leaky" else PORTS[kind] if kind.startswith("R") else ("syn", "mem")
        given = dict(zip(names, args, strict=False)) | {name: named[name] for name in names if name in named}
        for name in names:
            state = given.get(name)
            where = f"{self.label}, step {self.calls}: its state {name}"
            if state is None:
                self._kept(module, name, where)
                continue
            places = self.follower.places(state)
            if self.calls == 0 and self.follower.claim(state, self.label, name):
                continue
            if self.calls == 0 and places is None and not bool(state.any()):
                continue
            if places is None or not self._left(name, places):
                raise UnsupportedError(f"{where} is not what the module left in the step before; expected that")

    def _left(self, name: str, places: Tensor) -> bool:
        """Whether `places` are those of state `name` after the step before."""
        if places.numel() == 0 or int(places.flatten()[0]) < 0:
            return False
        source = self.follower.trace.source(int(places.flatten()[0]))
        same = (source.label, source.port, source.call) == (self.label, name, self.calls - 1)
        return same and torch.equal(places, source.places())

    def _kept(self, module: nn.Module, name: str, where: str) -> None:
        state = getattr(module, name)
        if not self.calls:
            same = not bool(state.any())
        else:
            left = self.left[name]
            same = state is left or (state.shape == left.shape and torch.equal(state, left))
        if not same:
            raise UnsupportedError(f"{where} was changed from outside since the step before; expected one run of steps")


class _Hook:
    """A forward hook that is known as ours."""

    _bitspike = True

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        return self._function(*args)


def _hand_on(follower: Follower, states: dict[str, Any], call: int) -> None:
    """Give the model of one step the states that it returned, where it was seen which is which."""
    for tensor in follower.trace.returned:
        places = follower.places(tensor)
        if places is None or places.numel() == 0 or int(places.flatten()[0]) < 0:
            continue
        source = follower.trace.source(int(places.flatten()[0]))
        for name, owner in follower.claims.items():
            if owner == (source.label, source.port) and source.call == call:
                states[name] = tensor
