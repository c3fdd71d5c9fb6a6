"""Estimators in a recipe: what is refused, and that each choice trains."""

import dataclasses
import sys

import pytest
import torch

from bitspike.errors import MissingDependencyError, UsageError
from bitspike.train.build import build_estimator
from bitspike.train.estimator_recipe import EstimatorRecipe
from bitspike.train.estimators import IWST, Tempered
from bitspike.train.gumbel import GumbelRao
from bitspike.train.loop import Trainer
from bitspike.train.noise import Gaussian, Logistic, Silent
from bitspike.train.recipe import parse_recipe
from bitspike.train.surrogates import Surrogate

TEXT = """
name = "small"
[data]
name = "digits"
steps = 4
[network]
readout = "membrane_sum"
temperature = 20
[[network.layers]]
neurons = 16
vth = 4
dv = 1024
[[network.layers]]
neurons = 10
[training]
epochs = 2
batch = 128
rate = 0.05
spread = 0.5
"""
CHOICES = {
    "": IWST(),
    "alpha = 0.5": IWST(alpha=0.5),
    'noise = "logistic"': IWST(noise=Logistic()),
    'noise = "logistic"\nalpha = 0.5': IWST(alpha=0.5, noise=Logistic()),
    'name = "tempered"\ntemper = 0.3': Tempered(temper=0.3),
    'name = "tempered"\nnoise = "logistic"': Tempered(temper=0.5, noise=Logistic()),
    'name = "gumbel_rao"\nnoise = "logistic"': GumbelRao(temperature=1.0),
    'name = "gumbel_rao"\nnoise = "logistic"\ntemperature = 0.5': GumbelRao(temperature=0.5),
    'name = "surrogate"': Surrogate(function="atan", slope=2.0),
    'name = "surrogate"\nnoise = "none"\nsurrogate = "fast_sigmoid"\nslope = 5': Surrogate(
        function="fast_sigmoid", slope=5.0, noise=Silent()
    ),
    'name = "surrogate"\nnoise = "none"\nwidth = "floor"\nfloor = 3': Surrogate(noise=Silent(), width="floor"),
    'name = "surrogate"\nnoise = "logistic"\nsurrogate = "sigmoid"\nslope = 1': Surrogate(
        function="sigmoid", slope=1.0, noise=Logistic()
    ),
}


@pytest.mark.parametrize("lines", CHOICES)
def test_each_choice_trains_the_digits(lines):
    """Two epochs: the loss falls, and the recipe is read, written and read again."""
    recipe = parse_recipe(f"{TEXT}[estimator]\n{lines}\n", source="small")
    assert parse_recipe(recipe.to_toml(), source="again") == recipe
    if recipe.estimator.name == "surrogate":
        pytest.importorskip("snntorch")
    assert build_estimator(recipe.estimator) == CHOICES[lines]
    trainer = Trainer(recipe)
    first, second = (list(trainer.run_epoch())[-1] for _ in range(2))
    assert second["loss"] < 0.9 * first["loss"]
    assert second["accuracy"] > 0.3
    assert all(torch.isfinite(layer.natural).all() for layer in trainer.model.populations)


def test_a_surrogate_without_snntorch_is_refused_before_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "snntorch", None)
    monkeypatch.setitem(sys.modules, "snntorch.surrogate", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bitspike\[snntorch\]'"):
        Trainer(parse_recipe(f"{TEXT}[estimator]\nname = 'surrogate'\n", source="small"))


def test_without_noise_a_pass_is_one_function_of_its_input():
    pytest.importorskip("snntorch")
    recipe = dataclasses.replace(
        parse_recipe(TEXT, source="small"), estimator=EstimatorRecipe(name="surrogate", noise="none")
    )
    model, silent = Trainer(recipe).model, build_estimator(recipe.estimator)
    spikes = (torch.rand(4, 5, 64, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    one, two = (
        model.noisy(spikes, torch.Generator().manual_seed(seed), estimator=silent, floor=0.5)[0] for seed in (1, 2)
    )
    assert torch.equal(one, two)
    three, four = (
        model.noisy(spikes, torch.Generator().manual_seed(seed), estimator=IWST(noise=Gaussian()), floor=0.5)[0]
        for seed in (1, 2)
    )
    assert not torch.equal(three, four)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("kind = 'iwst'", "estimator.kind: found an unknown key; expected one of name, noise, alpha, temper,"),
        ("name = 'reinmax'", "estimator.name: found 'reinmax'; expected one of iwst, tempered, gumbel_rao, surrogate"),
        ("noise = 'laplace'", "estimator.noise: found 'laplace'; expected one of gaussian, logistic, none"),
        ("noise = 'none'", "estimator.noise: found 'none'; expected gaussian or logistic, or name surrogate"),
        ("width = 'none'", "estimator.width: found 'none'; expected one of posterior, floor"),
        ("width = 'floor'", "estimator.width: found 'floor' with noise gaussian; expected noise none"),
        ("name = 'gumbel_rao'", "estimator.noise: found 'gaussian'; expected 'logistic' with gumbel_rao"),
        ("temper = 0.2", "estimator.temper: found 0.2 with name iwst; expected name tempered"),
        ("name = 'tempered'\nalpha = 0.5", "estimator.alpha: found 0.5 with name tempered; expected name iwst"),
        ("temperature = 2", "estimator.temperature: found 2 with name iwst; expected name gumbel_rao"),
        ("slope = 3", "estimator.slope: found 3 with name iwst; expected name surrogate"),
        ("name = 'tempered'\ntemper = 2", "estimator.temper: found 2; expected a number from 0 to 1"),
        ("temperature = -1", "estimator.temperature: found -1; expected a number from 0 to 100"),
        ("name = 'surrogate'\nslope = 0", "estimator.slope: found 0; expected a number above 0 and up to 1000"),
    ],
)
def test_faults_are_told_in_one_line(lines, message):
    with pytest.raises(UsageError) as caught:
        parse_recipe(f"{TEXT}[estimator]\n{lines}\n", source="r")
    assert str(caught.value).startswith(f"r: {message}")
