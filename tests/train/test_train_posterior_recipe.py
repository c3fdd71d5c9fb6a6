"""Posteriors in a recipe: what is refused, that each family trains through each kind of layer, is kept and goes on."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from run_folders import measured
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bitspike.errors import FileError, UsageError
from bitspike.train import fit, load_model, load_run
from bitspike.train import run as run_module
from bitspike.train.build import build_network
from bitspike.train.checkpoint import save_checkpoint
from bitspike.train.loop import Trainer
from bitspike.train.posterior_recipe import PosteriorRecipe
from bitspike.train.posteriors import GaussianWeights, Prior
from bitspike.train.recipe import parse_recipe

TEXT = """
name = "families"
[data]
name = "digits"
steps = 4
[network]
temperature = 20
[[network.layers]]
kind = "conv"
channels = 4
padding = 1
stride = 2
vth = 2
dv = 1024
[[network.layers]]
kind = "recurrent"
neurons = 12
vth = 3
dv = 1024
[[network.layers]]
neurons = 10
[training]
epochs = 2
batch = 256
rate = 0.05
members = 2
"""
PLAIN = '[estimator]\nname = "surrogate"\nnoise = "none"\n'
FAMILIES = {
    "bernoulli": "[posterior]\nkl = 0.1\nprior = 0.4\n",
    "bernoulli01": '[posterior]\nfamily = "bernoulli01"\nkl = 0.1\nprior = 0.2\n',
    "gaussian": '[posterior]\nfamily = "gaussian"\nkl = 0.1\nbits = 5\nmean = 4\nscale_rate = 2\n',
    "gaussian of a given width": '[posterior]\nfamily = "gaussian"\nkl = 0.1\nprior_scale = 8\nmean = 4\n',
    "gaussian without noise": f'{PLAIN}[posterior]\nfamily = "gaussian"\nmean = 4\n',
    "latent": '[posterior]\nfamily = "latent"\nclip = false\n',
    "straight through": f'{PLAIN}[posterior]\nfamily = "latent"\n',
}
KEYS = {"gaussian": ("mean", "rho", "recurrent_rho"), "latent": ("latent",)}


def recipe(name, text=TEXT):
    return parse_recipe(text + FAMILIES[name], source="x")


@pytest.fixture(scope="module", params=FAMILIES)
def whole(request, tmp_path_factory):
    return fit(recipe(request.param), out=tmp_path_factory.mktemp("runs") / "whole", progress=False)


def test_a_run_of_each_family_is_written_and_read(whole):
    again = load_run(whole.folder)
    assert again.recipe == whole.recipe
    family = whole.recipe.posterior.family
    assert {one.family for one in again.model.posteriors().values()} == {family}
    names = set(load_file(whole.folder / "model.safetensors"))
    first, *rest = KEYS.get(family, ("natural",))
    expected = {f"{name}.{first}" for name in ("hidden1", "hidden2", "output")} | {"hidden2.recurrent"}
    expected |= {f"{name}.bias_mantissa" for name in ("hidden1", "hidden2", "output")}
    if rest:
        expected |= {"hidden1.rho", "hidden2.rho", "hidden2.recurrent_rho", "output.rho"}
    assert names == expected
    assert again.model.map_bits().keys() == {"hidden1", "hidden2", "hidden2.recurrent", "output"}
    for one, other in (
        (whole.model.map_bits(), again.model.map_bits()),
        (whole.model.sample_bits(5), again.model.sample_bits(5)),
    ):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    test = whole.test.first(40).spikes
    assert np.array_equal(whole.model.predict(test)[0], again.model.predict(test)[0])


def test_a_stopped_run_of_each_family_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    def stop_after_one(trainer, path):
        save_checkpoint(trainer, path)
        raise StoppedError

    monkeypatch.setattr(run_module, "save_checkpoint", stop_after_one)
    with pytest.raises(StoppedError):
        fit(whole.recipe, out=tmp_path / "run", progress=False)
    monkeypatch.undo()
    fit(whole.recipe, out=tmp_path / "run", resume=True, progress=False)
    assert measured(tmp_path / "run") == measured(whole.folder)
    for name in ("recipe.toml", "model.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.folder / name).read_bytes(), name


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_of_each_family_learns(name):
    trainer = Trainer(recipe(name))
    start = {key: one.detach().clone() for key, one in trainer.model.named_parameters()}
    for _ in trainer.run_epoch():
        pass
    for key, one in trainer.model.named_parameters():
        assert bool(torch.isfinite(one).all()), key
        assert torch.equal(one, start[key]) != one.requires_grad, key
    fixed = [key for key, one in trainer.model.named_parameters() if not one.requires_grad]
    assert fixed == ([key for key in start if key.endswith("rho")] if name == "gaussian without noise" else [])


def test_the_divergence_is_in_the_loss_by_its_factor_over_the_training_samples():
    """One update by plain descent: the step grows by the factor times the divergence's gradient over the samples."""
    steps = []
    for factor in (0.0, 3.0):
        found = recipe("bernoulli")
        prior = 0.4 if factor else 0.5  # a prior alone is refused, and says nothing
        found = dataclasses.replace(found, posterior=dataclasses.replace(found.posterior, kl=factor, prior=prior))
        trainer = Trainer(found)
        trainer.optimiser = torch.optim.SGD(
            [{"params": one["params"]} for one in trainer.optimiser.param_groups], lr=1.0
        )
        before = [one.detach().clone() for one in trainer.model.locations()]
        divergence = trainer.model.kl(Prior(probability=0.4))
        gradients = torch.autograd.grad(divergence, trainer.model.locations())
        next(trainer.run_epoch())
        steps.append([one.detach() - two for one, two in zip(trainer.model.locations(), before, strict=True)])
    rate = found.training.rate
    for plain, more, gradient in zip(*steps, gradients, strict=True):
        assert bool(gradient.any())
        torch.testing.assert_close(more - plain, -rate * 3.0 * gradient / 1257, rtol=1e-3, atol=1e-7)


