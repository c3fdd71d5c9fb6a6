"""Collapse: MAP bits, samples, committees; and the trained network as an engine that must agree with them."""

import numpy as np
import pytest
from builders import flip_weight

from bitspike import collapse, verify
from bitspike.errors import UsageError
from bitspike.sim.run import simulate

pytest.importorskip("torch")
RECIPE = """
name = "small"
seed = 3
[data]
name = "digits"
steps = 16
[network]
readout = "membrane_sum"
temperature = 40.0
[[network.layers]]
neurons = 40
vth = 8
dv = 512
[[network.layers]]
neurons = 10
[training]
epochs = 2
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from bitspike.train import fit

    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(RECIPE)
    return fit(path, progress=False)


def test_map_bits_are_signs_of_the_natural_parameters(run):
    network = collapse(run.model, "map", name="small")
    assert network.collapse == "map"
    assert network.name == "small"
    assert network.steps == 16
    for layer, connection in zip(run.model.populations, network.connections, strict=True):
        natural = layer.natural.detach().numpy()
        assert np.array_equal(connection.weights.matrix(), np.where(natural >= 0, 1, -1))
    assert [p.name for p in network.populations] == ["hidden1", "output"]
    assert not network.populations[-1].spiking


def test_samples_are_seeded_and_committees_are_samples(run):
    sample = collapse(run.model, "sample", seed=5)
    assert sample == collapse(run.model, "sample", seed=5)
    assert sample.collapse == "sample(5)"
    assert sample != collapse(run.model, "sample", seed=6)
    committee = collapse(run.model, "committee", members=3, seed=5)
    assert len(committee) == 3
    assert committee.members[0] == sample
    assert [member.collapse for member in committee] == ["sample(5)", "sample(6)", "sample(7)"]


@pytest.mark.parametrize("method", ["map", "sample"])
def test_torch_in_evaluation_mode_is_the_reference(run, method):
    network = collapse(run.model, method, seed=2)
    result = verify(network, run.model, data=run.test, engines=["reference"])
    assert result.passed
    assert result.engines[1].engine == "torch"
    assert result.engines[1].compared == len(run.test) * 16 * (40 + 10) * 3


def test_a_flipped_bit_is_found_against_torch(run):
    network = flip_weight(collapse(run.model, "map"), "hidden1", 7, 20)
    result = verify(network, run.model, data=run.test, engines=["reference"])
    assert not result.passed
    found = result.engines[1].first
    assert (found.population, found.neuron, found.quantity) == ("hidden1", 7, "u")
    step = np.argwhere(run.test.spikes[:, :, 20])[0]
    assert (found.sample, found.step) == tuple(step)


def test_the_models_accuracy_is_the_networks(run):
    network = collapse(run.model, "map")
    assert simulate(network, run.test).accuracy(network, run.test.labels) == run.result["test"]["map"]


def test_mistakes_are_told(run):
    with pytest.raises(UsageError, match=r"collapse of 'runs/digits'; expected a trained network, as load_run\(FOLDER"):
        collapse("runs/digits")
    with pytest.raises(UsageError, match="method 'mean'; expected map, sample or committee"):
        collapse(run.model, "mean")
    with pytest.raises(UsageError, match="members None; expected 1 or more"):
        collapse(run.model, "committee")
    with pytest.raises(UsageError, match="members 3 with method 'map'"):
        collapse(run.model, "map", members=3)
    with pytest.raises(UsageError, match="seed -1; expected"):
        collapse(run.model, "sample", seed=-1)
    with pytest.raises(UsageError, match="seed '3'; expected"):
        collapse(run.model, "sample", seed="3")
    with pytest.raises(UsageError, match=r"members 2\.0; expected 1 or more"):
        collapse(run.model, "committee", members=2.0)
