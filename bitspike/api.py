"""What the commands do, as functions: the names that ``from bitspike import ...`` gives.

They take data by name as well as by value; the parts below take values only.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.convert.collapse import Committee, TrainedModel, collapse
from bitspike.convert.formats import export, load
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.ranges import check_range
from bitspike.convert.rules import check
from bitspike.errors import FileError, UsageError
from bitspike.files import existing_file
from bitspike.samples import SpikeData
from bitspike.sim import energy as _energy
from bitspike.sim import verify as _verify
from bitspike.sim.record import Record
from bitspike.sim.run import simulate as _simulate
from bitspike.targets.lava.lower import LavaProgram
from bitspike.targets.lava.lower import lower as _lower

__all__ = ["Committee", "collapse", "energy", "export", "load", "load_data", "lower", "simulate", "verify"]


def load_data(name: str | os.PathLike[str], *, part: str = "test", steps: int = 16, seed: int = 0) -> SpikeData:
    """Encoded samples by name.

    Args:
        name: ``digits``, or the path of an ``.npz`` with ``spikes`` (samples, steps, neurons) of 0 and 1, and `labels`.
        part: ``train``, ``validation``, ``test`` or ``all``; an ``.npz`` has no parts.
        steps: window of a sample; an ``.npz`` brings its own.
        seed: of the encoder.
    """
    if str(name).endswith(".npz"):
        return _events(Path(name))
    from bitspike.train.data import load_data as load_named

    return load_named(str(name), part=part, steps=steps, seed=seed)


def simulate(network: IntegerNetwork, *, data: SpikeData | str, engine: str = "reference", **options: Any) -> Record:
    """Run `network` on `data` with one engine; see :func:`bitspike.sim.run.simulate`."""
    return _simulate(network, _data(data, network), engine_name=engine, **options)


def verify(
    network: IntegerNetwork,
    model: TrainedModel | None = None,
    *,
    data: SpikeData | str,
    engines: Sequence[str] = ("reference", "onnx"),
    against: Mapping[str, IntegerNetwork] | None = None,
    samples: int | None = None,
    **options: Any,
) -> _verify.Verification:
    """Compare engines on every spike, current and membrane; see :func:`bitspike.sim.verify.verify`."""
    return _verify.verify(
        network, model, data=_data(data, network), engines=engines, against=against, samples=samples, **options
    )


def energy(
    network: IntegerNetwork,
    *,
    data: SpikeData | str,
    chip: str = "loihi1",
    prices: str | None = None,
    engine: str = "reference",
) -> _energy.Energy:
    """Counts and energy of one inference on `chip`; see :func:`bitspike.sim.energy.energy`."""
    return _energy.energy(network, data=_data(data, network), chip=chip, prices=prices, engine_name=engine)


def lower(network: IntegerNetwork, *, chip: str = "loihi2") -> LavaProgram:
    """Retime `network`, check its ranges, and write it in the registers of `chip`, exactly or not at all."""
    if chip != "loihi2":
        raise UsageError(f"chip {chip!r}; expected loihi2")
    check_range(check(network))
    return _lower(network)


def _data(data: SpikeData | str, network: IntegerNetwork) -> SpikeData:
    return data if isinstance(data, SpikeData) else load_data(data, steps=network.steps)


def _events(path: Path) -> SpikeData:
    found = existing_file(path)
    try:
        with np.load(found, allow_pickle=False) as arrays:
            if "spikes" not in arrays or "labels" not in arrays:
                raise FileError(path, f"holds {', '.join(arrays.files) or 'nothing'}; expected spikes and labels")
            spikes, labels = arrays["spikes"], arrays["labels"]
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise FileError(path, f"is not a readable npz file ({str(error).splitlines()[0]})") from None
    if spikes.dtype.kind not in "biu" or labels.dtype.kind not in "iu":
        raise FileError(path, f"spikes are {spikes.dtype}, labels {labels.dtype}; expected integers")
    try:
        return SpikeData(name=path.name, spikes=spikes, labels=labels)
    except UsageError as error:
        raise FileError(path, str(error)) from None
