"""Nodes of NIR as nodes of a float network, in steps of `dt`: forward Euler, the synapse first.

================  ====================================================================================================
node              per step
================  ====================================================================================================
I, IF             ``v += dt * r * x``
LI, LIF           ``v += dt/tau * ((v_leak - v) + r * x)``
CubaLI, CubaLIF   ``i += dt/tau_syn * (-i + w_in * x)``, then ``v += dt/tau_mem * ((v_leak - v) + r * i)``
Threshold         ``x > threshold``, nothing kept
all that spike    ``v > v_threshold``, then ``v = v_reset``, or ``v -= v_threshold`` where a user says so
Delay             ``delay / dt`` steps, which must be whole
================  ====================================================================================================

A factor that is 1 but for the rounding of the file's own 32-bit floats, such as ``dt/tau * r`` with r = tau/dt, is 1.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from bitspike.convert.floating.nir_fields import Fields, Shape
from bitspike.convert.floating.nir_windows import convolution_1d, convolution_2d, pool
from bitspike.convert.floating.nodes import Affine, Delay, FloatInput, Neurons, Node, Reals, Reshape, Scale

Start = Literal["zero", "rest"]
#: The largest share of a membrane that a step may leak; beyond, forward Euler swings without end.
MAX_LEAK = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a file is read.

    Attributes:
        dt: length of a step.
        subtract: whether neurons reset by subtraction, which a file cannot say.
        start: where membranes begin.
    """

    dt: float
    subtract: bool
    start: Start


def node_of(fields: Fields, source: Shape | None, reading: Reading) -> Node:
    """The node, given the shape of what enters it (None where that is not known before).

    Raises:
        UsageError: for fields that are not what NIR says, or do not fit each other or what enters.
        UnsupportedError: for what a float network cannot say.
    """
    return _BUILDERS[fields.node.type](fields, source, reading)


def whole_steps(fields: Fields, dt: float) -> Any:
    """The steps of a Delay, an array of integers in the field's shape."""
    delay = fields.reals("delay")
    if delay.min() < 0:
        raise fields.fault(f"delay reaches {delay.min():g}; expected 0 or more")
    steps = delay / dt
    nearest = np.rint(steps)
    wrong = np.abs(steps - nearest) > np.maximum(nearest, 1) * 1e-5
    if wrong.any():
        first = float(steps[wrong].reshape(-1)[0])
        raise fields.fault(f"a delay of {first:.6g} steps of dt {dt:g}; expected whole steps")
    if nearest.max() > 1 << 20:
        raise fields.fault(f"a delay of {nearest.max():g} steps of dt {dt:g}; expected at most {1 << 20:,}")
    return nearest.astype(np.int64)


def _input(fields: Fields, source: Shape | None, reading: Reading) -> Node:  # noqa: ARG001 - one signature for all
    return FloatInput(name=fields.name, extents=fields.shape("shape"))


def _affine(fields: Fields, source: Shape | None, reading: Reading) -> Node:  # noqa: ARG001
    weight: Any = fields.reals("weight")
    if weight.ndim < 2 or math.prod(weight.shape[:-2]) != 1:
        raise fields.fault(f"weight of shape {weight.shape}; expected (targets, sources)")
    weight = weight.reshape(weight.shape[-2:])
    fields.limit(weight.shape[:1], "targets")
    bias = fields.bias(len(weight)) if fields.has("bias") else 0.0
    if source is not None and math.prod(source) != weight.shape[1]:
        raise fields.fault(f"{math.prod(source)} numbers of shape {source} enter; expected {weight.shape[1]}")
    return Affine(name=fields.name, weight=weight, bias=bias)


def _scale(fields: Fields, source: Shape | None, reading: Reading) -> Node:  # noqa: ARG001
    scale = fields.reals("scale")
    extents, (factor,) = _spread(fields, source, {"scale": scale})
    return Scale(
        name=fields.name, extents=extents, factor=np.broadcast_to(factor, (math.prod(extents),)).reshape(extents)
    )


