"""The network and the estimator that a recipe describes."""

import math

import torch

from bitspike.train.estimator_recipe import EstimatorRecipe
from bitspike.train.estimators import IWST, Estimator, Tempered
from bitspike.train.gumbel import GumbelRao
from bitspike.train.layers import ConvLayer, DenseLayer, Layer, PoolLayer, RecurrentLayer
from bitspike.train.model import SpikingNetwork
from bitspike.train.network_recipe import ConvRecipe, LayerRecipe, NetworkRecipe, PoolRecipe, RecurrentRecipe, space
from bitspike.train.noise import Gaussian, Logistic, Silent
from bitspike.train.posterior_recipe import PosteriorRecipe
from bitspike.train.posteriors import BERNOULLI, Family, Prior
from bitspike.train.products import chosen_precision
from bitspike.train.recipe import Recipe
from bitspike.train.registers import Neuron
from bitspike.train.surrogates import Surrogate
from bitspike.train.wiring import INPUT, widest


def build_network(recipe: Recipe) -> SpikingNetwork:
    """Return the untrained network of a recipe, initialised from the recipe's seed."""
    family = build_family(recipe.posterior)
    model = assemble(recipe.network, recipe.network_shapes(), steps=recipe.data.steps, family=family)
    model.precision = chosen_precision(recipe.training.precision, torch.device("cpu"))
    model.initialise(recipe.seed, spread=_spread(recipe), scale=float(recipe.posterior.scale))
    for scale in model.scales():
        # Without noise no draw depends on the deviations.
        scale.requires_grad_(recipe.estimator.noise != "none")
    for bias in model.biases():
        bias.requires_grad_(recipe.network.bias)
    return model


def assemble(
    network: NetworkRecipe, shapes: tuple[tuple[int, ...], ...], *, steps: int, family: Family = BERNOULLI
) -> SpikingNetwork:
    """Return a network of populations of the given shapes, the input's first; its parameters are all 0."""
    layers: list[Layer] = []
    names, wires = network.names, network.wires()
    known = dict(zip((INPUT, *names), shapes, strict=True))
    for layer, name, wired in zip(network.layers, names, wires, strict=True):
        neuron = Neuron(
            du=layer.du,
            dv=layer.dv,
            vth=layer.vth,
            reset=layer.reset,
            bias_exponent=network.bias_exponent,
            spike=layer.spike,
            shift=layer.shift,
        )
        before = widest(known, wired.sources)
        layers.append(_layer(layer, name=name, before=before, after=known[name], neuron=neuron, family=family))
    temperature = float(network.temperature)
    return SpikingNetwork(layers, steps=steps, readout=network.readout, temperature=temperature, wires=wires)


def build_family(recipe: PosteriorRecipe) -> Family:
    """Return the posterior family of a recipe, with its options."""
    return Family(name=recipe.family, bits=recipe.bits, clip=recipe.clip, natural=recipe.natural)


def build_prior(recipe: PosteriorRecipe) -> Prior:
    """Return the prior of a recipe."""
    return Prior(probability=float(recipe.prior), deviation=float(recipe.prior_scale))


def _spread(recipe: Recipe) -> float:
    return recipe.posterior.start if recipe.posterior.family == "gaussian" else recipe.training.spread


def _layer(
    recipe: LayerRecipe, *, name: str, before: tuple[int, ...], after: tuple[int, ...], neuron: Neuron, family: Family
) -> Layer:
    """Return one layer between populations of the shapes `before` and `after`."""
    if isinstance(recipe, ConvRecipe):
        return ConvLayer(
            name=name,
            source_shape=space(before),
            channels=after[0],
            window=recipe.window,
            neuron=neuron,
            family=family,
        )
    if isinstance(recipe, PoolRecipe):
        source = space(before)
        return PoolLayer(name=name, source_shape=source, window=recipe.window, neuron=neuron, exact=recipe.exact)
    kind = RecurrentLayer if isinstance(recipe, RecurrentRecipe) else DenseLayer
    inputs = math.prod(before)
    return kind(name=name, source_shape=before, inputs=inputs, neurons=after[0], neuron=neuron, family=family)


def build_estimator(recipe: EstimatorRecipe) -> Estimator:
    """Return the gradient estimator of a recipe.

    Raises:
        MissingDependencyError: a surrogate, where snnTorch is not installed.
    """
    if recipe.name == "gumbel_rao":
        return GumbelRao(temperature=float(recipe.temperature))
    density = Logistic() if recipe.noise == "logistic" else Gaussian()
    if recipe.name == "surrogate":
        noise = Silent() if recipe.noise == "none" else density
        surrogate = Surrogate(function=recipe.surrogate, slope=float(recipe.slope), noise=noise, width=recipe.width)
        surrogate.check_installed()
        return surrogate
    if recipe.name == "tempered":
        return Tempered(temper=float(recipe.temper), noise=density)
    return IWST(alpha=recipe.alpha, noise=density)


def build_finishing() -> Estimator:
    """Return the estimator of the epochs that train the collapsed network.

    Raises:
        MissingDependencyError: snnTorch, whose arctangent it is, is not installed.
    """
    surrogate = Surrogate(function="atan", slope=EstimatorRecipe.slope, noise=Silent())
    surrogate.check_installed()
    return surrogate
