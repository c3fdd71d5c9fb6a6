"""The snnTorch side: with our bits in it, its neurons do what ours do; it learns, and repeats itself."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bitspike.errors import MissingDependencyError, UnsupportedError, UsageError
from bitspike.train import snntorch_side
from bitspike.train.build import build_network
from bitspike.train.calibration import calibration
from bitspike.train.finish_recipe import FinishRecipe
from bitspike.train.loop import time_first
from bitspike.train.recipe import parse_recipe
from bitspike.train.registers import NEVER
from bitspike.train.rule_recipe import DistilRecipe
from bitspike.train.snntorch_side import SnnTorchNetwork, train_snntorch

HEAD = """
name = "small"
[data]
name = "digits"
steps = 5
[training]
epochs = {epochs}
batch = 128
[network]
readout = "{readout}"
temperature = 20
"""
LAYERS = {
    "dense": "neurons = 14\nvth = 4\ndv = 2048",
    "current": "neurons = 14\nvth = 8\ndv = 2048\ndu = 2048",
    "recurrent": 'kind = "recurrent"\nneurons = 14\nvth = 4\ndv = 2048',
    "conv": 'kind = "conv"\nchannels = 3\nvth = 2\ndv = 2048\npadding = 1\n[[network.layers]]\nkind = "pool"\nvth = 1',
}
LAST = {"membrane_sum": "neurons = 10", "membrane_last": "neurons = 10", "spike_count": "neurons = 10\nvth = 2"}


def recipe(kind="dense", readout="membrane_sum", epochs=1):
    text = HEAD.format(readout=readout, epochs=epochs)
    return parse_recipe(
        f"{text}[[network.layers]]\n{LAYERS[kind]}\n[[network.layers]]\n{LAST[readout]}\n", source="small.toml"
    )


@pytest.fixture(autouse=True)
def _snntorch():
    pytest.importorskip("snntorch")


def with_bits(of, model):
    """The snnTorch network with the bits of `model`, each divided by the threshold of its target, and no bias."""
    network = SnnTorchNetwork(of)
    bits = model.map_bits()
    with torch.no_grad():
        for one, layer in zip(network.populations, model.populations, strict=True):
            scale = 1 if layer.vth == NEVER else layer.vth
            if layer.name in bits:
                weight = one.connection.weight
                weight.copy_(torch.from_numpy(bits[layer.name] / scale).reshape(weight.shape))
                one.connection.bias.zero_()
            if one.recurrent is not None:
                one.recurrent.weight.copy_(torch.from_numpy(bits[f"{layer.name}.recurrent"] / scale))
    return network


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("readout", LAST)
def test_with_one_bit_weights_it_is_our_network_in_another_unit(kind, readout):
    """In 5 steps, decays of a half leave the lattice nothing to truncate, and thresholds are powers of two."""
    of = recipe(kind, readout)
    model, data = build_network(of), of.data.load("test").first(30)
    readouts, _ = model.predict(data.spikes)
    with torch.no_grad():
        logits = with_bits(of, model)(time_first(data.spikes)).double().numpy()
    steps = 1 if readout == "membrane_last" else 5
    unit = 1 if readout == "spike_count" else 64
    assert np.array_equal(np.rint(logits * steps * unit), readouts)
    assert logits * steps * unit == pytest.approx(readouts, rel=1e-5, abs=1e-3)
    assert len(np.unique(readouts)) >= 3


def test_it_learns_and_equal_recipes_give_equal_networks():
    of = recipe(epochs=6)
    told = []
    before = torch.random.get_rng_state()
    runs = [train_snntorch(of, rate=0.01, notify=lambda *parts: told.append(parts)) for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert told == [("snntorch seed 0", epoch, 6) for epoch in range(6)] * 2
    data = of.data.load("validation")
    one, other = (run.probabilities(data.spikes) for run in runs)
    assert np.array_equal(one, other)
    assert one.sum(axis=1) == pytest.approx(np.ones(len(data)))
    assert calibration(one, data.labels).accuracy > 0.5
    third = train_snntorch(of.with_seed(1), rate=0.01)
    assert not np.array_equal(one, third.probabilities(data.spikes))


@pytest.mark.parametrize(("kind", "weights"), [("dense", 64 * 14 + 140), ("recurrent", 64 * 14 + 14 * 14 + 140)])
def test_weights_are_counted_without_biases(kind, weights):
    assert train_snntorch(recipe(kind)).weights == weights


def test_batches_are_those_of_our_own_training(monkeypatch):
    of = recipe()
    seen = {"ours": [], "snntorch": []}

    class Noted(snntorch_side._Epochs):
        def batches(self, epoch):
            for spikes, labels in super().batches(epoch):
                seen["snntorch"].append((spikes.clone(), labels.clone()))
                yield spikes, labels

    monkeypatch.setattr(snntorch_side, "_Epochs", Noted)
    train_snntorch(of)
    trainer = snntorch_side.Trainer(of)
    update = trainer._update

    def noted(spikes, labels, *others):
        seen["ours"].append((spikes.clone(), labels.clone()))
        return update(spikes, labels, *others)

    monkeypatch.setattr(trainer, "_update", noted)
    list(trainer.run_epoch())
    assert len(seen["ours"]) == len(seen["snntorch"]) == 10
    for ours, theirs in zip(seen["ours"], seen["snntorch"], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_teachers_of_our_bits_have_no_part_in_it_and_threads_are_the_recipes(monkeypatch):
    plain = recipe(epochs=2)
    taught = replace(plain, finish=FinishRecipe(epochs=1), distil=DistilRecipe(teacher="posterior"))
    threads, products = [], snntorch_side.SnnTorchNetwork.forward

    def forward(network, spikes):
        threads.append(torch.get_num_threads())
        return products(network, spikes)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        monkeypatch.setattr(snntorch_side.SnnTorchNetwork, "forward", forward)
        one, other = train_snntorch(taught), train_snntorch(plain)
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}
    for mine, others in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(mine, others)


@pytest.mark.parametrize("rate", [0, -1.0, float("inf")])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(UsageError, match=r"^rate: found .*; expected a number above 0$"):
        train_snntorch(recipe(), rate=rate)


def test_without_snntorch_one_line_names_what_installs_it(monkeypatch):
    for name in ("snntorch", "snntorch.surrogate"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"is not installed; run: "):
        train_snntorch(recipe())


@pytest.mark.parametrize(
    ("key", "value"), [("sources", ("input",)), ("shortcuts", ("a",)), ("spike", "graded"), ("exact", True)]
)
def test_layers_that_would_be_built_in_another_sense_are_refused(key, value):
    of = recipe()
    object.__setattr__(of.network.layers[0], key, value)
    with pytest.raises(UnsupportedError, match=rf"^network\.layers\[0\]: found {key}; expected layers one after"):
        SnnTorchNetwork(of)
