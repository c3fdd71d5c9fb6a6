"""ONNX Runtime's CPU as an engine: it runs the integer graph of :mod:`bitspike.convert.onnx_graph`.

Everything is computed in integers, so neither the number of threads nor the order of a sum changes a result.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.onnx_file import OnnxFile, open_file
from bitspike.convert.onnx_graph import build
from bitspike.convert.onnx_step import spike_type, states
from bitspike.convert.ranges import check_range
from bitspike.errors import EngineError, UsageError
from bitspike.sim.record import Raw, Record, aligned, padded

#: ONNX Runtime's errors have no common root; these are the classes of its binding, as far as a version has them.
_FAILURES = (
    "DeviceReset", "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
    "ModelLoadCanceled", "ModelLoaded", "ModelRequiresCompilation", "NoModel", "NoSuchFile", "NotFound",
    "NotImplemented", "RuntimeException",
)  # fmt: skip
_ERRORS_ONLY = 3
_QUANTITIES = ("spikes", "u", "v")


def run(
    network: IntegerNetwork, spikes: npt.NDArray[np.uint8], *, file: str | os.PathLike[str] | None = None
) -> Record:
    """Run a network on `spikes`, 0 or 1, shape (samples, steps, neurons), in ONNX Runtime.

    Args:
        network: a legal network whose range proof holds for the length of the run.
        spikes: the input.
        file: an ONNX file that bitspike has exported, of either form. It is run as it lies there, and the network that
            it holds takes the place of `network`.

    Raises:
        UsageError: for spikes other than 0 and 1, or another number of neurons than the input has.
        FileError: for a file that is not ours.
        RangeError: where the file's network could leave the chip's registers within the run.
        EngineError: where ONNX Runtime fails.
    """
    if file is None:
        model = OnnxFile(network=network, form="scan", data=build(network).SerializeToString(deterministic=True))
    else:
        model = open_file(file)
        check_range(model.network, spikes.shape[1])
    size = model.network.input_size
    if spikes.ndim != 3 or spikes.shape[2] != size:
        raise UsageError(f"spikes of shape {spikes.shape}; expected (samples, steps, {size})")
    if spikes.min(initial=0) < 0 or spikes.max(initial=0) > 1:
        raise UsageError(f"spikes in {spikes.min()}..{spikes.max()}; expected 0 and 1")
    with _failures_told():
        raw = _window(model, spikes) if model.form == "scan" else _steps(model, spikes)
    return aligned("onnx", model.network, spikes, raw)


def session(data: bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` of a model on the CPU, that logs errors only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _window(model: OnnxFile, spikes: npt.NDArray[np.uint8]) -> dict[str, Raw]:
    """The whole run by the scan form, which appends the silence itself."""
    names = [f"{p.name}.{quantity}" for p in model.network.populations for quantity in _QUANTITIES]
    feed = np.ascontiguousarray(spikes.transpose(1, 0, 2)).astype(np.int8)
    values = session(model.data).run(names, {"spikes": feed})
    return _raw(model.network, dict(zip(names, values, strict=True)))


def _steps(model: OnnxFile, spikes: npt.NDArray[np.uint8]) -> dict[str, Raw]:
    """The same run by the step form, one call a step, the states handed from each to the next."""
    running, network = session(model.data), model.network
    inputs = padded(network, spikes).astype(np.int8)
    samples, total, _ = inputs.shape
    carried = {
        s.name: np.zeros([samples if extent == "batch" else int(extent) for extent in s.shape], s.dtype)
        for s in states(network)
    }
    traces = {
        f"{p.name}.{quantity}": np.zeros((total, samples, p.size), spike_type(p) if quantity == "spikes" else np.int32)
        for p in network.populations
        for quantity in _QUANTITIES
    }
    names = [output.name for output in running.get_outputs()]
    for t in range(total):
        feeds = {"spikes": inputs[:, t], **{f"{name}.in": value for name, value in carried.items()}}
        values = dict(zip(names, running.run(names, feeds), strict=True))
        carried = {name: values[name] for name in carried}
        for name, trace in traces.items():
            trace[t] = values[name]
    return _raw(network, traces)


def _raw(network: IntegerNetwork, traces: dict[str, npt.NDArray[Any]]) -> dict[str, Raw]:
    """Traces of shape (steps, samples, neurons), by population, with the samples first."""
    swapped = {name: trace.transpose(1, 0, 2) for name, trace in traces.items()}
    return {
        p.name: (swapped[f"{p.name}.spikes"], swapped[f"{p.name}.u"], swapped[f"{p.name}.v"])
        for p in network.populations
    }


@contextmanager
def _failures_told() -> Iterator[None]:
    """Turn every error of ONNX Runtime into an EngineError of one line."""
    from onnxruntime.capi import onnxruntime_pybind11_state as binding

    failures = tuple(getattr(binding, name) for name in _FAILURES if hasattr(binding, name))
    try:
        yield
    except (*failures, MemoryError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise EngineError(f"engine onnx: {line}") from None
