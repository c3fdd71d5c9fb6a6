"""Running one network on one engine, with the checks that every run needs."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from bitspike.convert.network import IntegerNetwork
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.errors import MissingDependencyError, UsageError
from bitspike.samples import SpikeData
from bitspike.sim.engines import engine
from bitspike.sim.record import Record

Ranges = Literal["proved", "watched", "lava"]
RANGES = get_args(Ranges)


def simulate(
    network: IntegerNetwork,
    data: SpikeData | npt.ArrayLike,
    *,
    engine_name: str = "reference",
    ranges: Ranges = "proved",
    **options: Any,
) -> Record:
    """Run `network` on `data` and record spikes, currents and membranes of every neuron at every step.

    Args:
        network: any legal network whose range proof holds for the length of the run, unless `ranges` says otherwise.
        data: encoded samples, or spikes (0 or 1) of shape (samples, steps, neurons).
        engine_name: a name of :data:`bitspike.sim.engines.ENGINES`.
        ranges: ``proved`` refuses a network whose state could leave the chip's 24 bits. A network from elsewhere may
            stay within them on data, though nobody proved it: ``watched`` ends the run where one leaves them. With
            ``lava`` they wrap (currents) and saturate (membranes), as in Lava's model of the chip. The last two are
            for the reference engine alone.
        options: what the engine takes beyond that: `model` for torch, `file` for onnx and netx, `time_limit_s` for
            lava and netx.

    Raises:
        UsageError: for an unknown engine, or spikes that do not fit the network.
        RangeError: where a state could leave the chip's 24 bits.
        MissingDependencyError: with the command that installs the engine.
    """
    chosen = engine(engine_name)
    spikes = _spikes(network, data)
    check(network)
    if ranges == "proved":
        check_range(network, spikes.shape[1])
    elif ranges not in RANGES or engine_name != "reference":
        expected = "proved; or watched or lava, with engine reference"
        raise UsageError(f"ranges {ranges!r} with engine {engine_name}; expected {expected}")
    elif ranges == "lava":
        options["overflow"] = "lava"
    if not chosen.available:
        raise MissingDependencyError(f"engine {chosen.name} is not installed; run: {chosen.install}")
    return chosen.load()(network, spikes, **options)


def _spikes(network: IntegerNetwork, data: SpikeData | npt.ArrayLike) -> npt.NDArray[np.uint8]:
    if not isinstance(data, SpikeData):
        array = np.asarray(data)
        if array.ndim != 3 or array.dtype.kind not in "biu":
            raise UsageError(
                f"spikes of shape {array.shape}, {array.dtype}; expected integers (samples, steps, neurons)"
            )
        data = SpikeData(name="spikes", spikes=array, labels=np.zeros(len(array), np.int64))
    spikes = data.spikes
    if spikes.shape[2] != network.input_size:
        several = ", ".join(f"{entry.name} {entry.size}" for entry in network.inputs)
        entries = "input has" if len(network.inputs) == 1 else f"inputs ({several}) have"
        raise UsageError(f"data has {spikes.shape[2]} neurons; the network's {entries} {network.input_size}")
    if 0 in spikes.shape:
        raise UsageError(f"data of shape {spikes.shape}; expected at least one sample and one step")
    return spikes