def _flatten(fields: Fields, source: Shape | None, reading: Reading) -> Node:  # noqa: ARG001
    shape = fields.shape("input_type") if fields.has("input_type") else source
    if shape is None:
        raise fields.fault("no shape to flatten: it has no input_type, and nothing leads to it")
    if source is not None and math.prod(source) != math.prod(shape):
        raise fields.fault(f"numbers of shape {source} enter; its input_type is {shape}")
    first, last = (
        int(dim) + len(shape) if int(dim) < 0 else int(dim)
        for dim in (fields.reals("start_dim").flat[0], fields.reals("end_dim").flat[0])
    )
    last = min(last, len(shape) - 1)
    if first < 0 or last < 0:
        raise fields.fault(f"start_dim {first}, end_dim {last}; expected dimensions of {shape}")
    if first > last:  # nothing to join: what torch counts from the batch on, of a signal that is flat already
        return Reshape(name=fields.name, extents=shape)
    return Reshape(name=fields.name, extents=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def _delay(fields: Fields, source: Shape | None, reading: Reading) -> Node:
    steps = whole_steps(fields, reading.dt)
    extents, _ = _spread(fields, source, {"delay": steps.astype(np.float64)})
    if int(steps.max()) * math.prod(extents) > 1 << 24:
        raise fields.fault(f"a delay of {steps.max():,} steps of {math.prod(extents):,} numbers; expected fewer")
    return Delay(name=fields.name, extents=extents, steps=int(steps.flat[0]))


def _threshold(fields: Fields, source: Shape | None, reading: Reading) -> Node:  # noqa: ARG001
    extents, (threshold,) = _spread(fields, source, {"threshold": fields.reals("threshold")})
    return Neurons(name=fields.name, extents=extents, beta=0.0, threshold=threshold, reset="none")


def _port(fields: Fields, source: Shape | None, reading: Reading) -> Node:  # noqa: ARG001
    extents = source or (fields.shape("shape") if fields.has("shape") else None)
    if extents is None:
        raise fields.fault("a port without a shape that nothing leads to")
    return Reshape(name=fields.name, extents=extents)


def _neurons(fields: Fields, source: Shape | None, reading: Reading) -> Node:
    """Every neuron of NIR: what it lacks is 0, or 1 for a factor."""
    kind, dt = fields.node.type, reading.dt
    given = {name: fields.reals(name) for name in ("r", "v_leak", "v_threshold", "v_reset", "w_in") if fields.has(name)}
    for name in ("tau", "tau_syn", "tau_mem"):
        if fields.has(name):
            given[name] = fields.positive(name)
    extents, spread = _spread(fields, source, given)
    values: dict[str, Any] = dict(zip(given, spread, strict=True))
    spiking = "v_threshold" in values
    leak: Any = _leak(fields, "tau" if "tau" in values else "tau_mem", values, dt)
    own: dict[str, Any] = {
        "beta": 1 - leak,
        "gain": _one(leak * values["r"], fields.precise("r")),
        "drift": leak * values.get("v_leak", 0.0),
    }
    if kind in ("I", "IF"):
        own = {"beta": 1.0, "gain": _one(dt * values["r"], fields.precise("r")), "drift": 0.0}
    if "tau_syn" in values:
        leak = _leak(fields, "tau_syn", values, dt)
        own |= {"alpha": 1 - leak, "input_gain": _one(leak * values.get("w_in", 1.0), fields.precise("w_in"))}
    if spiking:
        reset_value = values.get("v_reset", 0.0)
        if reading.subtract and np.any(reset_value):
            raise fields.fault(
                "v_reset other than 0, and a reset by subtraction was asked for; expected one of the two"
            )
        own |= {
            "threshold": values["v_threshold"],
            "reset_value": reset_value,
            "reset": "subtract" if reading.subtract else "value",
        }
    return Neurons(name=fields.name, extents=extents, spiking=spiking, at_rest=reading.start == "rest", **own)


def _leak(fields: Fields, name: str, values: Mapping[str, Any], dt: float) -> Any:
    if name not in values:
        return 0.0
    leak = _one(dt / values[name], fields.precise(name))
    if np.max(leak) > MAX_LEAK:
        raise fields.fault(
            f"{name} is down to {np.min(values[name]):g} with steps of dt {dt:g}; expected at least half of dt "
            "(are both in the same unit?)"
        )
    return leak


def _one(values: Any, tolerance: float) -> Any:
    return np.where(np.abs(values - 1) <= tolerance, 1.0, values)


def _spread(fields: Fields, source: Shape | None, values: Mapping[str, Reals]) -> tuple[Shape, tuple[Any, ...]]:
    """The shape of a node whose parameters come one a number, and the parameters: flat, or one number for all."""
    own = max((array.shape for array in values.values() if array.size > 1), key=math.prod, default=None)
    extents = source or own or (1,)
    if own is not None and math.prod(own) == math.prod(extents) and len(own) > len(extents):
        extents = own
    fields.limit(extents)
    spread: list[Any] = []
    for name, array in values.items():
        if array.size == 1:
            spread.append(array.reshape(-1)[0])
        elif array.size == math.prod(extents):
            spread.append(array.reshape(-1))
        elif array.ndim == len(extents) and all(a in (1, e) for a, e in zip(array.shape, extents, strict=True)):
            spread.append(np.broadcast_to(array, extents).reshape(-1))
        else:
            raise fields.fault(f"{name} of shape {array.shape}; expected one number, or one for each of {extents}")
    return extents, tuple(spread)


_BUILDERS: Mapping[str, Callable[[Fields, Shape | None, Reading], Node]] = MappingProxyType(
    {
        "Input": _input,
        "Affine": _affine,
        "Linear": _affine,
        "Scale": _scale,
        "Conv1d": lambda fields, source, _: convolution_1d(fields, source),
        "Conv2d": lambda fields, source, _: convolution_2d(fields, source),
        "SumPool2d": lambda fields, source, _: pool(fields, source),
        "AvgPool2d": lambda fields, source, _: pool(fields, source),
        "Flatten": _flatten,
        "Delay": _delay,
        "Threshold": _threshold,
        "port": _port,
    }
    | dict.fromkeys(("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"), _neurons)
)