def test_the_default_is_the_family_of_before():
    text = parse_recipe(TEXT, source="x")
    assert text.posterior == PosteriorRecipe()
    assert text == parse_recipe(TEXT + '[posterior]\nfamily = "bernoulli"\n', source="x")
    assert "[posterior]" in text.to_toml()
    config = fit_config(build_network(text))
    assert all("family" not in layer for layer in config["layers"])


def fit_config(model, path=None):
    import tempfile
    from pathlib import Path

    from bitspike.train.modelfile import save_model

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_model(model, file)
        with safe_open(file, framework="numpy") as opened:
            return json.loads(opened.metadata()["bitspike"])["config"]


def test_a_model_file_keeps_the_bits_and_refuses_another_family(tmp_path):
    from bitspike.train.modelfile import save_model

    source, file = tmp_path / "source.safetensors", tmp_path / "changed.safetensors"
    save_model(build_network(recipe("gaussian")), source)
    bits = {one.bits for one in load_model(source).posteriors().values() if isinstance(one, GaussianWeights)}
    assert bits == {5}
    for change, message in (
        ({"family": "latent"}, "tensor hidden1.latent is missing"),
        ({"family": "x"}, "layers[0].family: found 'x'; expected one of bernoulli, bernoulli01, gaussian, latent"),
        ({"bits": 9}, "layers[0].bits: found 9; expected a whole number from 2 to 8"),
    ):
        with safe_open(source, framework="numpy") as opened:
            header = json.loads(opened.metadata()["bitspike"])
        header["config"]["layers"][0].update(change)
        save_file(load_file(source), file, metadata={"bitspike": json.dumps(header)})
        with pytest.raises(FileError) as caught:
            load_model(file)
        assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('family = "cauchy"', "x: posterior.family: found 'cauchy'; expected one of bernoulli, bernoulli01, gaussian,"),
        ("bits = 4", "x: posterior.bits: found 4 with family bernoulli; expected gaussian"),
        ("clip = false", "x: posterior.clip: found False with family bernoulli; expected latent"),
        ('family = "latent"\nkl = 1', "x: posterior.kl: found 1 with family latent; expected bernoulli or bernoulli01"),
        ('family = "gaussian"\nprior = 0.4', "x: posterior.prior: found 0.4 with family gaussian; expected bernoulli"),
        ("prior = 1", "x: posterior.prior: found 1; expected a number above 0 and below 1"),
        ("prior = true", "x: posterior.prior: found True; expected a number above 0 and below 1"),
        ('family = "gaussian"\nbits = 1', "x: posterior.bits: found 1; expected a whole number from 2 to 8"),
        ("sigma = 1", "x: posterior.sigma: found an unknown key; expected one of family, prior,"),
    ],
)
def test_settings_that_a_family_does_not_use_are_refused(lines, message):
    with pytest.raises(UsageError) as caught:
        parse_recipe(f"{TEXT}[posterior]\n{lines}\n", source="x")
    assert str(caught.value).startswith(message)


