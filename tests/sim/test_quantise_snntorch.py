"""A snnTorch model on the lattice, from its own spikes to those of the integer network."""

import numpy as np
import pytest

snn = pytest.importorskip("snntorch", reason="snnTorch is not installed")
from snntorch_support import COMBINATIONS, Explicit, dyadic  # noqa: E402

from bitspike import from_snntorch, quantise, verify  # noqa: E402
from bitspike.convert.snntorch_model import trace_snntorch  # noqa: E402
from bitspike.errors import UnsupportedError  # noqa: E402
from bitspike.samples import SpikeData  # noqa: E402
from bitspike.sim import quantise_search  # noqa: E402
from bitspike.sim.reference import run_reference  # noqa: E402

#: Halves stay whole numbers of 1/64 for so many steps.
SHORT = 6
#: What the chip has no exact form for: it keeps the input of the step after a spike, and holds nothing back.
NEARLY = {(kind, "zero", True) for kind in ("Synaptic", "RLeaky", "RSynaptic")} | {
    ("RSynaptic", "zero", False),
    *((kind, "subtract", False) for kind in ("Leaky", "Synaptic", "RLeaky")),
}


@pytest.mark.parametrize(("kind", "reset", "late"), COMBINATIONS)
def test_a_model_on_the_lattice_keeps_every_spike(kind, reset, late):
    model = dyadic(Explicit(kind, reset_mechanism=reset, reset_delay=late))
    traced = trace_snntorch(model, (SHORT, 64, 6))
    if (kind, reset, late) in NEARLY:
        with pytest.raises(UnsupportedError, match="strict"):
            quantise(traced.network, traced.inputs, strict=True)
        return
    result = quantise(traced.network, traced.inputs, strict=True)
    found = run_reference(result.network, traced.inputs.astype(np.uint8))
    for label, spikes in traced.spikes.items():
        assert np.array_equal(found.traces[label].spikes, spikes), label
    assert min(int(spikes.sum()) for spikes in traced.spikes.values()) > 50
    assert max(move.most for move in result.connections) < 1e-9


def test_every_engine_runs_what_was_imported():
    network = from_snntorch(Explicit(size=16), (10, 4, 6))
    data = SpikeData(name="noise", spikes=np.random.default_rng(0).random((40, 10, 6)) < 0.5, labels=np.arange(40) % 16)
    result = quantise(network, data)
    assert verify(result.network, data=data, engines=["reference", "onnx"]).passed
    assert result.part("held out").samples == 10


def test_the_mean_of_swallowed_inputs_is_taken_back(monkeypatch):
    model = Explicit("Synaptic", size=16, reset_mechanism="zero", threshold=0.3)
    traced = trace_snntorch(model, (16, 60, 6))
    result = quantise(traced.network, traced.inputs)
    assert all("at most its mean is" in note for note in result.notes)
    own = {(c.source, c.delay) for c in result.network.connections if c.source == c.target}
    assert {("lif1", 1), ("lif1", 2)} <= own
    monkeypatch.setattr(quantise_search, "_mean_swallowed", lambda *_: 0.0)
    kept = quantise(traced.network, traced.inputs)
    assert not any(c.source == c.target for c in kept.network.connections)
    differing = [sum(move.differing for part in one.parts for move in part.spikes) for one in (result, kept)]
    assert differing[0] < 0.95 * differing[1]  # 0.65 to 0.87 of them in twenty models drawn at random
