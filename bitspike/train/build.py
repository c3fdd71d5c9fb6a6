"""The network that a recipe describes."""

from bitspike.train.data import data_set
from bitspike.train.model import DenseLayer, SpikingNetwork
from bitspike.train.recipe import Recipe
from bitspike.train.registers import Neuron


def build_network(recipe: Recipe) -> SpikingNetwork:
    """Return the untrained network of a recipe, initialised from the recipe's seed."""
    network = recipe.network
    layers: list[DenseLayer] = []
    inputs = data_set(recipe.data.name).inputs
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
