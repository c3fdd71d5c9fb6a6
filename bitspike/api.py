"""What the commands do, as functions: the names that ``from bitspike import ...`` gives.

They take data by name as well as by value; the parts below take values only.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from bitspike.convert.collapse import Committee, TrainedModel, collapse
from bitspike.convert.committee_files import named, write_members
from bitspike.convert.floating.network import FloatNetwork
from bitspike.convert.floating.nir_import import from_nir
from bitspike.convert.floating.nir_lint import lint
from bitspike.convert.formats import Format, format_of, import_file, load
from bitspike.convert.formats import export as _export
from bitspike.convert.lavadl.input_neurons import InputNeurons, read_input_neurons
from bitspike.convert.network import IntegerNetwork
from bitspike.convert.passes.table import run_passes as optimise
from bitspike.errors import DivergenceError, UsageError
from bitspike.samples import SignalData, SpikeData, SpikeParts, Spikes
from bitspike.signals import load_signals
from bitspike.sim import energy as _energy
from bitspike.sim import verify as _verify
from bitspike.sim.committee_energy import CommitteeEnergy, committee_energy
from bitspike.sim.floating import simulate_float
from bitspike.sim.floating_record import FloatRecord
from bitspike.sim.lowering import Lowering
from bitspike.sim.lowering import lower as _lower
from bitspike.sim.portability import portability as _portability
from bitspike.sim.portability.report import Portability
from bitspike.sim.quantise import quantise
from bitspike.sim.record import Record
from bitspike.sim.run import simulate as _simulate
from bitspike.targets.chips import Chip
from bitspike.targets.emit import Emitter, emit, emitter_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bitspike.reports.build import Report
    from bitspike.train import Run

__all__ = [
    "Committee",
    "FloatNetwork",
    "collapse",
    "encode",
    "energy",
    "export",
    "from_nir",
    "from_snntorch",
    "import_file",
    "lint",
    "load",
    "load_data",
    "load_signals",
    "lower",
    "optimise",
    "portability",
    "quantise",
    "report",
    "simulate",
    "verify",
]

#: A model whose own spikes differ from those of its reading in a larger share of all places was not understood.
_MISREAD = 0.01


def load_data(
    name: str | os.PathLike[str], *, part: str = "test", steps: int = 16, seed: int = 0, **options: Any
) -> SpikeData:
    """Encoded samples by name.

    Args:
        name: a data set as in a recipe (``digits``, ``mnist:DIR``, ``events:FILE.npz``; :mod:`bitspike.train.data` has
            them all), or the path of an ``.npz`` in one of the forms of ``events``, or that of a recipe, ``.toml``,
            whose data are meant.
        part: ``train``, ``validation``, ``test`` or ``all``; the path of an ``.npz`` means all of it.
        steps: window of a sample; an ``.npz`` of dense spikes and a recipe bring their own.
        seed: of the encoder; a recipe brings its own.
        options: of the encoder, see :class:`bitspike.train.encoders.Encoding`; a recipe brings its own.
    """
    from bitspike.train import data

    text = str(name)
    if text.partition(":")[0] not in data.FAMILIES:
        if text.endswith(".npz"):
            return _npz(Path(name), steps=steps, seed=seed, options=options)
        if text.endswith(".toml"):
            from bitspike.train.recipe import load_recipe

            if options:
                raise UsageError(f"{text}: a recipe brings its own {', '.join(options)}; expected none beside it")
            return load_recipe(name).data.load(part)
    return data.load_data(text, part=part, steps=steps, seed=seed, **options)


def load_parts(
    name: str, *, part: str = "test", steps: int = 16, seed: int = 0, **options: Any
) -> SpikeData | SpikeParts:
    """As :func:`load_data`; a data set is encoded part by part, when its samples are asked for."""
    from bitspike.train import data

    if name.partition(":")[0] in data.FAMILIES:
        return data.load_parts(name, part=part, steps=steps, seed=seed, **options)
    return load_data(name, part=part, steps=steps, seed=seed, **options)


def encode(data: str | os.PathLike[str], layer: InputNeurons | str | os.PathLike[str], *, steps: int) -> SpikeData:
    """Spikes that the input neurons of a lava-dl network make of values.

    Args:
        data: an ``.npz`` with ``values``, (samples, ...), which the layer scales, or with ``drive``, the scaled
            integers; and ``labels`` or none.
        layer: the neurons, or the NetX file that holds them.
        steps: window of a sample.
    """
    from bitspike.train.datasets.npz import arrays, headers

    neurons = layer if isinstance(layer, InputNeurons) else read_input_neurons(layer)
    path = Path(data)
    key = "drive" if "drive" in headers(path) else "values"
    found = arrays(path, {key: "iuf"}, optional={"labels": "iu"})
    spikes = neurons.spikes(found[key] if key == "drive" else neurons.drive(found[key]), steps)
    labels = found.get("labels", np.zeros(len(spikes), np.int64)).astype(np.int64)
    return SpikeData(name=path.name, spikes=spikes, labels=labels, shape=neurons.shape)


def from_snntorch(model: "nn.Module", sample: "Tensor | Sequence[int]", *, name: str = "") -> FloatNetwork:
    """Read a snnTorch model, run it beside what was read, and say in a note how many spikes differ.

    Args:
        model: a ``Sequential`` of neurons with ``init_hidden=True``, a module that loops over the steps, or one that
            computes a single step and returns its states.
        sample: what the model takes: a tensor of spikes, or a shape for random ones: (batch, ...), or with the axis of
            time where the model loops over it. Its first axis, or the first beside that of time, is the batch.
        name: of the network; default: the model's class.

    Returns:
        The float network, for :func:`quantise`.

    Raises:
        UnsupportedError: something in the model that the float network cannot say, by name.
        UsageError: the model fails on the sample.
        DivergenceError: the model's own spikes are not those of what was read.
        MissingDependencyError: snnTorch is not installed.
    """
    from bitspike.convert.snntorch_model import trace_snntorch

    traced = trace_snntorch(model, sample, name=name)
    record = simulate_float(traced.network, traced.inputs, record=list(traced.spikes), dtype="float32")
    pairs = [(record.traces[label].spikes, spikes) for label, spikes in traced.spikes.items()]
    differing = sum(int(np.count_nonzero(ours != theirs)) for ours, theirs in pairs)
    places, fired = sum(theirs.size for _, theirs in pairs), sum(int(theirs.sum()) for _, theirs in pairs)
    if differing > _MISREAD * places:
        raise DivergenceError(
            f"model {traced.network.name}: {differing} of {places} places (sample, step, neuron) spike in the model "
            "and not in what was read of it, or the other way round; expected the same spikes"
        )
    note = f"on the sample {differing} of {places} places differ from the model's own run, which has {fired} spikes"
    return replace(traced.network, notes=(*traced.network.notes, note))


def export(
    network: IntegerNetwork | Committee, path: str | os.PathLike[str], format_name: str | None = None, **options: Any
) -> Format | Emitter:
    """Write `network` as a file that is read back and compared, or as a program in C.

    The ending of `path` says which, unless `format_name` does; see :func:`bitspike.convert.formats.export` and
    :data:`bitspike.targets.emit.EMITTERS`. A committee becomes a new folder `path` with a file for each member; its
    format must be named.
    """
    program = emitter_of(path, format_name)
    if isinstance(network, Committee):
        form = program or format_of(path, format_name or "")
        write_members(named(network), path, form.endings[0], lambda m, to: export(m, to, form.name, **options))
        return form
    if program is None:
        return _export(network, path, format_name, **options)
    if options:
        raise UsageError(f"{', '.join(options)}: format {program.name} takes no options")
    emit(network, path, program)
    return program


@overload
def simulate(
    network: IntegerNetwork, *, data: SpikeData | str, engine: str = "reference", **options: Any
) -> Record: ...
@overload
def simulate(
    network: FloatNetwork, *, data: SpikeData | SignalData | npt.ArrayLike, engine: str = "float", **options: Any
) -> FloatRecord: ...
def simulate(
    network: IntegerNetwork | FloatNetwork, *, data: Any, engine: str = "reference", **options: Any
) -> Record | FloatRecord:
    """Run `network` on `data` with one engine.

    An integer network runs as :func:`bitspike.sim.run.simulate` says; a float network on the float engine, with the
    options of :func:`bitspike.sim.floating.simulate_float`.
    """
    if isinstance(network, FloatNetwork):
        if isinstance(data, str):
            raise UsageError(f"data {data!r}: a float network does not know its window; expected load_signals(..)")
        return simulate_float(network, data, **options)
    return _simulate(_one(network), _data(data, network), engine_name=engine, **options)


def verify(
    network: IntegerNetwork,
    model: TrainedModel | None = None,
    *,
    data: Spikes | str | None = None,
    engines: Sequence[str] = ("reference", "onnx"),
    against: Mapping[str, IntegerNetwork] | None = None,
    samples: int | None = None,
    **options: Any,
) -> _verify.Verification:
    """Compare engines on every spike, current and membrane; see :func:`bitspike.sim.verify.verify`."""
    network = _one(network)
    if not (model is None or hasattr(model, "record")):
        raise UsageError(f"model: found a {type(model).__name__}; expected a trained model, such as run.model")
    if not (data is None or isinstance(data, str | SpikeData | SpikeParts)):
        raise _no_data(data)
    parts = load_parts(data, steps=network.steps) if isinstance(data, str) else data
    return _verify.verify(network, model, data=parts, engines=engines, against=against, samples=samples, **options)


@overload
def energy(
    network: IntegerNetwork, *, data: SpikeData | str, engine: str = "fast", **options: Any
) -> _energy.Energy: ...
@overload
def energy(network: Committee, *, data: SpikeData | str, engine: str = "fast", **options: Any) -> CommitteeEnergy: ...
def energy(
    network: IntegerNetwork | Committee, *, data: SpikeData | str, engine: str = "fast", **options: Any
) -> _energy.Energy | CommitteeEnergy:
    """Counts and energy of one inference; of a committee, whose members all run, that of one answer.

    Args:
        network: or a committee.
        data: samples, or their name.
        engine: which engine runs; all give the same counts.
        options: ``chip``, ``prices``, ``step_time_us``, ``sparse``, ``place``; see :func:`bitspike.sim.energy.energy`.
    """
    if isinstance(network, Committee):
        members = tuple(network)
        return committee_energy(members, data=_data(data, members[0]), engine_name=engine, **options)
    return _energy.energy(network, data=_data(data, network), engine_name=engine, **options)


def lower(
    network: IntegerNetwork,
    *,
    chip: str | os.PathLike[str] | Chip = "loihi2",
    data: SpikeData | str | None = None,
    seed: int = 0,
) -> Lowering:
    """Put `network` onto the cores of `chip`, and into Lava's registers; see :func:`bitspike.sim.lowering.lower`."""
    return _lower(network, chip, data=None if data is None else _data(data, network), seed=seed)


