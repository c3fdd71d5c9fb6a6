"""The modules of a snnTorch model, one by one: what each computes, read off the class and its parameters.

The conventions of snnTorch 1.0, of each class and each reset, with s[t] the spike and v[t] the membrane:

=========  ========  ===========  =====================================================================================
reset      delay     class        what it computes
=========  ========  ===========  =====================================================================================
subtract   yes       all          ``v[t] = beta v[t-1] + i[t] - threshold s[t-1]``
subtract   no        all          the threshold is subtracted in the step of the spike; a neuron that is still above it
                                  spikes in the next step only where it is above twice the threshold (residual_held)
zero       yes       Leaky        ``v[t] = beta v[t-1] (1 - s[t-1]) + i[t]``: the input after a spike is kept
zero       yes       the others   ``v[t] = 0`` in the step after a spike: the input of that step is swallowed, though a
                                  ``Synaptic`` keeps its current
zero       no        all          the membrane is 0 after the step of the spike
none                 all          nothing happens after a spike
=========  ========  ===========  =====================================================================================

``RSynaptic`` with ``reset_delay=False`` resets a name that nobody reads, so that it behaves as with True.
"""

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitspike.convert.floating.nodes import Affine, Convolution, Neurons, Node, Pool, Scale
from bitspike.convert.snntorch_trace import pair
from bitspike.errors import MissingDependencyError, UnsupportedError

INSTALL = "python -m pip install 'bitspike[snntorch]'"
#: The states that a class hands out beside its spikes, in its order.
PORTS: dict[str, tuple[str, ...]] = {
    "Leaky": ("spk", "mem"),
    "Synaptic": ("spk", "syn", "mem"),
    "RLeaky": ("spk", "mem"),
    "RSynaptic": ("spk", "syn", "mem"),
}
LINEAR: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.BatchNorm1d, nn.BatchNorm2d)
_METHODS = ("forward", "fire", "mem_reset", "_base_state_function", "_base_sub", "_base_zero", "_base_int")
_FUNCTIONS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}


def load_snntorch() -> Any:
    """The module ``snntorch``; MissingDependencyError where it is not installed."""
    try:
        return import_module("snntorch")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed; run: {INSTALL}") from None


def neuron_class(module: nn.Module) -> str | None:
    """The class of snnTorch that a module of neurons is of; None for a module that has no neurons.

    Raises:
        UnsupportedError: neurons of another class of snnTorch.
    """
    snntorch = load_snntorch()
    for name in ("RSynaptic", "RLeaky", "Synaptic", "Leaky"):
        if isinstance(module, getattr(snntorch, name)):
            return name
    other = type(module).__module__.startswith("snntorch._neurons") and type(module).__name__ != "RecurrentOneToOne"
    if other or isinstance(module, snntorch.SpikingNeuron):
        raise UnsupportedError(f"neurons of class {type(module).__name__}; expected {', '.join(PORTS)}")
    return None


def read_neurons(label: str, module: Any, shape: tuple[int, ...], *, spiking: bool) -> Neurons:
    """What a module of neurons computes.

    Raises:
        UnsupportedError: for what it does that its class and parameters do not say.
    """
    kind = neuron_class(module) or ""
    _refuse_changes(label, module, kind)
    reset, delayed = module.reset_mechanism, bool(module.reset_delay) or kind == "RSynaptic"
    more: dict[str, Any] = {}
    if kind.endswith("Synaptic"):
        more["alpha"] = _spread(label, "alpha", module.alpha.clamp(0, 1), shape)
    if not spiking:
        return Neurons(
            name=label, extents=shape, beta=_spread(label, "beta", module.beta.clamp(0, 1), shape), spiking=False,
            reset="none", **more,
        )  # fmt: skip
    threshold = _spread(label, "threshold", module.threshold, shape)
    if threshold.min() < 0:
        raise UnsupportedError(f"{label}: a threshold of {threshold.min():g}; expected 0 or more")
    return Neurons(
        name=label,
        extents=shape,
        beta=_spread(label, "beta", module.beta.clamp(0, 1), shape),
        threshold=threshold,
        reset="value" if reset == "zero" else reset,
        reset_late=delayed and reset != "none",
        reset_swallows=delayed and reset == "zero" and kind != "Leaky",
        residual_held=reset == "subtract" and not delayed,
        **more,
    )


def read_recurrent(label: str, module: Any, shape: tuple[int, ...]) -> Node | None:
    """The map from the spikes of the step before to the input of the same neurons; None where there is none."""
    if not neuron_class(module or nn.Identity()) or not hasattr(module, "recurrent"):
        return None
    inner = module.recurrent
    name = f"{label}_recurrent"
    if type(inner).__name__ == "RecurrentOneToOne":
        return Scale(name=name, extents=shape, factor=_spread(label, "V", inner.V, shape))
    return read_linear(name, inner, shape)


def read_linear(label: str, module: Any, shape: tuple[int, ...]) -> Node:
    """What a module without neurons computes, given the `shape` that enters it.

    Raises:
        UnsupportedError: where that is not one of the linear maps that are known.
    """
    found = next((one for one in LINEAR if isinstance(module, one) and type(module).forward is one.forward), None)
    hooks = [hook for hook in module._forward_hooks.values() if not getattr(hook, "_bitspike", False)]
    if found is None or hooks:
        what = "a forward hook" if hooks else f"class {type(module).__name__} with a forward of its own"
        raise UnsupportedError(f"{label}: {what}; expected {', '.join(one.__name__ for one in LINEAR)}")
    if found is nn.Linear:
        return Affine(name=label, weight=_numbers(module.weight), bias=_bias(module))
    if found is nn.Conv2d:
        return _convolution(label, module, shape)
    return _pool(label, module, shape) if found is nn.AvgPool2d else _norm(label, module, shape)