def test_normal_weights_start_as_wide_as_their_own_key_says():
    text = TEXT.replace("rate = 0.05", "rate = 0.05\nspread = 0.5")
    with pytest.raises(
        UsageError, match=r"training\.spread: found 0\.5 with family gaussian; expected posterior\.mean"
    ):
        recipe("gaussian", text)
    model = build_network(recipe("gaussian"))
    assert 3.5 < float(model.posteriors()["output"].location.detach().abs().max()) <= 4
    assert float(model.posteriors()["output"].deviation(1.0).detach()) == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["digits_gaussian", "digits_straight_through"])
def test_the_example_learns(name, request):
    path = request.config.rootpath / "examples" / f"{name}.toml"
    found = parse_recipe(path.read_text(encoding="utf-8"), source=name)
    data = dataclasses.replace(found.data, steps=8)
    training = dataclasses.replace(found.training, epochs=3)
    trainer = Trainer(dataclasses.replace(found, data=data, training=training))
    metrics = [list(trainer.run_epoch())[-1] for _ in range(3)]
    assert metrics[-1]["loss"] < 0.8 * metrics[0]["loss"]
    assert metrics[-1]["validation_map"] > 0.5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[posterior]\nprior = 0.3\n", "posterior.prior: found 0.3 with kl 0; expected kl above 0"),
        (
            '[posterior]\nfamily = "gaussian"\nprior_scale = 2\n',
            "posterior.prior_scale: found 2 with kl 0; expected kl above 0",
        ),
        (
            f'{PLAIN}[posterior]\nfamily = "gaussian"\nscale_rate = 2\n',
            "posterior.scale_rate: found 2 with estimator.noise 'none'; expected 1.0",
        ),
        (
            '[posterior]\nfamily = "gaussian"\nbits = 2\nmean = 3\n',
            "posterior.mean: found 3 with 2 bits; expected at most 2",
        ),
    ],
)
def test_what_would_change_nothing_or_start_outside_is_refused(table, message):
    with pytest.raises(UsageError) as caught:
        parse_recipe(TEXT + table, source="r")
    assert str(caught.value) == f"r: {message}"


def test_rates_and_exponents_of_no_biases_are_refused():
    for old, new, key in (
        (
            "rate = 0.05",
            "rate = 0.05\nbias_rate = 1",
            "training.bias_rate: found 1 with network.bias false; expected 0.1",
        ),
        ("temperature = 20", "temperature = 20\nbias_exponent = 3", "network.bias_exponent: found 3 with bias false; "),
    ):
        text = TEXT.replace("temperature = 20", "temperature = 20\nbias = false")
        assert parse_recipe(text, source="r").network.bias is False
        with pytest.raises(UsageError, match=key):
            parse_recipe(text.replace(old, new), source="r")


@pytest.mark.parametrize(("bits", "start"), [(2, 1), (4, 4), (8, 16)])
def test_means_start_within_their_integers(bits, start):
    network = build_network(parse_recipe(TEXT + f'[posterior]\nfamily = "gaussian"\nbits = {bits}\n', source="r"))
    means = network.locations()[0].detach()
    assert 0.9 * start < float(means.abs().max()) <= start
    assert float(network.scales()[0].detach().exp().log1p()) == pytest.approx(start / 2)


def test_the_recipes_of_runs_of_earlier_versions_are_read():
    """A run writes every value out, those that its family does not use too."""
    written = parse_recipe(TEXT, source="r").to_toml()
    assert "mean = 16.0\n" in written
    assert "scale_rate = 1.0\n" in written
    assert parse_recipe(written, source="r") == parse_recipe(TEXT, source="r")
