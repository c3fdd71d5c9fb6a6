"""The network and the estimator that a recipe describes."""

from bitspike.train.estimators import IWST, Estimator, Tempered
from bitspike.train.gumbel import GumbelRao
from bitspike.train.model import DenseLayer, SpikingNetwork
from bitspike.train.noise import Gaussian, Logistic, Silent
from bitspike.train.recipe import EstimatorRecipe, Recipe
from bitspike.train.registers import Neuron
from bitspike.train.surrogates import Surrogate


def build_network(recipe: Recipe) -> SpikingNetwork:
    """Return the untrained network of a recipe, initialised from the recipe's seed."""
    network = recipe.network
    layers: list[DenseLayer] = []
    inputs = recipe.data.inputs(network.layers[-1].neurons)
    for number, layer in enumerate(network.layers, 1):
        name = "output" if number == len(network.layers) else f"hidden{number}"
        neuron = Neuron(du=layer.du, dv=layer.dv, vth=layer.vth, reset=layer.reset, bias_exponent=network.bias_exponent)
        layers.append(DenseLayer(name=name, inputs=inputs, neurons=layer.neurons, neuron=neuron))
        inputs = layer.neurons
    model = SpikingNetwork(
        layers, steps=recipe.data.steps, readout=network.readout, temperature=float(network.temperature)
    )
    model.initialise(recipe.seed, spread=recipe.training.spread)
    for one in layers:
        one.bias.requires_grad_(network.bias)
    return model


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
        surrogate = Surrogate(function=recipe.surrogate, slope=float(recipe.slope), noise=noise)
        surrogate.check_installed()
        return surrogate
    if recipe.name == "tempered":
        return Tempered(temper=float(recipe.temper), noise=density)
    return IWST(alpha=recipe.alpha, noise=density)