def _convolution(label: str, module: Any, shape: tuple[int, ...]) -> Convolution:
    if module.padding_mode != "zeros":
        raise UnsupportedError(f"{label}: padding_mode {module.padding_mode!r}; expected zeros")
    padding = module.padding
    if isinstance(padding, str):
        extra = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if padding == "same" and any(total % 2 for total in extra):
            raise UnsupportedError(f"{label}: padding 'same' of an even kernel pads one side more; expected padding=N")
        padding = tuple(total // 2 for total in extra) if padding == "same" else (0, 0)
    return Convolution(
        name=label,
        source_shape=_space(label, shape),
        weight=_numbers(module.weight),
        bias=_bias(module),
        stride=pair(module.stride),
        padding=pair(padding),
        dilation=pair(module.dilation),
        groups=module.groups,
    )


def _pool(label: str, module: Any, shape: tuple[int, ...]) -> Pool:
    padding = pair(module.padding)
    for name, wrong in (
        ("ceil_mode", bool(module.ceil_mode)),
        ("count_include_pad", not module.count_include_pad and any(padding)),
        ("divisor_override", module.divisor_override not in (None, 1)),
    ):
        if wrong:
            raise UnsupportedError(f"{label}: {name}={getattr(module, name)}; expected a plain mean or a plain sum")
    window = pair(module.kernel_size)
    stride = window if module.stride is None else pair(module.stride)
    mean = module.divisor_override is None
    return Pool(name=label, source_shape=_space(label, shape), window=window, stride=stride, padding=padding, mean=mean)


def _norm(label: str, module: Any, shape: tuple[int, ...]) -> Convolution:
    """A gain and a bias for each channel, by the running statistics."""
    if module.running_mean is None or module.running_var is None:
        raise UnsupportedError(f"{label}: normalises by the batch (track_running_stats=False); expected fixed numbers")
    if isinstance(module, nn.BatchNorm1d) and len(shape) > 1:
        raise UnsupportedError(f"{label}: BatchNorm1d over shape {shape}; expected (features,)")
    mean, variance = _numbers(module.running_mean), _numbers(module.running_var)
    gain = 1 / np.sqrt(variance + module.eps)
    gain = gain if module.weight is None else gain * _numbers(module.weight)
    bias = -mean * gain + (0.0 if module.bias is None else _numbers(module.bias))
    channels, height, width = (*shape, 1, 1) if len(shape) == 1 else shape
    return Convolution(
        name=label,
        source_shape=(channels, height, width),
        weight=gain.reshape(-1, 1, 1, 1),
        bias=bias,
        groups=channels,
    )


def _refuse_changes(label: str, module: Any, kind: str) -> None:
    base = getattr(load_snntorch(), kind)
    for name in _METHODS:
        if getattr(type(module), name, None) is not getattr(base, name, None) or name in vars(module):
            raise UnsupportedError(f"{label}: {type(module).__name__} has a {name} of its own; expected {kind}'s")
    if module.reset_mechanism not in _FUNCTIONS or module.state_function.__name__ != _FUNCTIONS[module.reset_mechanism]:
        raise UnsupportedError(
            f"{label}: reset_mechanism {module.reset_mechanism!r} was set after the module was made, which still "
            f"computes {module.state_function.__name__}; expected it among the arguments"
        )
    if module.inhibition:
        raise UnsupportedError(f"{label}: inhibition=True, of all neurons but the highest; expected False")
    if module.state_quant:
        raise UnsupportedError(f"{label}: state_quant; expected states that are not rounded: quantise does that")
    if bool((module.graded_spikes_factor != 1).any()):
        factor = module.graded_spikes_factor.flatten()[0].item()
        raise UnsupportedError(
            f"{label}: graded_spikes_factor {factor:g}; expected 1: put it into the weights after the spikes"
        )
    if any(not getattr(hook, "_bitspike", False) for hook in module._forward_hooks.values()):
        raise UnsupportedError(f"{label}: a forward hook; expected none")
    probe = torch.tensor([-1.0, -1e-3, 0.0, 1e-3, 1.0], device=module.threshold.device)
    with torch.no_grad():
        shown = module.spike_grad(probe)
    if shown.tolist() != [0, 0, 0, 1, 1]:
        raise UnsupportedError(f"{label}: its spike_grad gives {shown.tolist()} of {probe.tolist()}; expected a step")


def _spread(label: str, name: str, values: Tensor, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    numbers = _numbers(values)
    try:
        return np.broadcast_to(numbers, shape).reshape(-1)
    except ValueError:
        raise UnsupportedError(f"{label}: {name} of shape {numbers.shape}; expected one number, or {shape}") from None


def _space(label: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise UnsupportedError(f"{label}: input of shape {shape}; expected (channels, height, width) after the batch")
    return shape[0], shape[1], shape[2]


def _bias(module: Any) -> Any:
    return 0.0 if module.bias is None else _numbers(module.bias)


def _numbers(values: Tensor) -> npt.NDArray[np.float64]:
    return values.detach().cpu().double().numpy()