def portability(
    source: IntegerNetwork | str | os.PathLike[str], *, data: SpikeData | str | None = None, **options: Any
) -> Portability:
    """What Norse, SpikingJelly and snnTorch make of a NIR file; see :func:`bitspike.sim.portability.portability`."""
    if isinstance(data, str):
        network = source if isinstance(source, IntegerNetwork) else load(source, "nir")
        data = _data(data, network)
    return _portability(source, data=data, **options)


def report(run: "Run | str | os.PathLike[str]", out: str | os.PathLike[str] | None = None, **options: Any) -> "Report":
    """One HTML page about a run or its folder, with its figures; see :func:`bitspike.reports.build.report`."""
    from bitspike.reports.build import report as make

    return make(run, out, **options)


def _one(network: object) -> IntegerNetwork:
    """Return a network; of a committee each member is one."""
    if not isinstance(network, IntegerNetwork):
        more = "; each member of a committee is one" if isinstance(network, Committee) else ""
        raise UsageError(f"network: found a {type(network).__name__}; expected an IntegerNetwork{more}")
    return network


def _data(data: SpikeData | str, network: IntegerNetwork) -> SpikeData:
    if isinstance(data, SpikeData):
        return data
    if not isinstance(data, str | os.PathLike):
        raise _no_data(data)
    return load_data(data, steps=network.steps)


def _no_data(found: object) -> UsageError:
    return UsageError(f"data: found a {type(found).__name__}; expected SpikeData, such as run.test, or a name")


def _npz(path: Path, *, steps: int, seed: int, options: dict[str, Any]) -> SpikeData:
    from bitspike.train.data import load_data as load_named
    from bitspike.train.datasets.events import dense
    from bitspike.train.datasets.npz import headers

    if "t" in headers(path):
        return load_named(f"events:{path}", part="all", steps=steps, seed=seed, **options)
    if options:
        raise UsageError(f"{path}: holds spikes already; expected no {', '.join(options)}")
    spikes, labels, shape = dense(path)
    return SpikeData(name=path.name, spikes=spikes.astype(np.uint8), labels=labels, shape=shape)
